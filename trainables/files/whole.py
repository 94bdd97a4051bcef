"""Files and folders that are there whole or not at all, whatever is killed while they are made.

Each is made under a hidden name beside its place, brought to the disk and renamed. A folder that is
replaced is moved aside first and deleted last: a kill between the two renames is mended by the next
who makes it.
"""

import contextlib
import csv
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from trainables.files.cells import csv_row
from trainables.files.errors import FolderError

FULL_DISK: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
"""Numbers of `OSError` that say that there is no room."""

_SYNCED_AT_ONCE: Final = 16  # files waited for together share the disk's own writes

_NO_SUCH_SYNC: Final = frozenset((errno.EINVAL, errno.ENOTSUP))  # of a folder, on some networks'


# --- files


@contextmanager
def new_file(path: Path, *, on_disk: bool = True) -> Iterator[Path]:
    """A file to write; at the end of the block it stands at `path`.

    Its suffix is that of `path`, as some writers look at it. If the block raises, it is deleted and
    `path` is as it was.

    Args:
        path: Final place; a file there is replaced.
        on_disk: Whether to wait for the disk, which is needless where the file is brought there
            later, together with others (`bring_to_disk`).

    Raises:
        OSError: It cannot be written; named by its own name, not by the temporary one.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        if on_disk:  # else a power cut may leave the name without the content
            _sync(temporary)
        temporary.replace(path)
        if on_disk:
            _sync(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
            del error.filename2  # with None in it, its message ends in "-> None"
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object], *, on_disk: bool = True) -> Path:
    """Write a file with a function that is given where to write; returns `path`.

    Args:
        path: The file.
        write: Writes it.
        on_disk: As for `new_file`.

    Raises:
        OSError: As for `new_file`.
    """
    with new_file(path, on_disk=on_disk) as temporary:
        write(temporary)
    return path


def write_text(path: Path, text: str, *, on_disk: bool = True) -> None:
    """Write a text as UTF-8.

    Args:
        path: The file.
        text: All of it.
        on_disk: As for `new_file`.

    Raises:
        OSError: As for `new_file`.
    """
    with new_file(path, on_disk=on_disk) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, on_disk: bool = True) -> None:
    """Write a value as JSON; what JSON does not know, as its text.

    Args:
        path: The file.
        value: The value.
        on_disk: As for `new_file`.
    """
    write_text(path, json.dumps(value, indent=2, default=str) + "\n", on_disk=on_disk)


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write rows as CSV with every column that any of them has, "epoch" or "group" first."""
    first = [name for name in ("epoch", "group") if rows and name in rows[0]]
    columns = dict.fromkeys([*first, *(name for row in rows for name in row)])
    with new_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(columns), restval="")
        table.writerow(csv_row({name: name for name in columns}))
        table.writerows(map(csv_row, rows))
    return path


def cut_torn_line(path: Path) -> None:
    """Drop what follows the last line end: a line that a crash left half written.

    Optuna reads such a file once, and never again after the next append.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


# --- folders


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
        take_place(building, place)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def take_place(new: Path, place: Path) -> None:
    """Put a finished folder in place of what is there, while `place` is `locked`.

    Args:
        new: A sibling of `place`.
        place: Final folder; may not exist yet.
    """
    _put(new, place, place.parent / f".{place.name}.old-{uuid.uuid4().hex}")


@contextmanager
def locked(place: Path, *, wait: bool = False) -> Iterator[None]:
    """The only right to make the folder `place`; the system takes it back from a killed process.

    What a killed process left is cleared away first.

    Args:
        place: The folder; its parent is made if it is not there.
        wait: Whether to wait for another process that is making the same folder.

    Raises:
        FolderError: Another process is making the same folder, or it cannot be written.
    """
    lock = FileLock(place.parent / f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        taken = lock.acquire(wait=wait)
    except OSError as error:
        raise FolderError(f"{place}: cannot be written: {error.strerror}") from error
    if not taken:
        raise FolderError(f"{place}: another process is writing it just now")
    try:
        _clear(place)
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()


def replace_folder(new: Path, place: Path) -> None:
    """Put a finished folder in place of another one; the old one stays until the new one is whole.

    Args:
        new: A sibling of `place`.
        place: Final folder; may not exist yet.
    """
    old = place.with_name(place.name + ".old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
    _put(new, place, old)


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


def _put(new: Path, place: Path, old: Path) -> None:
    """Move a finished folder to its place; an older one there waits at `old` until that is done."""
    _sync_tree(new)
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except OSError:
        if old.exists() and not place.exists():
            old.rename(place)
        raise
    _sync(place.parent)
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


# --- the disk


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk, safe from a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (error.errno in _NO_SUCH_SYNC and path.is_dir()):
            raise
    finally:
        os.close(descriptor)


def bring_to_disk(paths: Iterable[Path]) -> None:
    """Wait until files and folders are on the disk, safe from a power cut; together, for speed."""
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        list(pool.map(_sync, paths))


def _sync_tree(folder: Path) -> None:
    """Wait until a folder and all that is in it are on the disk."""
    bring_to_disk([*(path for path in folder.rglob("*") if not path.is_symlink()), folder])


# --- locks


class FileLock:
    """A lock on a file that the system takes back from a killed process.

    Whoever waits for it is woken by the system; of one process, each holder has a lock of its own.

    Attributes:
        path: The file; made where it is not there.
        descriptor: The open file while the lock is held, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; False where another one holds it and is not to be waited for.

        Raises:
            OSError: The file cannot be opened.
        """
        how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        while self.descriptor is None:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, how)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError:  # a file system without locks: better unlocked than not at all
                self.descriptor = descriptor
            else:
                self._keep_if_there(descriptor)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()

    def _keep_if_there(self, descriptor: int) -> None:
        """Take a locked file for the lock, unless its last holder deleted it while we waited."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                self.descriptor = descriptor
                return
        os.close(descriptor)
