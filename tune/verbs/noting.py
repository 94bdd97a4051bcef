"""Notes and tags kept with a study."""

from collections.abc import Sequence
from pathlib import Path

from tune.directory.diary import Diary, read_diary, write_diary
from tune.errors import StoreError
from tune.mirror.opening import is_mirror
from tune.verbs.opening import open_study


def note(
    study_dir: Path | str, text: str = "", *, tags: Sequence[str] = (), untag: Sequence[str] = ()
) -> Diary:
    """Keep a note and tags with a study, in `diary.json` of its directory.

    Args:
        study_dir: A study directory or study file, of a study that runs or has ended.
        text: The note; "" for none.
        tags: Tags to add.
        untag: Tags to take away.

    Returns:
        All its notes and tags.

    Raises:
        StoreError: The study cannot be read, it is a mirror, or note or tags cannot be kept.
    """
    if is_mirror(study_dir):
        raise StoreError(
            f"{study_dir}: expected the study directory itself, got its mirror; its driver ships "
            "notes and tags there"
        )
    study = open_study(study_dir)
    if not text and not tags and not untag:
        return read_diary(study.path)
    return write_diary(study.path, text, tags, untag)
