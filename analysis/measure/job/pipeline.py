"""Pictures through three stages on Ray Data: reading, searching in actors, measuring.

Numbers of pictures travel, what is known of their scale, and what was found as run-length
encodings; never pixels: each process reads the files itself. Actors that search on a CPU also read,
as whatever reads beside them would take their cores; a GPU is not to wait for that. A stage never
raises; what is wrong with a picture becomes its reason.

A picture is on its way from the moment an actor takes it until it is written down. An actor waits
while too many are: what is searched and not yet written down, a kill would have searched again.
"""

import asyncio
import logging
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np

from trainables.files.errors import UserError

log = logging.getLogger(__name__)

_ITEM, _NUMBER, _READ, _FOUND, _REASON = "item", "number", "read", "found", "reason"

_BLOCKS_AT_LEAST: Final = 8  # so that the first pictures are done soon

_TASK_CPUS: Final = 0.9
"""Most cores that Ray counts for a task that reads or measures. Less than an actor's: Ray would
fuse what needs the same, and read in the actor."""

Batch = Any  # of Ray Data: a mapping of column to (n,) array


class Reader(Protocol):
    """Reads what must be known of a picture before it is searched."""

    def __call__(self, number: int) -> Any:
        """What is known of the picture of a number; it must be possible to pickle it."""


class Searcher(Protocol):
    """Finds what is in pictures; made once in each actor, where it loads its models."""

    def __call__(self, numbers: Sequence[int], read: Sequence[Any]) -> Sequence[Any]:
        """What is in the pictures of some numbers; it must be possible to pickle it."""


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
        cpus: CPU cores of each; less where Ray has too few, as the other stages need one.
        gpus: GPUs, or the share of one, of each.
        batch: Number of pictures that travel, and are searched, together.
        on_their_way: Most pictures that are searched and not yet written down, of all actors
            together; not less than `batch`.
    """

    actors: int
    cpus: float
    gpus: float
    batch: int
    on_their_way: int


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

    gate = ray.remote(num_cpus=0)(Gate).remote(workers.on_their_way)

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    free = ray.available_resources().get("CPU", 1.0)  # others may hold the rest for hours
    actor_cpus = _cpus_of_an_actor(workers, free)
    task_cpus = _cpus_of_a_task(free - actor_cpus * workers.actors)
    n_blocks = min(len(numbers), max(math.ceil(len(numbers) / workers.batch), _BLOCKS_AT_LEAST))
    rows: ray.data.Dataset = ray.data.from_items(numbers, override_num_blocks=n_blocks)
    if workers.gpus:
        reading = partial(_reading, reader=stages.reader)
        rows = rows.map_batches(reading, batch_size=None, num_cpus=task_cpus)
    found = rows.map_batches(
        _Searching,
        fn_constructor_args=(stages.searcher, gate, None if workers.gpus else stages.reader),
        batch_size=None,  # a block as it is: one of two blocks might never pass the gate
        num_cpus=actor_cpus,
        num_gpus=workers.gpus or None,
        compute=ActorPoolStrategy(size=workers.actors, max_tasks_in_flight_per_actor=2),
    )
    measuring = partial(_measuring, measure=stages.measurer, gate=gate)
    done = found.map_batches(measuring, batch_size=None, num_cpus=task_cpus)
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
        for number, reason in zip(batch[_NUMBER], batch[_REASON], strict=True):
            if number < 0:
                raise NoSearcherError(reason)
            yield Passed(int(number), str(reason))


def _cpus_of_an_actor(workers: Workers, free: float) -> float:
    """The cores that Ray is to count for an actor: a core is left for the other stages.

    Args:
        workers: Processors of the stages.
        free: Cores of Ray that nobody holds.

    >>> [_cpus_of_an_actor(Workers(2, 1, 0, 2, 8), free) for free in (1, 2, 3, 8)]
    [0.0, 0.5, 1, 1]
    """
    return min(workers.cpus, max(free - 1, 0) / workers.actors)


def _cpus_of_a_task(left: float) -> float:
    """The cores that Ray is to count for a task: one of each other stage finds room at any time.

    Ray Data sets cores aside from the first stage to the last. One for which none are left is not
    begun until an earlier stage has done all pictures: nothing would be measured while there is
    something to read.

    Args:
        left: Cores that no actor has.

    >>> [_cpus_of_a_task(left) for left in (1.0, 2.0, 16.0)]
    [0.5, 0.9, 0.9]
    """
    return min(_TASK_CPUS, left / 2)


def _reading(batch: Batch, reader: Reader) -> Batch:
    """The first stage."""
    read, reasons = _read(batch[_ITEM], reader)
    return {_NUMBER: batch[_ITEM], _READ: _pickled(read), _REASON: np.array(reasons, object)}


def _read(numbers: Any, reader: Reader) -> tuple[list[Any], list[str]]:
    """What is known of pictures, and why it is not of some."""
    outcomes = [_tried(reader, int(number)) for number in numbers]
    return [read for read, _ in outcomes], [reason for _, reason in outcomes]


class Gate:
    """The pictures that are on their way, for all actors that search; itself an actor of Ray.

    Args:
        most: Number of pictures that may be on their way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: set[int] = set()
        self._changed = asyncio.Condition()

    async def take(self, numbers: Sequence[int]) -> None:
        """Let pictures pass once there is room for all of them.

        Those that an actor had taken before it died pass again at once.
        """
        asked = set(numbers)
        async with self._changed:
            await self._changed.wait_for(
                lambda: len(self._taken | asked) <= self._most or not self._taken - asked
            )
            self._taken |= asked

    async def give_back(self, numbers: Sequence[int]) -> None:
        """Make room: these pictures are written down, or cannot be."""
        async with self._changed:
            self._taken -= set(numbers)
            self._changed.notify_all()


