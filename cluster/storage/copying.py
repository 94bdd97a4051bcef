"""Copies of a folder at another place, and back: whole or not at all, and never over a change.

A copy has an index, written last: the names and checksums of its files. A copy without one is
unfinished and is not read. What is equal at both ends is not sent again, so a copy that was cut
goes on where it was.

The folder here remembers what it and the copy held when they were last equal. A file that has
changed since at the end that is to be written over is somebody's work: it is named, and nothing is
written.
"""

import contextlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from cluster.errors import StorageError
from cluster.storage.files import Files, Head, Stored, below, content_of, crc32c, head_of
from cluster.storage.folder_files import FolderFiles
from trainables.files.whole import locked, take_place, write_text

INDEX: Final = "segtune-index.json"
"""File of a copy that lists its files."""

MEMORY: Final = ".segtune-copies.json"
"""File of a folder that says what its copies held when they were equal to it."""

Progress = Callable[[int, int], None]
"""Called with the number of bytes done and of all, from any thread, one call at a time."""

_T = TypeVar("_T")

_AT_ONCE: Final = 8  # files on their way

_NAMED: Final = 3  # files named in a message


@dataclass(frozen=True)
class Copied:
    """What was done.

    Attributes:
        sent: Number of files that went over.
        size: Bytes of them.
        equal: Number of files that were there already.
    """

    sent: int
    size: int
    equal: int


def send(
    folder: Path,
    place: Files,
    *,
    first: Sequence[str] = (),
    force: bool = False,
    tick: Progress = lambda done, total: None,
) -> Copied:
    """Make a copy of a folder, or bring it up to date.

    Args:
        folder: The folder; hidden files stay here.
        place: Where the copy is to be.
        first: Names of files that are read before all others, as others may run ahead of them.
        force: Whether files of the copy that others have changed are written over.
        tick: Told of the progress.

    Raises:
        StorageError: A place cannot be read or written, or the copy has changed since, or is one of
            another folder.
    """
    names = _names(folder)
    if not names:
        raise StorageError(f"{folder}: expected files to copy, found none")
    for name in names:
        below(folder, name)  # what could not be brought back is not sent
    ordered = [*(n for n in first if n in names), *(n for n in names if n not in first)]
    there = {name: stored for name, stored in place.listed().items() if name != INDEX}
    last = _remembered(folder, place.place)
    here = {} if force else _contents(folder, (name for name in ordered if name in there))
    changed = [name for name in here if there[name] not in (here[name], last.get(name))]
    if changed:
        raise StorageError(
            f"{place.place}: {_some(changed)} changed there since the last copy, or "
            f"{'it is' if len(changed) == 1 else 'they are'} another folder's; nothing is written: "
            "name another place, or --force to write over them"
        )
    sizes = {name: (folder / name).stat().st_size for name in ordered}
    work = _Work(sum(sizes.values()), tick)
    equal_now = dict(last)

    def one(name: str) -> Stored:
        with (folder / name).open("rb") as file:
            source = Head(file)
            equal = there.get(name) == source.stored
            if not equal:
                place.put(name, source)
        equal_now[name] = source.stored
        work.done(source.stored, equal=equal, expected=sizes[name])
        return source.stored

    with _translated(folder):
        try:
            sent = {name: one(name) for name in ordered if name in first}
            sent |= at_once(one, [name for name in ordered if name not in first])
            _put_index(place, sent)
            equal_now = sent
        finally:
            _remember(folder, place.place, equal_now)
    return work.copied


def fetch(
    place: Files,
    folder: Path,
    *,
    force: bool = False,
    tick: Progress = lambda done, total: None,
) -> Copied:
    """Bring a copy to this machine, or the folder here up to date with it.

    The files come to a hidden folder beside it, which takes its place when all are there; one that
    was cut goes on with what came.

    Args:
        place: Where the copy is.
        folder: Folder to make, or to replace.
        force: Whether files here that have changed, or that the copy lacks, are given up.
        tick: Told of the progress.

    Raises:
        StorageError: A place cannot be read or written, there is no finished copy, or files here
            would be lost.
    """
    index = _index(place)
    folder = folder.absolute()
    with locked(folder), _translated(folder):
        had = _contents(folder, _names(folder)) if folder.is_dir() else {}
        if not force:
            _refuse_loss(had, index, _remembered(folder, place.place), folder)
        new = folder.with_name(f".{folder.name}.coming")
        work = _Work(sum(stored.size for stored in index.values()), tick)
        new.mkdir(exist_ok=True)

        def one(name: str) -> None:
            target, stored = below(new, name), index[name]
            target.parent.mkdir(parents=True, exist_ok=True)
            equal = target.is_file() and content_of(target) == stored
            if not equal and had.get(name) == stored:
                target.unlink(missing_ok=True)
                shutil.copy2(folder / name, target)
                equal = True
            if not equal and place.get(name, target) != stored:
                raise StorageError(
                    f"{place.place}/{name}: expected the file that the copy's index lists, got "
                    "another; a copy is being made there: fetch it again when that has ended"
                )
            work.done(stored, equal=equal, expected=stored.size)

        at_once(one, list(index))
        for extra in set(_names(new)) - set(index):
            (new / extra).unlink()
        _keep_hidden(folder, new)
        _remember(new, place.place, index)
        take_place(new, folder)
    return work.copied


