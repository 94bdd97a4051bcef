"""A study named by its mirror's address: its working copy on this machine, brought up to date.

The copy lies in the user's cache, one for each address, and is a study directory as any other. A
driver that goes on with the study works in it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cluster.errors import StorageError
from cluster.storage.lease import LEASE
from cluster.storage.opening import is_address
from trainables.files.whole import locked
from trainables.trials.layout import ARTIFACT_FOLDER, BEST_FOLDER
from tune.directory.layout import JOURNAL
from tune.directory.lock import is_driven
from tune.errors import StoreError
from tune.mirror.bringing import Wanted as Wanted
from tune.mirror.bringing import bring, read_mirror
from tune.mirror.diaries import bring_diary
from tune.mirror.mirror import place_of

_CACHE: Final = "XDG_CACHE_HOME"


def nothing(name: str) -> bool:
    """No checkpoint and no model: what `status` needs."""
    del name
    return False


def results(name: str) -> bool:
    """Models and artifacts: what `report` and `export` need."""
    return name.rpartition("/")[2] in (BEST_FOLDER, ARTIFACT_FOLDER)


def everything(name: str) -> bool:
    """Checkpoints, too: what a driver needs to go on."""
    del name
    return True


def is_mirror(place: str | Path) -> bool:
    """Whether a place is a mirror's, not a study directory: a bucket's address, or a folder."""
    return is_address(str(place)) or (Path(place) / LEASE).is_file()


def copy_of(address: str) -> Path:
    """Where the working copy of a mirrored study is on this machine, there or not."""
    cache = os.environ.get(_CACHE) or Path.home() / ".cache"
    parts = address.rstrip("/").removeprefix("gs://").strip("/").split("/")
    if is_address(address) and len(parts) < 2:
        raise StoreError(f"{address}: expected gs://BUCKET/FOLDER/STUDY, got a bucket alone")
    if {"", ".", ".."} & set(parts):
        raise StoreError(f"{address}: expected gs://BUCKET/FOLDER/STUDY, got an empty part or dots")
    kind = "buckets" if is_address(address) else "folders"
    return Path(cache, "segtune", kind, *parts)


def bring_copy(
    address: str,
    folder: Path,
    wanted: Wanted = everything,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Bring a study's folder up to date with its mirror; one that a driver works in stays.

    Raises:
        StorageError: There is no study, or it cannot be read.
        StoreError: The folder cannot be written.
    """
    try:
        with locked(folder, wait=True):
            place = place_of(address)
            if not is_driven(folder):
                bring(place, folder, wanted, tick)
            bring_diary(place, folder)
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: expected a folder to bring {address} to, got: "
            f"{error.strerror}"
        ) from error
    return folder


def has_study(address: str) -> bool:
    """Whether a mirror has a study.

    Raises:
        StorageError: It cannot be read.
    """
    return JOURNAL in read_mirror(place_of(address)).files


def refuse_absent(address: str, folder: Path) -> None:
    """Refuse to use a working copy that is not there.

    Raises:
        StorageError: There is none.
    """
    if not (folder / JOURNAL).is_file():
        raise StorageError(
            f"{address}: expected a copy at {folder}, found none: drop --no-download"
        )
