"""The parts that trials have of a study's room, and when each of them gets another one."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cluster.machines.sharing import gpus_a_unit, slots_due
from tune.directory.writer import Recorder
from tune.driver.allotments import Allotment, relief
from tune.driver.controller import Controller
from tune.driver.room import Room
from tune.trial.task import Part

log = logging.getLogger(__name__)

UsefulGpus = Callable[[Mapping[str, Any]], int]
"""Function from a trial's hyperparameters to the most GPUs that its training can use."""


class Resharing:
    """Gives trials their parts of a room, and others as they survive or run out of memory.

    Attributes:
        room: Where trials find their parts.
    """

    def __init__(
        self,
        room: Room,
        controller: Controller,
        recorder: Recorder,
        left: Callable[[], int],
        useful_gpus: UsefulGpus,
    ) -> None:
        """Go on with the parts that the journal has.

        Args:
            room: Where trials find their parts.
            controller: Knows the trials and their allotments.
            recorder: Takes the notes on what has changed.
            left: Number of trials that have not ended.
            useful_gpus: Says how many GPUs a trial can use.
        """
        self.room = room
        self._controller = controller
        self._recorder = recorder
        self._left = left
        self._useful_gpus = useful_gpus
        self._taken: dict[int, int] = {}  # whole units of each trial that has a place
        self._growing: set[int] = set()  # trials that leave a place for more slots of its unit
        self._too_large: set[int] = set()  # trials that ran out of memory on several GPUs

    def slots(self, number: int) -> int:
        """Number of slots of one unit that a trial has, or would have with one."""
        return min(self._controller.allotments.of(number).slots, self.room.slots)

    def units(self, number: int) -> int:
        """Number of whole units that a trial has, as far as there are so many for it."""
        gpus = self._controller.allotments.of(number).gpus
        if not gpus or number in self._controller.outcomes:
            return 1
        due = self.room.due(self._left(), self._taken.get(number, 1))
        return max(1, min(gpus // gpus_a_unit(self.room.share), due))

    def part(self, number: int) -> Part:
        """The part of a machine that a trial has now."""
        slots, units, share = self.slots(number), self.units(number), self.room.share
        return Part(
            cpus=self.room.cpus * (slots if units == 1 else self.room.slots * units),
            share=share * slots if units == 1 else gpus_a_unit(share) * units,
            gpus=None if share else "",  # its actor knows its GPUs
            memory=slots / self.room.places if not share else 1.0,
            micro_batch=self._controller.allotments.of(number).micro_batch,
        )

    def words(self, number: int) -> str:
        """The part in words: `1/4 GPU`, `2 GPUs`, `1 thread`."""
        part = self.part(number)
        if part.share == 0:
            return _counted(part.cpus, "thread")
        if part.share >= 1 or self.slots(number) == self.room.slots:
            return _counted(max(1, int(part.share)), "GPU")
        return f"{self.slots(number)}/{self.room.slots} GPU"

    def fit(self, trials: int, begun: Iterable[int]) -> None:
        """Have room for the trials that could run now, and for no more.

        Args:
            trials: Number of trials that run or could run now.
            begun: Those of them that have begun.
        """
        units = {number: self._held(number) for number in begun}
        whole = [n for n in units.values() if n > 1]
        more = sum(self.slots(number) - 1 for number, n in units.items() if n == 1)
        self.room.update(trials - len(whole) + more, whole)

    def take(self, ray_id: str, number: int) -> str | None:
        """Give a trial a place for its part, by name; None where there is none now."""
        units = self.units(number)
        place = self.room.take(ray_id, self.slots(number), units)
        if place is not None:
            self._taken[number] = units
        return place

    def leave(self, ray_id: str, number: int, *, moves: bool) -> None:
        """Take in that a trial has left its place; where it grows there, its slots wait for it."""
        self.room.free(ray_id, keep=moves and number in self._growing)
        self._growing.discard(number)
        self._taken.pop(number, None)

    def _held(self, number: int) -> int:
        """Number of whole units that are a trial's; one that has ended keeps its place a while."""
        ended = number in self._controller.outcomes
        return self._taken.get(number, 1) if ended else self.units(number)

    # --- at the end of an epoch
    def grow(self, ray_id: str, number: int, epoch: int, rungs: tuple[int, ...]) -> str:
        """Give a trial what it is due after an epoch, if that is more than it has.

        Returns:
            What it goes on with; "" where nothing changes.
        """
        if gpus := self._widened(ray_id, number, epoch):
            return f"{gpus} GPUs"
        if self.units(number) == 1 and (slots := self._grown(ray_id, number, epoch, rungs)):
            return f"{slots} of {self.room.slots} shares"
        return ""

    def _grown(self, ray_id: str, number: int, epoch: int, rungs: tuple[int, ...]) -> int:
        """Number of slots that a trial has after an epoch, if it is more than before; else 0."""
        passed = sum(rung <= epoch for rung in rungs)
        most, has = self.room.slots, self.slots(number)
        due = slots_due(passed, len(rungs), self.room.places, self._left(), most)
        got = self.room.grow(ray_id, due) if due > has else has
        if got <= has:
            return 0
        self._growing.add(number)
        self._give(number, replace(self._controller.allotments.of(number), slots=got), epoch)
        self._tell(number, f"{got} of {most} shares", epoch)
        return got

    def _widened(self, ray_id: str, number: int, epoch: int) -> int:
        """Number of whole GPUs that a trial has after an epoch, if it is more than before; else 0.

        One that ran out of memory stays on one: several do not make less of what each must hold.
        """
        size, part = gpus_a_unit(self.room.share), self._controller.allotments.of(number)
        due = self.room.due(self._left())
        if due == 1 or part.micro_batch or number in self._too_large:
            return 0
        sampled = self._controller.assignment(number).proposal.params
        due = min(due, self._useful_gpus(sampled) // size)
        if due <= self.units(number) or not self.room.roomy(ray_id, due):
            return 0
        self._give(number, replace(part, slots=self.room.slots, gpus=due * size), epoch)
        self._tell(number, f"{due * size} GPUs", epoch)
        return due * size

    def narrow(self, number: int, epoch: int) -> None:
        """Write down that a trial has fewer GPUs than before, if it has."""
        part, units = self._controller.allotments.of(number), self.units(number)
        has = units * gpus_a_unit(self.room.share)
        if part.gpus > has:
            self._give(number, replace(part, gpus=has if units > 1 else 0), epoch)
            self._tell(number, _counted(has, "GPU"), epoch)

    # --- where the memory does not suffice
    def relieve(self, number: int, at_once: int, epoch: int) -> str:
        """Give a trial that ran out of memory after an epoch the part with which it may do.

        Args:
            number: Number of the trial.
            at_once: Number of samples that went through the network at once; 0 for whole batches.
            epoch: Its last epoch.

        Returns:
            What it goes on with; "" where there is nothing.
        """
        before = replace(self._controller.allotments.of(number), slots=self.slots(number))
        after = relief(before, at_once, self.room.slots)
        if after is None:
            return ""
        if before.gpus:
            self._too_large.add(number)
        self._give(number, after, epoch)
        return _relieved(before, after, self.room.slots)

    def _give(self, number: int, part: Allotment, epoch: int) -> None:
        self._controller.allotments.give(number, part, epoch)

    def _tell(self, number: int, what: str, epoch: int) -> None:
        self._recorder.note(number, f"from epoch {epoch + 1} on it has {what}")
        log.info("trial %d: goes on with %s after epoch %d", number, what, epoch)


def _relieved(before: Allotment, after: Allotment, most: int) -> str:
    parts = f"micro_batch={after.micro_batch}"
    if before.gpus:
        return "one GPU" + (f" and {parts}" if after.micro_batch else "")
    if after.slots > before.slots:
        return f"all {most} shares instead of {before.slots}"
    return parts


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
