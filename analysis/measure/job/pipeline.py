"""Pictures through two stages on Ray Data: actors that search, tasks that measure and write.

Numbers of pictures travel, and what was found as run-length encodings, never pixels: each stage
reads the files itself. A stage never raises; what is wrong with a picture becomes its reason.
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

_NUMBER, _FOUND, _REASON = "number", "found", "reason"

_BLOCKS_AT_LEAST: Final = 8  # so that the first pictures are done soon

Batch = Any  # of Ray Data: a mapping of column to (n,) array


class Searcher(Protocol):
    """Finds what is in a picture; made once in each actor, where it loads its model."""

    def __call__(self, number: int) -> Any:
        """What is in the picture of a number; it must be possible to pickle it."""


class Measurer(Protocol):
    """Measures what was found in a picture, and writes it down."""

    def __call__(self, number: int, found: Any) -> None:
        """Measure and write a picture's part."""


@dataclass(frozen=True)
class Stages:
    """The two stages of a job.

    Attributes:
        searcher: Maker of what searches; it is called in an actor.
        measurer: Maker of what measures; it is called once a batch, and should be quick.
    """

    searcher: Callable[[], Searcher]
    measurer: Callable[[], Measurer]


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
    """A picture that has passed both stages.

    Attributes:
        number: Its number.
        reason: Reason why it could not be searched or measured; "" where it was.
    """

    number: int
    reason: str


def passed(numbers: list[int], stages: Stages, workers: Workers) -> Iterator[Passed]:
    """Bring pictures through both stages, and tell of each as it is done, in any order.

    Ray must have been started.

    Args:
        numbers: Numbers of the pictures.
        stages: What is done with each.
        workers: Processors of the stages.
    """
    import ray  # put off: slow to import, and a job is planned without it
    from ray.data import ActorPoolStrategy, DataContext  # put off as Ray is

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    n_blocks = min(len(numbers), max(math.ceil(len(numbers) / workers.batch), _BLOCKS_AT_LEAST))
    index = np.array(numbers, np.int64)

    def numbered(batch: Batch) -> Batch:
        return {_NUMBER: index[batch["id"]]}

    pictures = ray.data.range(len(numbers), override_num_blocks=n_blocks).map_batches(numbered)
    found = pictures.map_batches(
        _Searching,
        fn_constructor_args=(stages.searcher,),
        batch_size=workers.batch,
        num_cpus=workers.cpus,
        num_gpus=workers.gpus or None,
        compute=ActorPoolStrategy(size=workers.actors, max_tasks_in_flight_per_actor=2),
    )
    measuring = partial(_measuring, maker=stages.measurer)
    done = found.map_batches(measuring, batch_size=workers.batch, num_cpus=1)
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
        for number, reason in zip(batch[_NUMBER], batch[_REASON], strict=True):
            yield Passed(int(number), str(reason))


class _Searching:
    """The actor of the first stage."""

    def __init__(self, maker: Callable[[], Searcher]) -> None:
        self._search = maker()

    def __call__(self, batch: Batch) -> Batch:
        outcomes = [_tried(self._search, int(number)) for number in batch[_NUMBER]]
        return {
            _NUMBER: batch[_NUMBER],
            _FOUND: np.array([pickle.dumps(found) for found, _ in outcomes], object),
            _REASON: np.array([reason for _, reason in outcomes], object),
        }


def _measuring(batch: Batch, maker: Callable[[], Measurer]) -> Batch:
    """The second stage."""
    measure = maker()
    reasons = list(batch[_REASON])
    for place, number in enumerate(batch[_NUMBER]):
        if not reasons[place]:
            _, reasons[place] = _tried(measure, int(number), pickle.loads(batch[_FOUND][place]))
    return {_NUMBER: batch[_NUMBER], _REASON: np.array(reasons, object)}


def _tried(action: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What an action returns, or the reason why it could not be done."""
    try:
        return action(*args), ""
    except UserError as error:
        return None, str(error)
    except Exception as error:  # whatever it is, the other pictures go on
        log.warning("picture %s: not expected, left out", args[0], exc_info=True)
        return None, f"{type(error).__name__}: {error}"
