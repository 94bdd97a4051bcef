"""A mirrored study brought to a folder of this machine, or the folder brought up to date.

What the folder has and the mirror does not tells what happened: a journal that goes further is that
of the driver that shipped, with what it had not shipped yet; one that ends earlier is behind; one
that went another way is that of a driver that was fenced, and is set aside whole.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cluster.errors import MissingError, StorageError
from cluster.storage.documents import Documents
from cluster.storage.files import Objects, Stored, below, content_of
from cluster.storage.lease import read_lease
from cluster.storage.segments import read_segments
from trainables.files.whole import replace_folder, write_whole
from tune.directory.layout import DIARY, JOURNAL, attempt_number, attempts
from tune.mirror.records import TRIAL_FILES, Content, Shipped, add_up

Standing = Literal["absent", "behind", "same", "ahead", "apart"]
"""Where the journal of a folder stands to that of the mirror."""

Wanted = Callable[[str], bool]
"""Whether a folder of a mirror is wanted, by its name."""

_AT_ONCE: Final = 8

_CUT: Final = ".bringing"
"""Hidden file of a study directory that is not all there yet."""

_TRIES: Final = 5  # readings of a mirror that its driver tidies up meanwhile


@dataclass(frozen=True)
class Place:
    """Where a mirror is.

    Attributes:
        address: The address, for people.
        documents: Holds its lease.
        objects: Holds its segments and its large contents.
    """

    address: str
    documents: Documents
    objects: Objects


def read_mirror(place: Place) -> Shipped:
    """The files of a study as they were shipped.

    Raises:
        StorageError: The place cannot be read, or is damaged.
    """
    for _ in range(_TRIES):
        lease = read_lease(place.documents)
        try:
            return add_up(read_segments(place.objects, lease.base if lease else ""), place.address)
        except MissingError as error:  # its driver has just put segments together
            missing = error
    raise missing


def standing(folder: Path, shipped: Shipped) -> Standing:
    """Where the journal of a folder stands to that of a mirror."""
    path = folder / JOURNAL
    if not path.is_file():
        return "absent"
    here, there = path.read_bytes(), bytes(shipped.files[JOURNAL])
    here = here[: here.rfind(b"\n") + 1]  # a line without its end was never decided
    if here == there:
        return "same"
    if here.startswith(there):
        return "ahead"
    return "behind" if there.startswith(here) else "apart"


def bring(
    place: Place,
    folder: Path,
    wanted: Wanted = lambda name: True,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Standing:
    """Bring a folder up to date with a mirror; says how it stood before.

    Args:
        place: The mirror.
        folder: The study directory.
        wanted: Whether a folder, such as a checkpoint, is wanted.
        tick: Told of the number of folders that are done, and of all.

    Raises:
        StorageError: The mirror cannot be read, is damaged, or has no study.
        OSError: The folder cannot be written.
    """
    for attempt in range(1, _TRIES + 1):
        shipped = read_mirror(place)
        if JOURNAL not in shipped.files:
            raise StorageError(f"{place.address}: expected a study, found none")
        was = standing(folder, shipped)
        if was == "ahead":
            return was
        if was == "apart":
            folder.rename(aside(folder))
        try:
            _Bringing(place.objects, folder, shipped, was == "same").all(wanted, tick)
        except MissingError:  # a checkpoint has just been replaced by its next
            if attempt == _TRIES:
                raise
        else:
            return was
    raise AssertionError


def is_cut(folder: Path) -> bool:
    """Whether a folder is what a bringing has left that was ended in its middle."""
    return (folder / _CUT).is_file()


def aside(folder: Path) -> Path:
    """Where a folder goes whose driver was fenced; nothing of it is deleted."""
    return folder.with_name(f"{folder.name}.fenced-{time.time_ns()}")


@dataclass(frozen=True)
class _Bringing:
    """One bringing.

    Attributes:
        objects: Where large contents come from.
        folder: The study directory.
        shipped: What is to be there.
        fill: Whether what is there stays, and only what is not comes.
    """

    objects: Objects
    folder: Path
    shipped: Shipped
    fill: bool

    def all(self, wanted: Wanted, tick: Callable[[int, int], None]) -> None:
        """Bring everything, the journal last: a bringing that was cut is behind, and done again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _CUT).touch()
        names = [name for name in self.shipped.folders if wanted(name)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, _ in enumerate(pool.map(self._folder, names), start=1):
                tick(done, len(names))
            names = [n for n in self.shipped.files if n not in (JOURNAL, DIARY)]
            list(pool.map(self._file, names))
        if not (self.folder / DIARY).exists():  # segments of earlier versions have one
            self._file(DIARY)
        if not self.fill:
            self._remove_outdated()
            self._set_strangers_aside()
        self._file(JOURNAL)
        (self.folder / _CUT).unlink()

    def _file(self, name: str) -> None:
        path = below(self.folder, name)
        text = self.shipped.files.get(name)
        if text is None or (self.fill and path.exists()):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != text:
            write_whole(path, lambda temporary: temporary.write_bytes(text), on_disk=False)

    def _folder(self, name: str) -> None:
        place, files = below(self.folder, name), self.shipped.folders[name]
        if place.is_dir() and (self.fill or self._is_equal(place, files)):
            return
        new = place.with_name(place.name + ".new")
        new.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            if content.inline is None:
                self._fetch(content, below(new, file))
            else:
                below(new, file).write_bytes(content.inline)
        replace_folder(new, place)

    def _is_equal(self, place: Path, files: Mapping[str, Content]) -> bool:
        there = {path.name for path in place.iterdir()}
        return there == set(files) and all(
            content_of(place / file) == Stored(content.size, content.crc32c)
            if content.inline is None
            else (place / file).read_bytes() == content.inline
            for file, content in files.items()
        )

    def _fetch(self, content: Content, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        came = self.objects.get(content.stored, target)
        if came != Stored(content.size, content.crc32c):
            raise StorageError(
                f"{self.objects.place}/{content.stored}: expected the {content.size} bytes that "
                "were shipped, got others"
            )

    def _remove_outdated(self) -> None:
        """Remove what a trial's folder says of a state that it is not in any more."""
        known = self.shipped.files
        for trial in {name.rpartition("/")[0] for name in known if name.startswith("trials/")}:
            for name in (f"{trial}/{file}" for file in TRIAL_FILES):
                if name not in known:
                    below(self.folder, name).unlink(missing_ok=True)

    def _set_strangers_aside(self) -> None:
        """Keep attempts from being gone on with that the mirror does not know."""
        known = {name.rpartition("/")[0] for name in self.shipped.folders}
        trials = {name.rpartition("/")[0] for name in known}
        for trial in trials:
            of_trial = [name for name in known if name.startswith(f"{trial}/attempt-")]
            newest = max((attempt_number(Path(name)) for name in of_trial), default=0)
            for attempt in attempts(self.folder / trial):
                if attempt_number(attempt) > newest:
                    attempt.rename(aside(attempt.with_name(f"fenced-{attempt.name}")))