class _Work:
    """What is done of a copy, counted for all threads."""

    def __init__(self, total: int, tick: Progress) -> None:
        self._lock = threading.Lock()
        self._total, self._done, self._tick = total, 0, tick
        self.copied = Copied(0, 0, 0)

    def done(self, stored: Stored, *, equal: bool, expected: int) -> None:
        """A file is at both ends."""
        with self._lock:
            old = self.copied
            self.copied = Copied(
                old.sent + (not equal), old.size + stored.size * (not equal), old.equal + equal
            )
            self._done += expected
            self._tick(self._done, self._total)


def at_once(act: Callable[[str], _T], names: Sequence[str]) -> dict[str, _T]:
    """Do the same for several files at once; the first error ends what has not begun.

    Args:
        act: What is done with a file of a name.
        names: Names of the files.

    Returns:
        What it returned, by name.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running: dict[str, Future[_T]] = {name: pool.submit(act, name) for name in names}
        try:
            wait(running.values(), return_when=FIRST_EXCEPTION)
            failed = (f for f in running.values() if f.done() and not f.cancelled())
            for future in failed:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return {name: future.result() for name, future in running.items()}


# --- what is equal, and what would be lost


def _refuse_loss(
    had: Mapping[str, Stored],
    index: Mapping[str, Stored],
    last: Mapping[str, Stored],
    folder: Path,
) -> None:
    own = [name for name in had if name not in index and had[name] != last.get(name)]
    changed = [n for n in had if n in index and had[n] not in (index[n], last.get(n))]
    for names, what in ((changed, "changed here since the last copy"), (own, "not in the copy")):
        if names:
            raise StorageError(
                f"{folder}: {_some(names)} {'is' if len(names) == 1 else 'are'} {what}; nothing is "
                "written: name another folder, or --force to give them up"
            )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _names(folder: Path) -> list[str]:
    """Files of a folder; the index of one that is a copy itself is none."""
    return [name for name in FolderFiles(folder).names() if name != INDEX]


def _contents(folder: Path, names: Iterable[str]) -> dict[str, Stored]:
    with _translated(folder):
        return at_once(lambda name: content_of(folder / name), list(names))


def _keep_hidden(folder: Path, new: Path) -> None:
    """Hidden files of the top of a folder that is replaced, such as a lock, stay."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if path.is_file() and path.name != MEMORY:
            shutil.copy2(path, new / path.name)


# --- the index, and what is remembered here


def index_text(files: Mapping[str, Stored]) -> str:
    """The index of a copy that has these files."""
    content = {"files": files, "crc32c": _checksum(files)}
    return json.dumps(content, indent=0, sort_keys=True) + "\n"


def _checksum(files: Mapping[str, Stored]) -> str:
    return crc32c(iter([json.dumps(files, sort_keys=True).encode()]))


def _put_index(place: Files, files: Mapping[str, Stored]) -> None:
    with head_of(index_text(files).encode()) as index:
        place.put(INDEX, index)


def _index(place: Files) -> dict[str, Stored]:
    """The files of a copy, by name."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, INDEX)
        try:
            place.get(INDEX, copy)
        except StorageError as error:
            raise StorageError(
                f"{error}; it is written last: there is no copy, or an unfinished one (a study "
                f"that is shipped while it runs has none: `segtune status {place.place}` brings it)"
            ) from error
        try:
            files = _whole_index(json.loads(copy.read_text("utf-8")))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            said = f"{place.place}/{INDEX}: expected a list of files, got {error!r}"
            raise StorageError(said) from error
    for name in files:
        below(Path(), name)
    return files


def _whole_index(content: Any) -> dict[str, Stored]:
    files = _read_index(content)
    if content.get("crc32c", _checksum(files)) != _checksum(files):  # of earlier versions: none
        raise ValueError("another checksum")
    return files


def _read_index(content: Any) -> dict[str, Stored]:
    return {
        str(name): Stored(int(size), str(checksum))
        for name, (size, checksum) in content["files"].items()
    }


def _remembered(folder: Path, place: str) -> dict[str, Stored]:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        return _read_index(json.loads((folder / MEMORY).read_text("utf-8"))[place])
    return {}


def _remember(folder: Path, place: str, files: Mapping[str, Stored]) -> None:
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads((folder / MEMORY).read_text("utf-8")))
    known[place] = {"files": files}
    with contextlib.suppress(PermissionError):  # of a folder that may only be read
        write_text(folder / MEMORY, json.dumps(known, sort_keys=True) + "\n")


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or folder}: expected a file that can be read and written, got: "
            f"{error.strerror}"
        ) from error
