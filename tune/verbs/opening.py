"""A study opened by its directory, by its study file, or by the address of its mirror."""

import shlex
from pathlib import Path

from cluster.errors import StorageError
from search_spaces.names import nearest_file
from tune.directory.layout import JOURNAL, RESOLVED
from tune.directory.reader import StudyDir
from tune.errors import StoreError
from tune.mirror.mirror import mirror_address
from tune.mirror.opening import (
    Wanted,
    bring_copy,
    copy_of,
    everything,
    has_study,
    is_mirror,
    nothing,
    refuse_absent,
)
from tune.plan.planning import read_draft
from tune.plan.resume import refuse_renamed
from tune.study.problems import study_error
from tune.study.study import Mirror


def open_study(place: Path | str, wanted: Wanted = nothing, *, download: bool = True) -> StudyDir:
    """Open a study, named by its directory, its study file, or its mirror's address.

    Args:
        place: The directory, the file that it was started with, or gs://BUCKET/FOLDER/STUDY.
        wanted: Which checkpoints and models of a mirror are wanted.
        download: Whether a mirror is asked; else its copy on this machine is opened as it is.

    Raises:
        StudyError: `place` is a file, but none that names a study.
        StoreError: There is no study directory, or a damaged one.
        StorageError: A mirror cannot be read, or has no study.
    """
    if is_mirror(place):
        address = str(place).rstrip("/")
        copy = copy_of(address)
        if download:
            bring_copy(address, copy, wanted)
        refuse_absent(address, copy)
        return StudyDir.open(copy)
    return StudyDir.open(_directory(Path(place), download=download))


def open_to_resume(place: Path | str, *, download: bool = True) -> tuple[StudyDir, list[str]]:
    """Open a study to go on with it: as it is at its mirror, where it has one.

    Returns:
        The study, and what of it is to be overridden: its mirror, where it is at another address
        than it says.

    Raises:
        StudyError: As for `open_study`.
        StoreError: As for `open_study`.
        StorageError: As for `open_study`.
    """
    opened = open_study(place, everything, download=download)
    if is_mirror(place):
        address = str(place).rstrip("/")
        told = mirror_address(opened.study) == address
        return opened, [] if told else [f"mirror.place={address.rpartition('/')[0]}"]
    refuse_renamed(opened)  # before what is at the mirror is brought to it
    address = mirror_address(opened.study)
    if not address or not download:
        return opened, []
    try:
        newest = bring_copy(address, opened.path) if has_study(address) else opened.path
    except StorageError as error:
        raise StorageError(
            f"{error}; to go on here without it, which is shipped by a later run: segtune resume "
            f"{shlex.quote(str(opened.path))} --no-download --no-upload"
        ) from error
    return StudyDir.open(newest), []


def has_begun(place: Path | str) -> bool:
    """Whether a study file's study has begun; anything else than a study file names one that has.

    Raises:
        StudyError: The file names no study.
        StorageError: Its mirror cannot be read.
    """
    named = Path(place)
    if is_mirror(place) or not named.is_file() or (named.parent / RESOLVED).is_file():
        return True
    directory, mirror = _named_by(named)
    return (directory / JOURNAL).exists() or bool(mirror and has_study(mirror))


def _directory(named: Path, *, download: bool) -> Path:
    """The study directory that is named; brought from its mirror where it is only there."""
    if named.suffix in (".yaml", ".yml") and not named.exists():
        beside = [p.name for p in named.parent.glob(f"*{named.suffix}")]
        raise StoreError(
            f"{named}: expected a study directory or a study file, found none"
            f"{nearest_file(named.name, beside)}"
        )
    if not named.is_file():
        return named
    if (named.parent / RESOLVED).is_file():  # the copy in the study directory itself
        return named.parent
    directory, mirror = _named_by(named)
    if not directory.is_dir() and mirror and download and has_study(mirror):
        return bring_copy(mirror, directory)
    if not directory.is_dir():
        raise StoreError(
            f"{named}: expected a study directory at {directory}, found none; "
            f"`segtune tune {shlex.quote(str(named))}` makes it"
        )
    return directory


def _named_by(file: Path) -> tuple[Path, str]:
    """The study directory that a study file names, and the address of its mirror, or ""."""
    draft = read_draft(file)
    parts = draft.parts()
    if not {"study", "storage"} <= set(parts):
        wrong = [p for p in draft.problems if p.key.partition(".")[0] in ("study", "storage", "")]
        raise study_error(draft.name, wrong or draft.problems, draft.places)
    directory: Path = parts["storage"] / parts["study"]
    mirror: Mirror | None = parts.get("mirror")
    return directory, "" if mirror is None else f"{mirror.place}/{parts['study']}"
