"""A training without a study, on whichever node has room; runs in a worker of the job.

The node says each epoch in the cluster's control store, from where the job's driver takes it, and
looks there after each epoch whether it is to end.
"""

import hashlib
import logging
import platform
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from analysis.errors import RetrainError
from analysis.models.layout import IDENTITY
from analysis.retrain.ensemble import EnsembleResult, retrain_seeds
from analysis.retrain.result import RetrainResult
from analysis.retrain.retrain import retrain
from cluster.errors import StorageError
from cluster.storage.copying import INDEX, fetch, send
from cluster.storage.files import Files
from cluster.storage.opening import is_address, open_files
from trainables.contract import Device, EpochMetrics
from trainables.files.errors import UserError
from trainables.files.whole import locked
from trainables.files.words import counted, time_words
from tune.best.configuration import BestConfig
from tune.datasets.copies import cache_folder
from tune.job.asked import RetrainAsked

log = logging.getLogger(__name__)

_SHIPPED_S: Final = 30.0
"""Age at which what was trained is shipped to a bucket, at the end of an epoch, s."""

_OURS: Final = ("analysis", "tune", "trainables", "cluster")


@dataclass(frozen=True)
class Trained:
    """How a training ended on its node.

    Attributes:
        lines: Its result, for the user.
        interrupted: Whether there are epochs left.
        problem: Why it could not be done; "" where it was.
    """

    lines: tuple[str, ...]
    interrupted: bool = False
    problem: str = ""


def train_here(asked: RetrainAsked, config: BestConfig, device: Device, ticket: str) -> Trained:
    """Train on this node, to the end or until it is asked to stop.

    Args:
        asked: What is asked for.
        config: Configuration to train.
        device: Processors that the training has.
        ticket: Names what is said and asked in the control store.
    """
    has = "a GPU" if device.name != "cpu" else counted(device.cpus, "CPU")
    say(ticket, f"trains on {platform.node()} with {has}")
    try:
        with _logged(ticket), _out_here(asked.out) as (out, ship):
            return _trained(asked, config, out, device, _Telling(ticket, ship))
    except UserError as error:
        return Trained((), problem=str(error))


def _trained(
    asked: RetrainAsked, config: BestConfig, out: Path, device: Device, telling: "_Telling"
) -> Trained:
    options: dict[str, Any] = {
        "epochs": asked.epochs,
        "seed": asked.seed,
        "device": device,
        "progress": telling,
        "other_classes": asked.other_classes,
    }
    result: RetrainResult | EnsembleResult
    if asked.seeds is None:
        result = retrain(config, asked.data, out, replay=asked.replay, **options)
    else:
        result = retrain_seeds(config, asked.data, out, asked.seeds, **options)
    lines = tuple(line.replace(str(out), asked.out) for line in result.lines())
    return Trained(lines, result.interrupted)


class _Telling:
    """Says each epoch, ships what was trained now and then, and ends where that was asked for.

    Args:
        ticket: Names what is said and asked in the control store.
        ship: Sends what was trained to a bucket, if it is to be there.
    """

    def __init__(self, ticket: str, ship: Callable[[], None]) -> None:
        self._ticket, self._ship = ticket, ship
        self._which = ""
        self._first: tuple[float, int] | None = None

    def begin(self, number: int, total: int) -> None:
        """The training of this number, 1-based, begins."""
        self._which, self._first = f"training {number} of {total}, ", None

    def __call__(self, metrics: EpochMetrics, epochs: int) -> None:
        """An epoch has ended."""
        now = time.monotonic()
        began, first = self._first = self._first or (now, metrics.epoch)
        left = ""
        if first < metrics.epoch < epochs:
            span_s = (now - began) / (metrics.epoch - first) * (epochs - metrics.epoch)
            left = f", about {time_words(max(1.0, float(f'{span_s:.2g}')) / 3600)} left"
        say(self._ticket, f"{self._which}epoch {metrics.epoch} of {epochs}{left}")
        self._ship()
        if asked_to_stop(self._ticket):
            signal.raise_signal(signal.SIGTERM)  # the training ends after this epoch


@contextmanager
def _out_here(out: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The folder of this node to train in, and what ships it to the bucket that it is of.

    What another node has shipped is brought first; all is shipped at the end of the block. While it
    trains a bucket may be away.

    Raises:
        RetrainError: Something else is there.
        FolderError: Another training of this node is shipped there, too.
        StorageError: The bucket cannot be read or written.
    """
    if not is_address(out):
        yield Path(out).expanduser(), lambda: None
        return
    place = open_files(out)
    mark = hashlib.sha256(place.place.encode()).hexdigest()[:12]
    folder = cache_folder("trained", f"{place.place}-{mark}")
    shipped = time.monotonic()

    def ship() -> None:
        nonlocal shipped
        if time.monotonic() - shipped <= _SHIPPED_S:
            return
        try:
            _send(folder, place)
        except StorageError as error:
            log.warning("not shipped this time: %s", error)
        shipped = time.monotonic()

    with locked(folder.with_name(f"{folder.name}.used")):
        shutil.rmtree(folder, ignore_errors=True)
        there = place.listed()
        if INDEX in there:
            fetch(place, folder)
        elif there and not any(PurePosixPath(name).name == IDENTITY for name in there):
            raise RetrainError(
                f"{out}: expected an empty folder or the same training, got one with other files, "
                f"such as {min(there)}; choose another --out"
            )
        try:
            yield folder, ship
        finally:
            if folder.is_dir() and any(folder.iterdir()):
                _send(folder, place)


def _send(folder: Path, place: Files) -> None:
    """Ship what was trained, first of all what says that it is that."""
    first = [path.relative_to(folder).as_posix() for path in folder.rglob(IDENTITY)]
    send(folder, place, first=first, force=True)


# --- the control store
def say(ticket: str, line: str) -> None:
    """Say a line to the job's driver."""
    from ray.experimental import internal_kv  # put off: slow to import

    internal_kv._internal_kv_put(f"{_told(ticket)}{time.time_ns():020d}", line)


def said(ticket: str) -> Iterator[str]:
    """Take the lines that were said since the last time, in order."""
    from ray.experimental import internal_kv  # put off: slow to import

    for name in sorted(internal_kv._internal_kv_list(_told(ticket))):
        line = internal_kv._internal_kv_get(name)
        internal_kv._internal_kv_del(name)
        if line is not None:
            yield line.decode("utf-8")


def ask_to_stop(ticket: str) -> None:
    """Ask a training to end after its present epoch."""
    from ray.experimental import internal_kv  # put off: slow to import

    internal_kv._internal_kv_put(_stop(ticket), "stop")


def asked_to_stop(ticket: str) -> bool:
    """Whether a training was asked to end."""
    from ray.experimental import internal_kv  # put off: slow to import

    return internal_kv._internal_kv_get(_stop(ticket)) is not None


def _told(ticket: str) -> str:
    return f"segtune-said-{ticket}-"


def _stop(ticket: str) -> str:
    return f"segtune-stop-{ticket}"


@contextmanager
def _logged(ticket: str) -> Iterator[None]:
    """What our code logs in the block is said, too."""

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.partition(".")[0] in _OURS:
                say(ticket, record.getMessage())

    root, handler = logging.getLogger(), Said(logging.INFO)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
