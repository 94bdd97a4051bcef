"""Pictures through three stages on Ray Data: reading, searching in actors, measuring.

Numbers of pictures travel, what is known of their scale, and what was found as run-length
encodings; never pixels: each stage reads the files itself. A stage never raises; what is wrong with
a picture becomes its reason.
"""

import logging
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np

from trainables.files.errors import UserError

log = logging.getLogger(__name__)

_NUMBER, _READ, _FOUND, _REASON = "number", "read", "found", "reason"

_BLOCKS_AT_LEAST: Final = 8  # so that the first pictures are done soon

_READING_CPUS: Final = 0.9  # not 1: Ray would fuse it with the search and read in the actor

Batch = Any  # of Ray Data: a mapping of column to (n,) array


class Reader(Protocol):
    """Reads what must be known of a picture before it is searched."""

    def __call__(self, number: int) -> Any:
        """What is known of the picture of a number; it must be possible to pickle it."""


class Searcher(Protocol):
    """Finds what is in a picture; made once in each actor, where it loads its models."""

    def __call__(self, number: int, read: Any) -> Any:
        """What is in the picture of a number; it must be possible to pickle it."""


class Measurer(Protocol):
    """Measures what was found in a picture, and writes it down."""

    def __call__(self, number: int, read: Any, found: Any) -> None:
        """Measure and write a picture's part."""


@dataclass(frozen=True)
class Stages:
    """The stages of a job.

    Attributes:
        reader: What reads; it is sent to each task.
        searcher: Maker of what searches; it is called once in an actor.
        measurer: What measures; it is sent to each task.
    """

    reader: Reader
    searcher: Callable[[], Searcher]
    measurer: Measurer


@dataclass(frozen=True)
class Workers:
    """The processors that a job's stages get.

    Attributes:
        actors: Number of actors that search.
        cpus: CPU cores of each.
        gpus: GPUs, or the share of one, of each.
        batch: Number of pictures that travel together.
    """

    actors: int
    cpus: float
    gpus: float
    batch: int


@dataclass(frozen=True)
class Passed:
    """A picture that has passed all stages.

    Attributes:
        number: Its number.
        reason: Reason why it could not be read, searched or measured; "" where it was.
    """

    number: int
    reason: str


class NoSearcherError(Exception):
    """The models cannot be loaded in an actor; the message is for the user."""


def passed(numbers: list[int], stages: Stages, workers: Workers) -> Iterator[Passed]:
    """Bring pictures through all stages, and tell of each as it is done, in any order.

    Ray must have been started.

    Args:
        numbers: Numbers of the pictures.
        stages: What is done with each.
        workers: Processors of the stages.

    Raises:
        NoSearcherError: Nothing can be searched.
    """
    import ray  # put off: slow to import, and a job is planned without it
    from ray.data import ActorPoolStrategy, DataContext  # put off as Ray is

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    n_blocks = min(len(numbers), max(math.ceil(len(numbers) / workers.batch), _BLOCKS_AT_LEAST))
    rows = ray.data.range(len(numbers), override_num_blocks=n_blocks)
    reading = partial(_reading, numbers=np.array(numbers, np.int64), reader=stages.reader)
    read = rows.map_batches(reading, batch_size=workers.batch, num_cpus=_READING_CPUS)
    found = read.map_batches(
        _Searching,
        fn_constructor_args=(stages.searcher,),
        batch_size=workers.batch,
        num_cpus=workers.cpus,
        num_gpus=workers.gpus or None,
        compute=ActorPoolStrategy(size=workers.actors, max_tasks_in_flight_per_actor=2),
    )
    measuring = partial(_measuring, measure=stages.measurer)
    done = found.map_batches(measuring, batch_size=workers.batch, num_cpus=1)
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
        for number, reason in zip(batch[_NUMBER], batch[_REASON], strict=True):
            if number < 0:
                raise NoSearcherError(reason)
            yield Passed(int(number), str(reason))


def _reading(batch: Batch, numbers: Any, reader: Reader) -> Batch:
    """The first stage."""
    asked = numbers[batch["id"]]
    outcomes = [_tried(reader, int(number)) for number in asked]
    return {
        _NUMBER: asked,
        _READ: _pickled([read for read, _ in outcomes]),
        _REASON: np.array([reason for _, reason in outcomes], object),
    }


class _Searching:
    """The actor of the second stage. Where its models cannot be loaded it says so by number -1."""

    def __init__(self, maker: Callable[[], Searcher]) -> None:
        self._search, self._why = _tried(maker)

    def __call__(self, batch: Batch) -> Batch:
        if self._why:
            n = len(batch[_NUMBER])
            why = np.full(n, self._why, object)
            return {**batch, _NUMBER: np.full(n, -1), _FOUND: _pickled([None] * n), _REASON: why}
        reasons, founds = list(batch[_REASON]), []
        for place, number in enumerate(batch[_NUMBER]):
            found = None
            if not reasons[place]:
                read = pickle.loads(batch[_READ][place])
                found, reasons[place] = _tried(self._search, int(number), read)
            founds.append(found)
        return {**batch, _FOUND: _pickled(founds), _REASON: np.array(reasons, object)}


def _measuring(batch: Batch, measure: Measurer) -> Batch:
    """The third stage."""
    reasons = list(batch[_REASON])
    for place, number in enumerate(batch[_NUMBER]):
        if not reasons[place]:
            read, found = (pickle.loads(batch[name][place]) for name in (_READ, _FOUND))
            _, reasons[place] = _tried(measure, int(number), read, found)
    return {_NUMBER: batch[_NUMBER], _REASON: np.array(reasons, object)}


def _pickled(values: list[Any]) -> Any:
    return np.array([pickle.dumps(value) for value in values], object)


def _tried(action: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What an action returns, or the reason why it could not be done."""
    try:
        return action(*args), ""
    except UserError as error:
        return None, str(error)
    except Exception as error:  # whatever it is, the other pictures go on
        log.warning("picture %s: not expected, left out", args[:1], exc_info=True)
        return None, f"{type(error).__name__}: {error}"
