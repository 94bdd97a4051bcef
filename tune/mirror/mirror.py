"""The mirror of a study that runs: taken, compared with the folder here, shipped to, given back."""

import contextlib
import logging
import os
import shlex
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.errors import ClusterError, StorageError
from cluster.storage.lease import Lease, Taker, read_lease
from cluster.storage.opening import open_documents, open_objects
from trainables.files.whole import write_json
from tune.directory.layout import JOURNAL, read_json, trial_numbers
from tune.directory.lock import is_driven
from tune.errors import StoreError
from tune.mirror.bringing import Place, read_mirror, standing
from tune.mirror.diaries import share_diary
from tune.mirror.files import Files
from tune.mirror.folders import Folders
from tune.mirror.holding import Hold, Holding
from tune.mirror.records import Shipped
from tune.mirror.shipping import Counts, Shipping

if TYPE_CHECKING:
    from tune.study.study import Study

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 60.0  # for what is left to ship when a study ends


def mirror_address(study: "Study") -> str:
    """Where a study's mirror is; "" where it has none."""
    return "" if study.mirror is None else f"{study.mirror.place}/{study.study}"


def place_of(address: str, patience_s: float | None = None) -> Place:
    """The place of a mirror; nothing is read yet.

    Args:
        address: gs://BUCKET/FOLDER/STUDY, or a folder.
        patience_s: Time in which a look at the lease is tried again.
    """
    return Place(address, open_documents(address, patience_s), open_objects(address))


_HOLDER: Final = ".mirror-holder.json"
"""Hidden file of a study directory with the last driver here that had the mirror's lease."""


def _dead_holder(directory: Path) -> str:
    """The last holder of a lease that drove a folder here, where its driver has ended; else ""."""
    with contextlib.suppress(StoreError, OSError):
        said = read_json(directory / _HOLDER)
        if not is_driven(directory) and said.get("place") == _here(directory):
            return str(said.get("holder", ""))
    return ""


def _keep_holder(directory: Path, holder: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / _HOLDER, {"holder": holder, "place": _here(directory)})


def _here(directory: Path) -> str:
    """A folder of this machine, told from a copy of it elsewhere."""
    return f"{socket.gethostname()}:{directory.absolute()}"


def ourselves() -> str:
    """This process in words, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def taker_of(place: Place, seconds: float, dead: str = "") -> Taker:
    """This process, as one that takes leases; `dead` is as of `Taker`."""
    return Taker(place.documents, uuid.uuid4().hex, ourselves(), seconds, dead=dead)


def retire(address: str, seconds: float, moved: str, asking: Callable[[Lease], object]) -> None:
    """Have a mirror's driver give it back, and leave word where the study goes on.

    Args:
        address: The mirror.
        seconds: Length of a lease of it.
        moved: Address of its new mirror; "" where it stays and somebody else takes it.
        asking: As for `Taker.take`.

    Raises:
        StorageError: It cannot be read or written, or was moved to another place already.
    """
    place = place_of(address)
    there = read_lease(place.documents)
    if moved and there is not None and there.moved == moved:
        return  # by an earlier call, which was cut after that
    taker = taker_of(place, seconds)
    lease = taker.take(asking)
    try:
        taker.give_back(lease, moved)
    except BaseException:  # Ctrl-C, too: nobody is to wait for a lease that nobody uses
        with contextlib.suppress(StorageError):
            taker.give_back(lease)
        raise


class Mirror:
    """An open mirror.

    Attributes:
        address: Where it is.
        counts: What was shipped.
        takeover: Last term that was taken from a holder who may only be asleep; 0 for none.
        whole: Whether all of the study was shipped when it was closed.
    """

    def __init__(self, address: str, holding: Holding, shipping: Shipping) -> None:
        self.address = address
        self.takeover = holding.lease.takeover
        self.whole = False
        self._holding, self._shipping = holding, shipping

    @property
    def counts(self) -> Counts:
        """What was shipped."""
        return self._shipping.counts

    def touch(self, number: int) -> None:
        """The driver has written into a trial's folder."""
        self._shipping.touch(number)

    def hold(self) -> Hold | None:
        """The reason why trials are to pause, if there is one; asked before each decision."""
        return self._holding.hold()

    def close(self, directory: Path) -> None:
        """Ship what is left, and give the mirror back; says what could not be shipped."""
        hold = self.hold()
        if hold is not None and not hold.decides:
            self._shipping.stop()
            self._holding.end(give_back=False)
            return
        try:
            self._shipping.finish(0 if hold is not None and hold.why == "away" else _PATIENCE_S)
            self.whole = True
            self._holding.end(give_back=True)
        except ClusterError as error:
            self._holding.end(give_back=False)
            log.warning(
                "%s; not all of the study is at %s: `segtune resume %s` ships the rest",
                *(error, self.address, shlex.quote(str(directory))),
            )


@contextlib.contextmanager
def mirrored(
    study: "Study",
    directory: Path,
    *,
    resume: bool,
) -> Iterator[Mirror | None]:
    """Hold a study's mirror while it runs here; None where it has none.

    Args:
        study: The study.
        directory: Its folder.
        resume: Whether it goes on.

    Raises:
        StorageError: The mirror cannot be read or written, or another driver has it.
        StoreError: There is another study, or its folder is not where the mirror is.
    """
    if study.mirror is None:
        yield None
        return
    address, seconds = mirror_address(study), study.mirror.lease_seconds
    place = place_of(address, seconds / 2)
    taker = taker_of(place, seconds, _dead_holder(directory))
    lease = taker.take()
    holding = Holding(taker, lease, study.mirror.alone_minutes * 60)
    try:
        shipped = _compared(place, directory, resume=resume)
        share_diary(place, directory)
        _keep_holder(directory, taker.holder)
    except BaseException:  # Ctrl-C, too: nobody is to wait for a lease that nobody uses
        with contextlib.suppress(StorageError):
            holding.end(give_back=True)
        raise
    mirror = Mirror(address, holding, _shipping(study, directory, place, holding, shipped))
    log.info("shipping to %s (term %d)", address, lease.term)
    for number in trial_numbers(directory):
        mirror.touch(number)
    try:
        yield mirror
    finally:
        mirror.close(directory)


def _shipping(
    study: "Study", directory: Path, place: Place, holding: Holding, shipped: Shipped
) -> Shipping:
    assert study.mirror is not None
    term, goal = holding.lease.term, study.objective.goal
    folders = Folders(directory, place.objects, shipped, term, goal, study.mirror.best)
    every_s = study.mirror.every_seconds
    files = Files(directory, shipped)
    return Shipping(
        files, folders, place.objects, holding, (shipped.last, shipped.n_segments), every_s
    )


def _compared(place: Place, directory: Path, *, resume: bool) -> Shipped:
    """What the mirror holds, which must be what the study's folder goes on from."""
    shipped = read_mirror(place)
    if JOURNAL not in shipped.files:
        return shipped
    if not resume:
        raise StoreError(
            f"{place.address}: expected a new study, found one; `segtune resume {place.address}` "
            "goes on with it, another `study:` name begins another"
        )
    if standing(directory, shipped) not in ("same", "ahead"):
        raise StoreError(
            f"{directory}: expected the study as it is at {place.address}, got an earlier one: "
            f"another driver has just gone on with it; `segtune resume {directory}` once more"
        )
    return shipped
