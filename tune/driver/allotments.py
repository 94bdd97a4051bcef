"""The part of a machine that each trial of a study has, as decided and journalled.

A trial begins with one of the equal slots of a GPU, or of the CPU cores. It gets more as it
survives (`cluster.machines.sharing.slots_due`), several GPUs when it is one of the last
(`units_due`), and more when its memory does not suffice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tune.directory.journal import Journal
from tune.directory.trials import GPUS, MICRO_BATCH, SLOTS

Fits = Callable[[int], bool]
"""Function from a trial's number to whether there is room for its part now."""


@dataclass(frozen=True)
class Allotment:
    """The part of a machine that a trial has.

    Attributes:
        slots: Number of slots.
        micro_batch: Most samples that go through the network at once; 0 for whole batches.
        gpus: Number of whole GPUs of one node that it has instead of slots; 0 for none.
    """

    slots: int = 1
    micro_batch: int = 0
    gpus: int = 0


def relief(has: Allotment, at_once: int, most: int) -> Allotment | None:
    """The part with which a trial that ran out of memory may do; None where there is none.

    Half the samples at once, then all slots of a unit, then half the samples again, down to one.
    One that has several GPUs goes back to one unit, with parts as it had them on each.

    Args:
        has: Its part when it ran out.
        at_once: Number of samples that went through the network at once; 0 where its engine cannot
            split a batch.
        most: Most slots that a trial can have.

    >>> has, tried = Allotment(), []
    >>> while has is not None:
    ...     tried.append((has.slots, has.micro_batch or 8))
    ...     has = relief(has, has.micro_batch or 8, most=4)
    >>> tried
    [(1, 8), (1, 4), (4, 4), (4, 2), (4, 1)]
    >>> relief(Allotment(), 0, most=4), relief(Allotment(4), 0, most=4)
    (Allotment(slots=4, micro_batch=0, gpus=0), None)
    >>> relief(Allotment(4, gpus=2), 3, most=4)
    Allotment(slots=4, micro_batch=3, gpus=0)
    """
    if has.gpus:
        return Allotment(most, at_once or has.micro_batch)
    half = replace(has, micro_batch=-(-at_once // 2)) if at_once > 1 else None
    if half is not None and has.micro_batch == 0:
        return half
    return replace(has, slots=most) if has.slots < most else half


class Allotments:
    """The parts of all trials of a study, which a new driver takes from the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._parts = {
            trial.number: Allotment(
                trial.user_attrs.get(SLOTS, (1, 0))[0],
                trial.user_attrs.get(MICRO_BATCH, (0, 0))[0],
                trial.user_attrs.get(GPUS, (0, 0))[0],
            )
            for trial in journal.trials()
        }

    def of(self, number: int) -> Allotment:
        """The part of a trial; one slot of a trial that has not begun."""
        return self._parts.get(number, Allotment())

    def give(self, number: int, part: Allotment, epoch: int) -> None:
        """Give a trial another part after an epoch, and write the decision down."""
        before = self.of(number)
        self._parts[number] = part
        if part.slots != before.slots:
            self._journal.annotate(number, SLOTS, [part.slots, epoch])
        if part.micro_batch != before.micro_batch:
            self._journal.annotate(number, MICRO_BATCH, [part.micro_batch, epoch])
        if part.gpus != before.gpus:
            self._journal.annotate(number, GPUS, [part.gpus, epoch])
