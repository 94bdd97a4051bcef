"""Two studies held against each other."""

from pathlib import Path

from analysis.compare.differing import Difference, differing
from tune.verbs.opening import open_study


def diff(study_a: Path | str, study_b: Path | str) -> list[Difference]:
    """What two studies differ in: configuration, data, versions, and what came of it.

    Args:
        study_a: A study directory, study file, or address of a mirror.
        study_b: Another one.

    Raises:
        StoreError: A study cannot be read.
        StorageError: A mirror cannot be read.
    """
    return differing(open_study(study_a), open_study(study_b))
