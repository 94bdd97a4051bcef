"""A study opened by its directory or by its study file."""

import shlex
from pathlib import Path

from search_spaces.names import nearest_file
from tune.directory.layout import JOURNAL, RESOLVED
from tune.directory.reader import StudyDir
from tune.errors import StoreError
from tune.plan.planning import read_draft
from tune.study.problems import study_error


def open_study(place: Path | str) -> StudyDir:
    """Open a study, named by its directory or by the study file that it was started with.

    Raises:
        StudyError: `place` is a file, but none that names a study.
        StoreError: There is no study directory, or a damaged one.
    """
    named = Path(place)
    if named.suffix in (".yaml", ".yml") and not named.exists():
        beside = [p.name for p in named.parent.glob(f"*{named.suffix}")]
        raise StoreError(
            f"{named}: expected a study directory or a study file, found none"
            f"{nearest_file(named.name, beside)}"
        )
    if not named.is_file():
        return StudyDir.open(named)
    if (named.parent / RESOLVED).is_file():  # the copy in the study directory itself
        return StudyDir.open(named.parent)
    directory = _directory_of(named)
    if not directory.is_dir():
        raise StoreError(
            f"{named}: expected a study directory at {directory}, found none; "
            f"`segtune tune {shlex.quote(str(named))}` makes it"
        )
    return StudyDir.open(directory)


def has_begun(place: Path | str) -> bool:
    """Whether a study file's study has begun; anything else than a study file names one that has.

    Raises:
        StudyError: The file names no study.
    """
    named = Path(place)
    if not named.is_file() or (named.parent / RESOLVED).is_file():
        return True
    return (_directory_of(named) / JOURNAL).exists()


def _directory_of(file: Path) -> Path:
    """The study directory that a study file names."""
    draft = read_draft(file)
    parts = draft.parts()
    if not {"study", "storage"} <= set(parts):
        wrong = [p for p in draft.problems if p.key.partition(".")[0] in ("study", "storage", "")]
        raise study_error(draft.name, wrong or draft.problems, draft.places)
    directory: Path = parts["storage"] / parts["study"]
    return directory