class _Searching:
    """The actor of the second stage. Where its models cannot be loaded it says so by number -1.

    Args:
        maker: Maker of what searches.
        gate: The gate of the pictures that are on their way.
        reader: What reads, where this actor does that, too.
    """

    def __init__(self, maker: Callable[[], Searcher], gate: Any, reader: Reader | None) -> None:
        self._gate = gate
        self._reader = reader
        self._search, self._why = _tried(maker)

    def __call__(self, batch: Batch) -> Batch:
        asked = batch[_ITEM] if self._reader is not None else batch[_NUMBER]
        nothing = _pickled([None] * len(asked))
        if self._why:
            why = np.full(len(asked), self._why, object)
            numbers = np.full(len(asked), -1)
            return {_NUMBER: numbers, _READ: nothing, _FOUND: nothing, _REASON: why}
        if self._reader is not None:
            read, reasons = _read(asked, self._reader)
        else:
            read, reasons = [pickle.loads(one) for one in batch[_READ]], list(batch[_REASON])
        founds: list[Any] = [None] * len(asked)
        places = [place for place in range(len(asked)) if not reasons[place]]
        right = [int(asked[place]) for place in places]
        _call(self._gate.take, right)
        searched = self._searched(right, [read[place] for place in places])
        for place, (found, reason) in zip(places, searched, strict=True):
            founds[place], reasons[place] = found, reason
        _call(self._gate.give_back, [int(asked[place]) for place in places if reasons[place]])
        return {
            _NUMBER: asked,
            _READ: _pickled(read),
            _FOUND: _pickled(founds),
            _REASON: np.array(reasons, object),
        }

    def _searched(self, numbers: list[int], read: list[Any]) -> list[tuple[Any, str]]:
        """What is found in pictures together; where one is at fault, in each by itself."""
        if not numbers:
            return []
        found, why = _tried(self._search, numbers, read)
        if not why:
            return [(one, "") for one in found]
        alone = [_tried(self._search, [n], [known]) for n, known in zip(numbers, read, strict=True)]
        return [(None if why else found[0], why) for found, why in alone]


def _call(method: Any, numbers: list[int]) -> None:
    """Call an actor's method, and wait for it."""
    import ray  # put off as above

    if numbers:
        ray.get(method.remote(numbers))


def _measuring(batch: Batch, measure: Measurer, gate: Any) -> Batch:
    """The third stage."""
    reasons = list(batch[_REASON])
    for place, number in enumerate(batch[_NUMBER]):
        if not reasons[place]:
            read, found = (pickle.loads(batch[name][place]) for name in (_READ, _FOUND))
            _, reasons[place] = _tried(measure, int(number), read, found)
    gate.give_back.remote([int(number) for number in batch[_NUMBER]])
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
