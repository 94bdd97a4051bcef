"""Checkpoints and models of a study, shipped from beside their trials.

A folder is caught by hard links, which takes no time and no room, and sent from there: the engine
never waits, and may replace it meanwhile. Of a running or paused trial the best model and the last
checkpoint are kept; of ended ones the best models of all, with their artifacts.
"""

import hashlib
import itertools
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cluster.storage.files import Head, Objects
from cluster.storage.segments import Record
from trainables.goal import NO_STANDING, Goal, Standing
from trainables.trials.keeping import read_kept
from trainables.trials.layout import (
    ARTIFACT_FOLDER,
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    HISTORY_FILE,
    METRICS_FILE,
    RESUME_FOLDER,
)
from tune.directory.layout import CLOSED, latest_attempt, trial_dir
from tune.mirror.records import DATA, Content, Shipped, filled, gone

CAUGHT: Final = ".shipping"
"""Hidden folder of a study directory with the folders that are on their way."""

_INLINE: Final = 1 << 14
"""Bytes of a file up to which it stands in a record."""

_AT_ONCE: Final = 4

_MARKERS: Final[Mapping[str, str]] = {
    BEST_FOLDER: METRICS_FILE,
    CHECKPOINT_FOLDER: HISTORY_FILE,
    RESUME_FOLDER: HISTORY_FILE,
    ARTIFACT_FOLDER: "",
}
"""The file that is written last into a folder of each kind; a folder without it is unfinished."""

_Key = tuple[int, str]  # number of a trial, and the kind of its folder


@dataclass
class _Kept:
    """A folder that is shipped.

    Attributes:
        name: Name below the study directory.
        state: What tells one of this name from the next.
        files: Its files.
    """

    name: str
    state: tuple[int, ...]
    files: Mapping[str, Content]


