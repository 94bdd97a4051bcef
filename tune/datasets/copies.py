"""The copy of a data set in a bucket that a machine keeps: by fingerprint, brought once.

::

    ~/.cache/segtune/data/<name>-<fingerprint>/     a prepared data set as any other

Manifest and annotations come when a study is planned, pictures before one trains. Each file comes
whole or not at all and is held against the hash that it was prepared with, so a copy that was cut
goes on where it was, and one that somebody has changed is mended. Whatever asks for a copy waits
while another process of the machine brings it.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from cluster.errors import MissingError, StorageError
from cluster.storage.copying import Progress, at_once
from cluster.storage.files import Files, Stored
from cluster.storage.opening import open_files
from trainables.datasets.layout import ANNOTATIONS, IMAGES, MANIFEST, ChangedDataError, DatasetError
from trainables.datasets.prepared import (
    PreparedDataset,
    lacking_pictures,
    picture_names,
    read_manifest,
)
from trainables.files.whole import locked, new_file
from trainables.files.words import counted

_CACHE: Final = "XDG_CACHE_HOME"

_PATIENCE_S: Final = 20.0
"""Time in which the first question to a bucket is tried again."""

_LEFT_FREE: Final = 1 << 28  # bytes of a disk that pictures do not fill


class DataAwayError(DatasetError):
    """A bucket with a data set cannot be reached, or answers otherwise than expected."""


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a data set in a bucket.

    Attributes:
        sizes: Bytes of each by its name.
    """

    sizes: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(self.sizes.values())

    def __str__(self) -> str:
        return f"{counted(len(self.sizes), 'picture')}, {self.size / 1e6:.1f} MB"


def open_copy(address: str) -> PreparedDataset:
    """The data set at an address, in its copy on this machine; pictures may still lack there.

    Raises:
        DatasetError: There is none, or the bucket cannot be read.
    """
    files = _at(address, _PATIENCE_S)
    with tempfile.TemporaryDirectory() as scratch, _as_data(address):
        came = Path(scratch, MANIFEST)
        _get(files, MANIFEST, came)
        manifest = read_manifest(came, f"{address}/{MANIFEST}")
        folder = copy_of(manifest["name"], manifest["fingerprint"])
        if not _has(folder, manifest):
            with locked(folder, wait=True):
                _begin(files, folder, came, manifest)
    return PreparedDataset.load(folder)


def fingerprint_at(address: str) -> str:
    """The fingerprint of the data set at an address; nothing is kept.

    Raises:
        DatasetError: As for `open_copy`.
    """
    with tempfile.TemporaryDirectory() as scratch, _as_data(address):
        came = Path(scratch, MANIFEST)
        _get(_at(address, _PATIENCE_S), MANIFEST, came)
        return str(read_manifest(came, f"{address}/{MANIFEST}")["fingerprint"])


def copy_of(name: str, fingerprint: str) -> Path:
    """Where the copy of a data set is on this machine, there or not."""
    return cache_folder("data", f"{name or 'data'}-{fingerprint[:12]}")


def cache_folder(kind: str, name: str) -> Path:
    """Folder of this machine's cache for what has a name, such as an address."""
    cache = os.environ.get(_CACHE) or Path.home() / ".cache"
    plain = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    return Path(cache, "segtune", kind, plain[-120:].strip(".-") or "_")


def pictures_at(address: str, names: Sequence[str]) -> Pictures:
    """Pictures of a data set as its bucket lists them; none is read.

    Args:
        address: Where the data set is.
        names: Their names.

    Raises:
        DatasetError: The bucket cannot be read, or lacks one of them.
    """
    with _as_data(address):
        there = _at(f"{address}/{IMAGES}").listed() if names else {}
    absent = [name for name in names if name not in there]
    if absent:
        raise DatasetError(
            f"{address}/{IMAGES}: expected all pictures of the data set, {len(absent)} of them "
            f"missing, the first is {absent[0]}; `segtune sync DATA {address}` brings the rest"
        )
    return Pictures({name: there[name].size for name in names})


def fetch_line(data: PreparedDataset, address: str) -> str:
    """What a data set in a bucket holds, and what of it is still to come to this machine.

    Raises:
        DatasetError: As for `pictures_at`.
    """
    every, missing = pictures_at(address, picture_names(data)), lacking_pictures(data)
    if not missing:
        return f"fetched     {every}, all of which are in {data.root} already"
    left = Pictures({name: every.sizes[name] for name in missing})
    some = f"{left} of {every}" if len(missing) < len(every.sizes) else f"{every}"
    return f"fetched     {some}, once, to {data.root} of each machine that trains"


