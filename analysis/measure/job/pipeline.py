"""Pictures through three stages on Ray Data: reading, searching in actors, measuring.

Numbers of pictures travel, what is known of their scale, and what was found as run-length
encodings; never pixels: each process reads the files itself. A stage never raises; what is wrong
with a picture becomes its reason, and a process that dies on it, too (`deaths`).

A GPU is not to wait for the other stages: they are tasks of their own. There a picture is on its
way from the moment an actor takes it until it is written down. An actor waits while too many are:
what is searched and not yet written down, a kill would have searched again.

Actors that search on a CPU do all three stages, as whatever is done beside them would take their
cores, and what a task costs Ray is more than what measuring a small picture costs.
"""

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np

from analysis.measure.job.deaths import Begun, Deaths
from trainables.files.errors import UserError

log = logging.getLogger(__name__)

_ITEM, _NUMBER, _READ, _FOUND, _REASON = "item", "number", "read", "found", "reason"

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
        batch: Most pictures that travel together.
        on_their_way: Most pictures that are searched and not yet written down, of all actors
            together, not less than `batch`, where reading and measuring are tasks of their own;
            None where each actor does all stages.
    """

    actors: int
    cpus: float
    gpus: float
    batch: int
    on_their_way: int | None


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
    import pyarrow as pa  # put off: slow to import, and a job is planned without it
    import ray  # put off as above
    from ray.data import ActorPoolStrategy, DataContext  # put off as above

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    free = ray.available_resources().get("CPU", 1.0)  # others may hold the rest for hours
    actor_cpus = _cpus_of_an_actor(workers, free)
    task_cpus = _cpus_of_a_task(free - actor_cpus * workers.actors)
    blocks = [{_ITEM: block} for block in _blocks(numbers, workers)]
    rows = ray.data.from_arrow([pa.table(block) for block in blocks])
    actors: dict[str, Any] = {
        "batch_size": None,  # a block as it is: one of two blocks might never pass the gate
        "num_cpus": actor_cpus,
        "num_gpus": workers.gpus or None,
        "compute": ActorPoolStrategy(size=workers.actors, max_tasks_in_flight_per_actor=2),
    }
    begun = ray.remote(num_cpus=0)(Begun).remote()
    if workers.on_their_way is None:
        deaths = Deaths(begun, "measuring")
        all_stages = (stages.searcher, stages.reader, stages.measurer, deaths)
        done = rows.map_batches(_AllStages, fn_constructor_args=all_stages, **actors)
    else:
        gate = ray.remote(num_cpus=0)(Gate).remote(workers.on_their_way)
        reading = partial(_reading, reader=stages.reader, deaths=Deaths(begun, "reading"))
        searching = (stages.searcher, gate, Deaths(begun, "searching"))
        read = rows.map_batches(reading, batch_size=None, num_cpus=task_cpus)
        found = read.map_batches(_Searching, fn_constructor_args=searching, **actors)
        deaths = Deaths(begun, "measuring")
        measuring = partial(_measuring, measure=stages.measurer, gate=gate, deaths=deaths)
        done = found.map_batches(measuring, batch_size=None, num_cpus=task_cpus)
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
        for number, reason in zip(batch[_NUMBER], batch[_REASON], strict=True):
            if number < 0:
                raise NoSearcherError(reason)
            yield Passed(int(number), str(reason))


def _blocks(numbers: list[int], workers: Workers) -> list[list[int]]:
    """The pictures that travel together.

    At first it is one, as the first rows are waited for, and near the end fewer and fewer, where
    one actor would have to wait for another.

    >>> [len(block) for block in _blocks(list(range(30)), Workers(2, 1, 0, 6, None))]
    [1, 1, 6, 5, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    """
    blocks: list[list[int]] = []
    start = 0
    while start < len(numbers):
        share = (len(numbers) - start) // (2 * workers.actors)
        size = 1 if len(blocks) < workers.actors else max(1, min(workers.batch, share))
        blocks.append(numbers[start : start + size])
        start += size
    return blocks


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


def _reading(batch: Batch, reader: Reader, deaths: Deaths) -> Batch:
    """The first stage, as a task of its own."""
    again = deaths.had_one(batch[_ITEM])
    outcomes = [_alone(again, deaths, int(n), reader, int(n)) for n in batch[_ITEM]]
    reasons = np.array([reason for _, reason in outcomes], object)
    return {
        _NUMBER: batch[_ITEM],
        _READ: _pickled([read for read, _ in outcomes]),
        _REASON: reasons,
    }


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


class _AllStages:
    """The actor that does all stages of its pictures, one picture after the other.

    A picture is measured while the next one is read and searched.

    Args:
        maker: Maker of what searches.
        reader: What reads.
        measurer: What measures.
        deaths: The deaths of such actors.
    """

    def __init__(
        self, maker: Callable[[], Searcher], reader: Reader, measurer: Measurer, deaths: Deaths
    ) -> None:
        self._reader, self._measurer, self._deaths = reader, measurer, deaths
        self._search, self._why = _tried(maker)
        self._beside = ThreadPoolExecutor(1)

    def __call__(self, batch: Batch) -> Batch:
        numbers = batch[_ITEM]
        if self._why:
            return _cannot_search(len(numbers), self._why)
        reasons, measuring, again = [], _done(""), self._deaths.had_one(numbers)
        for number in map(int, numbers):
            if again:
                measuring.result()  # a death is that of one picture
            read, reason = _alone(again, self._deaths, number, self._reader, number)
            if not reason:
                found, reason = _tried(self._search, [number], [read])
            reasons.append(measuring.result())
            measuring = (
                _done(reason)
                if reason
                else self._beside.submit(_why_not, self._measurer, number, read, found[0])
            )
        reasons.append(measuring.result())
        return {_NUMBER: numbers, _REASON: np.array(reasons[1:], object)}


def _done(reason: str) -> "Future[str]":
    """A measurement that has ended."""
    ended: Future[str] = Future()
    ended.set_result(reason)
    return ended


def _why_not(measure: Measurer, number: int, read: Any, found: Any) -> str:
    """Measure a picture, and return the reason why it could not be done."""
    return _tried(measure, number, read, found)[1]


def _cannot_search(pictures: int, why: str) -> Batch:
    """What an actor says that cannot load its models: number -1, and why."""
    return {_NUMBER: np.full(pictures, -1), _REASON: np.full(pictures, why, object)}


class _Searching:
    """The actor of the second stage, where the others are tasks of their own.

    Args:
        maker: Maker of what searches.
        gate: The gate of the pictures that are on their way.
        deaths: The deaths of such actors.
    """

    def __init__(self, maker: Callable[[], Searcher], gate: Any, deaths: Deaths) -> None:
        self._gate, self._deaths = gate, deaths
        self._search, self._why = _tried(maker)

    def __call__(self, batch: Batch) -> Batch:
        asked = batch[_NUMBER]
        if self._why:
            nothing = _pickled([None] * len(asked))
            return {**_cannot_search(len(asked), self._why), _READ: nothing, _FOUND: nothing}
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
            _READ: batch[_READ],
            _FOUND: _pickled(founds),
            _REASON: np.array(reasons, object),
        }

    def _searched(self, numbers: list[int], read: list[Any]) -> list[tuple[Any, str]]:
        """What is found in pictures together; where one is at fault, in each by itself."""
        if not numbers:
            return []
        again = self._deaths.had_one(numbers)
        if not again:
            found, why = _tried(self._search, numbers, read)
            if not why:
                return [(one, "") for one in found]
        alone = [
            _alone(again, self._deaths, n, self._search, [n], [known])
            for n, known in zip(numbers, read, strict=True)
        ]
        return [(None if why else found[0], why) for found, why in alone]


def _call(method: Any, numbers: list[int]) -> None:
    """Call an actor's method, and wait for it."""
    import ray  # put off as above

    if numbers:
        ray.get(method.remote(numbers))


def _measuring(batch: Batch, measure: Measurer, gate: Any, deaths: Deaths) -> Batch:
    """The third stage, as a task of its own."""
    reasons, again = list(batch[_REASON]), deaths.had_one(batch[_NUMBER])
    for place, number in enumerate(batch[_NUMBER]):
        if not reasons[place]:
            read, found = (pickle.loads(batch[name][place]) for name in (_READ, _FOUND))
            _, reasons[place] = _alone(
                again, deaths, int(number), measure, int(number), read, found
            )
    gate.give_back.remote([int(number) for number in batch[_NUMBER]])
    return {_NUMBER: batch[_NUMBER], _REASON: np.array(reasons, object)}


def _pickled(values: list[Any]) -> Any:
    return np.array([pickle.dumps(value) for value in values], object)


def _alone(
    again: bool, deaths: Deaths, number: int, action: Callable[..., Any], *args: Any
) -> tuple[Any, str]:
    """The same as `_tried`, of a picture that is left out where processes died on it."""
    why = deaths.why_not(number) if again else ""
    return (None, why) if why else _tried(action, *args)


def _tried(action: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What an action returns, or the reason why it could not be done."""
    try:
        return action(*args), ""
    except UserError as error:
        return None, str(error)
    except Exception as error:  # whatever it is, the other pictures go on
        log.warning("picture %s: not expected, left out", args[:1], exc_info=True)
        return None, f"{type(error).__name__}: {error}"
