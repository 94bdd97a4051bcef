"""Notes and tags kept with a study."""

from collections.abc import Sequence
from pathlib import Path

from tune.directory.diary import Diary, noted, read_diary, write_diary
from tune.mirror.diaries import bring_diary, write_note
from tune.mirror.mirror import mirror_address, place_of
from tune.mirror.opening import is_mirror
from tune.verbs.opening import open_study


def note(
    study_dir: Path | str, text: str = "", *, tags: Sequence[str] = (), untag: Sequence[str] = ()
) -> Diary:
    """Keep a note and tags with a study, in `diary.json` of its directory, and at its mirror.

    Args:
        study_dir: A study directory, study file or mirror, of a study that runs or has ended,
            wherever that is.
        text: The note; "" for none.
        tags: Tags to add.
        untag: Tags to take away.

    Returns:
        All its notes and tags.

    Raises:
        StoreError: The study cannot be read, or note or tags cannot be kept.
        StorageError: Its mirror, where it has one, cannot be read or written.
    """
    study = open_study(study_dir)
    address = str(study_dir) if is_mirror(study_dir) else mirror_address(study.study)
    asks = not text and not tags and not untag
    if not address:
        return read_diary(study.path) if asks else write_diary(study.path, text, tags, untag)
    place = place_of(address.rstrip("/"))
    if asks:
        return bring_diary(place, study.path)
    return write_note(
        place, study.path, lambda before: noted(before, study.path, text, tags, untag)
    )
