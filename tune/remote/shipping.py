"""Data that nodes do not have: sent to a study's storage once, and known by fingerprint."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import JobError
from cluster.jobs.cluster import Cluster
from cluster.jobs.following import Starting, follow
from cluster.jobs.job import Job
from cluster.jobs.sending import Progress, send_folder
from cluster.storage.copying import send
from cluster.storage.opening import is_address, open_files
from trainables.datasets.prepared import DatasetError, PreparedDataset, picture_names
from tune.datasets.copies import DataAwayError, fingerprint_at, pictures_at
from tune.job.order import READY, RECEIVE, Place
from tune.remote.beside import begin_beside, ended_beside

FOLDER: Final = ".data"
"""Folder within a storage that holds the data sets which were sent there."""

_TOLD_S: Final = 10.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Shipment:
    """A data set that is to be sent.

    Attributes:
        folder: Where it lies on this machine.
        place: Where it is to be on the nodes.
    """

    folder: Path
    place: Place


def shipment_of(data: PreparedDataset, folder: Path, storage: str) -> Shipment:
    """A data set on its way to a storage or a bucket, under a name that only the same data have.

    Args:
        data: The data set.
        folder: Where it is on this machine.
        storage: The storage of its study; or gs://BUCKET/FOLDER, below which it is to lie.
    """
    name = f"{data.name}-{data.fingerprint[:12]}"
    below = storage.rstrip("/") if is_address(storage) else f"{storage}/{FOLDER}"
    return Shipment(folder, Place("data", f"{below}/{name}", data.fingerprint))


def ship(cluster: Cluster, shipment: Shipment, tell: Tell) -> None:
    """Send a data set to a cluster, or to a bucket that its nodes read, unless it is there.

    Raises:
        JobError: The head cannot take it, or not all of it came.
        StorageError: The bucket cannot be written.
    """
    if is_address(shipment.place.path):
        _to_bucket(shipment, tell)
        return
    transfer = uuid.uuid4().hex[:12]
    taker = begin_beside(cluster, [RECEIVE, transfer], [shipment.place])
    said: list[str] = []
    taker = follow(cluster, taker, said.append, tell, lambda log: READY in log, Starting(cluster))
    broken = None
    if not taker.ended:
        try:
            _send(cluster, shipment, transfer, taker, tell)
        except JobError as error:  # the other end says more, if it is the cause
            broken = error
    answer, well = ended_beside(cluster, taker, tell)
    if not well:
        raise JobError(answer.splitlines()[-1].removeprefix("segtune: ")) from broken
    if broken is not None:
        raise broken
    tell(answer.splitlines()[-1])


def _to_bucket(shipment: Shipment, tell: Tell) -> None:
    place = shipment.place.path
    if _is_whole(shipment):
        tell(f"data is there already: {place}")
        return
    done = send(shipment.folder, open_files(place), tick=_progress(shipment.folder.name, tell))
    tell(f"data was sent to {place}: {done.size / 1e6:.1f} MB, {done.equal} files were there")


def _is_whole(shipment: Shipment) -> bool:
    """Whether a bucket has the data set, whoever sent it: no two reports of one are equal.

    Raises:
        DataAwayError: It cannot be reached.
    """
    place = shipment.place
    try:
        there = fingerprint_at(place.path)
        pictures_at(place.path, picture_names(PreparedDataset.load(shipment.folder)))
    except DataAwayError:
        raise
    except DatasetError:  # nothing, or a part of it
        return False
    return there == place.fingerprint


def _send(cluster: Cluster, shipment: Shipment, transfer: str, taker: Job, tell: Tell) -> None:
    progress = _progress(shipment.folder.name, tell)
    send_folder(
        cluster, shipment.folder, transfer, lambda: not cluster.refreshed(taker).ended, progress
    )


def _progress(name: str, tell: Tell) -> Progress:
    """Lines about what was sent, and how long the rest will take, now and then."""
    began = told = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > _TOLD_S:
            told = now
            left = (now - began) / max(done, 1) * (total - done)
            tell(f"data {name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB sent, {left:.0f} s left")

    return tick