@dataclass
class Folders:
    """A study's folders against what was shipped of them; used by one thread.

    Attributes:
        folder: The study directory.
        objects: Where large contents go.
        shipped: What the mirror holds.
        term: Term of this driver, part of the names of what it sends.
        goal: Says which ended trials are the best.
        best: Number of ended trials whose models are kept.
        n_bytes: Bytes of large contents sent so far.
    """

    folder: Path
    objects: Objects
    shipped: Shipped
    term: int
    goal: Goal
    best: int
    _kept: dict[_Key, _Kept] = field(default_factory=dict)
    _ended: dict[int, Standing] = field(default_factory=dict)
    _out: set[int] = field(default_factory=set)
    _users: dict[str, int] = field(default_factory=dict)  # of each object
    _by_content: dict[bytes, Content] = field(default_factory=dict)
    _unused: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    n_bytes: int = 0

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder / CAUGHT, ignore_errors=True)
        for name, files in self.shipped.folders.items():
            number, kind = int(name.split("/")[1]), _kind(name)
            self._kept[number, kind] = _Kept(name, (), files)
            self._use(files)
        for number in {number for number, _ in self._kept}:
            list(self._rank(number))

    def changes(self, number: int) -> Iterator[Record]:
        """Send what is new of a trial; gives the records of it, each when its objects are there.

        Raises:
            StorageError: The mirror cannot be written.
            OSError: The disk cannot be read or written.
        """
        yield from self._rank(number)
        attempt = latest_attempt(trial_dir(self.folder, number))
        if attempt is None or number in self._out:
            return
        closed = self._is_closed(number)
        for kind in (BEST_FOLDER, ARTIFACT_FOLDER) if closed else (BEST_FOLDER,):
            yield from self._send(number, kind, attempt / kind)
        if closed:
            yield from self._gone(number, CHECKPOINT_FOLDER)
            return
        last = [attempt / name for name in (RESUME_FOLDER, CHECKPOINT_FOLDER)]
        there = [path for path in last if (path / HISTORY_FILE).is_file()]
        if there:
            yield from self._send(number, CHECKPOINT_FOLDER, there[-1])

    def objects_in_use(self) -> set[str]:
        """Names of the objects that what is shipped lies in."""
        return set(self._users)

    def everything(self) -> Iterator[Record]:
        """Records of all that is shipped."""
        for kept in self._kept.values():
            yield filled(kept.name, kept.files)

    def unused(self) -> list[str]:
        """Objects that nothing shipped needs any more; asked once their records are shipped."""
        unused, self._unused = self._unused, []
        return unused

    # --- which are kept

    def _is_closed(self, number: int) -> bool:
        return (trial_dir(self.folder, number) / CLOSED).is_file()

    def _rank(self, number: int) -> Iterator[Record]:
        """Give a closed trial its place among the best; what falls out of them is taken away."""
        attempt = latest_attempt(trial_dir(self.folder, number))
        self._ended.pop(number, None)
        self._out.discard(number)
        if attempt is None or not self._is_closed(number):
            return
        kept = read_kept(attempt / BEST_FOLDER, self.goal.metric)
        self._ended[number] = NO_STANDING if kept is None else self.goal.standing(kept.values)
        while len(self._ended) > self.best:
            last = min(self._ended, key=lambda one: (self._ended[one], -one))
            del self._ended[last]
            self._out.add(last)
            yield from self._drop(last)

    def _drop(self, number: int) -> Iterator[Record]:
        for kind in (BEST_FOLDER, ARTIFACT_FOLDER, CHECKPOINT_FOLDER):
            yield from self._gone(number, kind)

    # --- sending

    def _send(self, number: int, kind: str, source: Path) -> Iterator[Record]:
        before = self._kept.get((number, kind))
        state = _state(source, kind)
        if state is None or (before is not None and before.state == state):
            return
        caught = self.folder / CAUGHT / uuid.uuid4().hex
        try:
            if not _catch(source, caught, _MARKERS[source.name]) or _state(source, kind) != state:
                return  # it was replaced meanwhile: the next report brings the next
            files = self._sent(caught)
        finally:
            shutil.rmtree(caught, ignore_errors=True)
        name = source.relative_to(self.folder).as_posix()
        self._use(files)
        if before is not None and before.name != name:
            yield gone(before.name)
        if before is not None:
            self._give_up(before.files)
        self._kept[number, kind] = _Kept(name, state, files)
        yield filled(name, files)

    def _gone(self, number: int, kind: str) -> Iterator[Record]:
        kept = self._kept.pop((number, kind), None)
        if kept is not None:
            self._give_up(kept.files)
            yield gone(kept.name)

    def _sent(self, caught: Path) -> dict[str, Content]:
        paths = sorted(path for path in caught.rglob("*") if path.is_file())
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            contents = pool.map(self._content, paths)
            return {
                path.relative_to(caught).as_posix(): content
                for path, content in zip(paths, contents, strict=True)
            }

    def _content(self, path: Path) -> Content:
        if path.stat().st_size <= _INLINE:
            return Content(path.read_bytes())
        with path.open("rb") as file:
            head, digest = Head(file), hashlib.blake2b()
            for block in head.blocks():
                digest.update(block)
            known = self._by_content.get(digest.digest())
            if known is not None and self._users.get(known.stored):
                return known
            stored = f"{DATA}{self.term:06d}-{next(self._numbers):06d}"
            self.objects.create(stored, head)
        self.n_bytes += head.stored.size
        content = Content(None, stored, *head.stored)
        self._by_content[digest.digest()] = content
        return content

    def _use(self, files: Mapping[str, Content]) -> None:
        for content in files.values():
            if content.stored:
                self._users[content.stored] = self._users.get(content.stored, 0) + 1

    def _give_up(self, files: Mapping[str, Content]) -> None:
        for content in files.values():
            if content.stored:
                self._users[content.stored] -= 1
                if not self._users[content.stored]:
                    del self._users[content.stored]
                    self._unused.append(content.stored)


def _kind(name: str) -> str:
    last = name.rpartition("/")[2]
    return CHECKPOINT_FOLDER if last == RESUME_FOLDER else last


def _state(source: Path, kind: str) -> tuple[int, ...] | None:
    """What tells a folder from the one that takes its place; None where it is not there."""
    with suppress(FileNotFoundError):
        of_folder = source.stat()
        if kind != ARTIFACT_FOLDER:
            return of_folder.st_ino, of_folder.st_mtime_ns
        files = [path.stat() for path in sorted(source.rglob("*")) if path.is_file()]
        if files:
            return tuple(value for file in files for value in (file.st_ino, file.st_mtime_ns))
    return None


def _catch(source: Path, to: Path, marker: str) -> bool:
    """Link a folder's files to another place; False where it is not whole, or is gone."""
    try:
        for path in [path for path in source.rglob("*") if path.is_file()]:
            target = to / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, target)
    except FileNotFoundError:
        return False
    return to.is_dir() and (not marker or (to / marker).is_file())


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:  # a disk without links
        if not path.exists():
            raise FileNotFoundError(path) from None
        shutil.copyfile(path, target)