def bring(
    address: str,
    data: PreparedDataset,
    tick: Progress = lambda done, total: None,
) -> PreparedDataset:
    """The data set with all its pictures on this machine; a bucket is only asked for what lacks.

    Args:
        address: Where it is.
        data: The data set, as any machine has opened it.
        tick: Told of the bytes done, and of all.

    Raises:
        DataAwayError: The bucket cannot be reached.
        DatasetError: It holds another data set by now, or a part of it; or the disk has no room.
    """
    folder = copy_of(data.name, data.fingerprint)
    if not _has(folder, data.manifest) and open_copy(address).fingerprint != data.fingerprint:
        raise ChangedDataError(
            f"{address}: expected the data set of fingerprint {data.fingerprint[:12]}, got another "
            "by now; put each data set at an address of its own"
        )
    with locked(folder, wait=True):
        here = PreparedDataset.load(folder)
        missing = pictures_at(address, lacking_pictures(here))
        if missing.sizes:
            _bring_pictures(address, here, missing, tick)
    return here


# --- what comes
def _begin(files: Files, folder: Path, came: Path, manifest: Mapping[str, Any]) -> None:
    """Make a copy without pictures; the manifest that came is put in place last."""
    if _has(folder, manifest):  # by another process, just now
        return
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    with new_file(folder / ANNOTATIONS) as temporary:
        _get(files, ANNOTATIONS, temporary)
    with new_file(folder / MANIFEST) as temporary:
        shutil.copyfile(came, temporary)


def _bring_pictures(address: str, data: PreparedDataset, missing: Pictures, tick: Progress) -> None:
    folder = data.root / IMAGES
    _check_room(folder, missing)
    files, work = _at(f"{address}/{IMAGES}"), _Work(missing.size, tick)

    def one(name: str) -> None:
        with new_file(folder / name, on_disk=False) as temporary:
            work.done(files.get(name, temporary))

    with _as_data(address):
        at_once(one, list(missing.sizes))
    if wrong := lacking_pictures(data):
        raise ChangedDataError(
            f"{address}/{IMAGES}: expected the pictures that were prepared, got "
            f"{counted(len(wrong), 'other')}, the first is {wrong[0]}; copy the data set there "
            f"again: segtune sync DATA {address} --force"
        )


def _check_room(folder: Path, missing: Pictures) -> None:
    free = shutil.disk_usage(folder).free
    if missing.size + _LEFT_FREE > free:
        raise DatasetError(
            f"{folder}: expected room for {missing}, got {free / 1e6:.0f} MB; XDG_CACHE_HOME names "
            "another disk for what is kept here"
        )


class _Work:
    """Bytes that came, counted for all threads."""

    def __init__(self, total: int, tick: Progress) -> None:
        self._lock, self._total, self._tick, self._done = Lock(), total, tick, 0

    def done(self, came: Stored) -> None:
        """Count a file that came."""
        with self._lock:
            self._done += came.size
            self._tick(self._done, self._total)


def told(tell: Callable[[str], Any], every_s: float = 10.0) -> Progress:
    """Progress as lines, one now and then: what has come, and how long the rest will take."""
    began = said = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= every_s:
            said = now
            left = (now - began) / max(done, 1) * (total - done)
            tell(f"data: {done / 1e6:.0f} of {total / 1e6:.0f} MB came, {left:.0f} s left")

    return tick


# --- the bucket, in words of a data set
def _at(place: str, patience_s: float | None = None) -> Files:
    return open_files(place, patience_s)


def _has(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether a folder has this manifest of a data set, and its annotations as prepared.

    Data of one fingerprint may have other files and other sizes of a pixel: models see the same.
    """
    try:
        there = read_manifest(folder / MANIFEST)
        with (folder / ANNOTATIONS).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (DatasetError, OSError):
        return False
    return there == manifest and bool(there["annotations_sha256"] == digest)


def _get(files: Files, name: str, target: Path) -> None:
    try:
        files.get(name, target)
    except MissingError as error:
        raise DatasetError(
            f"{files.place}: expected a prepared data set, found no {name} there; "
            f"`segtune sync DATA {files.place}` puts one there"
        ) from error


@contextmanager
def _as_data(address: str) -> Iterator[None]:
    """What is wrong with a bucket or a disk is wrong with the data set."""
    try:
        yield
    except StorageError as error:
        raise DataAwayError(str(error)) from error
    except OSError as error:
        raise DatasetError(
            f"{address}: its copy cannot be written: {error.filename}: {error.strerror}"
        ) from error
