"""Folders of studies, data sets and results at other places: copied, brought up to date, packed."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.storage.archive import SUFFIX, ArchiveFiles, pack
from cluster.storage.copying import INDEX, Copied, Progress, fetch, send
from cluster.storage.files import Files, Head
from cluster.storage.opening import is_address, open_files
from tune.directory.layout import JOURNAL
from tune.directory.leftovers import leftovers
from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir
from tune.errors import UsageError


def sync(source: str, target: str, *, force: bool = False, tick: Progress) -> Copied:
    """Bring a copy of a folder up to date, or a folder with its copy.

    Args:
        source: A folder, or where a copy is: gs://BUCKET/FOLDER, a folder, an archive.
        target: Where the copy is to be, or the folder to bring up to date.
        force: Whether changes at the target are given up.
        tick: Told of the bytes done, and of all.

    Raises:
        UsageError: Neither is a folder of this machine, or the target is an archive.
        StorageError: Something cannot be read or written, or changes would be lost.
    """
    if target.endswith(SUFFIX):
        raise UsageError(f"sync: {target}: an archive is made whole: `segtune archive` makes it")
    if is_address(source) and is_address(target):
        raise UsageError(
            "sync: expected a folder of this machine as source or target, got two addresses; copy "
            "to a folder first"
        )
    if source.endswith(SUFFIX):
        return _from_archive(source, Path(target), force=force, tick=tick)
    if is_address(source) or (Path(source) / INDEX).is_file():
        return fetch(open_files(source), Path(target), force=force, tick=tick)
    return send(Path(source), open_files(target), first=(JOURNAL,), force=force, tick=tick)


def archive(folder: Path, target: str, *, tick: Progress) -> int:
    """Pack a folder into one file, checked by reading it; returns the number of files.

    Of a study, what neither resuming nor exporting needs is left out.

    Args:
        folder: The folder.
        target: The archive: a file, or gs://BUCKET/NAME.zip.
        tick: Told of the bytes done, and of all.

    Raises:
        UsageError: The archive's name does not say that it is one.
        StoreError: A driver runs the study, or its files disagree.
        StorageError: Something cannot be read or written.
    """
    if not target.endswith(SUFFIX) or target.endswith(f"/{SUFFIX}"):
        raise UsageError(f"archive: expected a name that ends in {SUFFIX}, got {target}")
    wanted = _needed(folder)
    if not is_address(target):
        return pack(folder, Path(target), wanted=wanted, tick=tick)
    place, _, name = target.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, name)
        files = pack(folder, packed, wanted=wanted, tick=tick)
        with packed.open("rb") as file:
            _place(place, target).put(name, Head(file))
    return files


def _from_archive(source: str, target: Path, *, force: bool, tick: Progress) -> Copied:
    if not is_address(source):
        return fetch(ArchiveFiles(Path(source)), target, force=force, tick=tick)
    place, _, name = source.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, name)
        _place(place, source).get(name, packed)
        return fetch(ArchiveFiles(packed), target, force=force, tick=tick)


def _place(place: str, whole: str) -> Files:
    if place.count("/") < 2 or place.endswith("//"):
        raise UsageError(f"{whole}: expected gs://BUCKET/NAME{SUFFIX}, got no bucket")
    return open_files(place)


def _needed(folder: Path) -> Callable[[str], bool]:
    """Whether a file of a folder is to be packed."""
    if not (folder / JOURNAL).is_file():
        return lambda name: True
    if is_driven(folder):
        raise UsageError(
            f"{folder}: a driver is running this study; archive it when it has ended, or copy it "
            "as it stands with `segtune sync`"
        )
    study = StudyDir.open(folder)
    unneeded = [one.path.relative_to(study.path) for one in leftovers(study)]
    begins = tuple(f"{path.as_posix()}/" for path in unneeded)
    return lambda name: not name.startswith(begins)
