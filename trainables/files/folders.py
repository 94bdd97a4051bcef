"""A folder that is there whole or not at all, whatever is killed while it is made.

It is built under a hidden name beside its place and renamed at the end. An older one is moved aside
first and deleted last; the next run puts it back if a kill fell between the two renames.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.files.errors import FolderError
from trainables.files.whole import bring_to_disk


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """An empty folder to fill; at the end of the block it stands at `place`.

    If the block raises, it is deleted and `place` is as it was. To be used while `place` is
    `locked`.

    Args:
        place: Final folder; what is there is replaced.

    Raises:
        FolderError: It cannot be written.
    """
    building = place.parent / f".{place.name}.new-{uuid.uuid4().hex}"
    try:
        building.mkdir()
    except OSError as error:
        raise FolderError(f"{place}: cannot be written: {error.strerror}") from error
    try:
        yield building
        _put(building, place)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def locked(place: Path, *, wait: bool = False) -> Iterator[None]:
    """The only right to make the folder `place`; the system takes it back from a killed process.

    What a killed process left is cleared away first.

    Args:
        place: Its parent is made if it is not there.
        wait: Whether to wait for another process that is making the same folder.

    Raises:
        FolderError: Another process is making the same folder, or it cannot be written.
    """
    path = place.parent / f".{place.name}.lock"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise FolderError(f"{place}: another process is writing it just now") from error
    except OSError as error:
        raise FolderError(f"{place}: cannot be written: {error.strerror}") from error
    try:
        _clear(place)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _put(building: Path, place: Path) -> None:
    """Move the finished folder to its place, the older one out of the way."""
    old = place.parent / f".{place.name}.old-{uuid.uuid4().hex}"
    if place.exists():
        place.rename(old)
    try:
        building.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(place: Path) -> None:
    """Mend what a killed run left: put the older folder back, delete unfinished ones."""
    for old in sorted(place.parent.glob(f".{place.name}.old-*")):
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(place)
    for unfinished in place.parent.glob(f".{place.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _open_locked(path: Path, how: int) -> int:
    """Open and lock a file that another process may delete meanwhile."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # a file system without locks: better unlocked than not at all
            return descriptor
        if _is_same_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # its last owner deleted it while we waited


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def replace_folder(new: Path, place: Path) -> None:
    """Put a finished folder in place of another one; the old one stays until the new one is whole.

    Args:
        new: A sibling of `place`.
        place: Where it goes; may not exist yet.
    """
    old = place.with_name(place.name + ".old")
    for file in new.rglob("*"):
        if file.is_file():
            bring_to_disk(file)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def finish_replacing(place: Path, marker: str) -> None:
    """Bring a `replace_folder` that was killed half-way to its end.

    Args:
        place: The folder that was being replaced, moved to `<place>.new` when finished.
        marker: The file written last; a folder without it is unfinished.
    """
    new = place.with_name(place.name + ".new")
    old = place.with_name(place.name + ".old")
    if (new / marker).is_file():
        replace_folder(new, place)
    elif not place.exists() and (old / marker).is_file():
        old.rename(place)
    for rest in (new, old):
        shutil.rmtree(rest, ignore_errors=True)
