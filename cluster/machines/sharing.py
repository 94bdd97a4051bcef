"""GPUs shared out to trials and to studies: pure arithmetic.

A trial gets 1/n of a GPU or whole ones, so GPUs come in *units*: a GPU that n trials share, or the
whole GPUs of one trial, always of one node. Ray packs fractions first-fit and limits no memory;
here trials are spread first, over units and nodes, and each process is held to its share.
"""

import math
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster.machines.machine import visible_gpus


def trials_a_unit(share: float) -> int:
    """Number of trials that one unit has room for.

    >>> trials_a_unit(0.25), trials_a_unit(1), trials_a_unit(2)
    (4, 1, 1)
    """
    return max(1, round(1 / share))


def gpus_a_unit(share: float) -> int:
    """Number of GPUs of one unit.

    >>> gpus_a_unit(0.25), gpus_a_unit(1), gpus_a_unit(2)
    (1, 1, 2)
    """
    return max(1, int(share))


@dataclass
class Placement:
    """Trials on units of GPUs, each with one or more of the equal slots of a unit.

    Attributes:
        share: Fraction of a GPU that a slot is, or whole GPUs.
        nodes: Node of each unit that trials may be placed on, by the unit's name.
        placed: Unit of each trial; a trial is known by any name.
        slots: Number of slots of each trial that has more than one.
        wishes: Number of slots that a trial is to have as soon as others of its unit leave.
        kept: Numbers of slots of a unit that are kept for trials which begin anew there.
        emptying: Unit that takes no trials of one slot until one that needs more has room there.
    """

    share: float
    nodes: Mapping[str, str]
    placed: dict[Hashable, str] = field(default_factory=dict)
    slots: dict[Hashable, int] = field(default_factory=dict)
    wishes: dict[Hashable, int] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)
    emptying: str | None = None

    def place(self, trial: Hashable, slots: int = 1) -> str | None:
        """Give a trial the unit with the fewest trials, on the node with the fewest; or None.

        >>> p = Placement(0.5, {"a": "here", "b": "here", "c": "there"})
        >>> [p.place(trial) for trial in range(7)]
        ['a', 'c', 'b', 'c', 'a', 'b', None]
        >>> p.place("large", slots=2), p.free(0), p.place(7), p.free(4), p.place("large", slots=2)
        (None, None, None, None, 'a')
        """
        loads = self.loads()
        on_node = Counter[str]()
        for unit, n in loads.items():
            on_node[self.nodes.get(unit, "")] += n
        for unit in self.nodes:
            if slots > 1 and slots in self.kept.get(unit, ()):
                self.kept[unit].remove(slots)
                self.placed[trial], self.slots[trial] = unit, slots
                return unit
        wanted = self._wanted() if slots == 1 else Counter[str]()
        free = [unit for unit in self.nodes if self._free(unit, loads) - wanted[unit] >= slots]
        if slots == 1:
            free = [unit for unit in free if unit != self.emptying]
        if not free:
            if slots > 1 and self.emptying not in self.nodes:
                self.emptying = min(self.nodes, key=lambda unit: loads[unit], default=None)
            return None
        best = min(free, key=lambda unit: (loads[unit], on_node[self.nodes[unit]]))
        self.placed[trial] = best
        if slots > 1:
            self.slots[trial], self.emptying = slots, None
        return best

    def grow(self, trial: Hashable, slots: int) -> int:
        """Give a trial more slots, up to `slots`: all of another unit's, or what its own has free.

        Those of its unit that get free later wait for it.

        Returns:
            The number that it has then.

        >>> p = Placement(0.25, {"a": ""})
        >>> [p.place(trial) for trial in range(3)], p.grow(0, 4), p.free(1), p.place(3)
        (['a', 'a', 'a'], 2, None, None)
        >>> p.grow(0, 4)
        3
        """
        unit, has, loads = self.placed[trial], self.slots.get(trial, 1), self.loads()
        got = min(slots, has + self._free(unit, loads))
        free = [other for other in self.nodes if other not in (unit, self.emptying)]
        roomy = next((other for other in free if self._free(other, loads) >= slots), None)
        self.wishes[trial] = slots
        if got < slots and roomy is not None:
            self.placed[trial], self.slots[trial] = roomy, slots
        elif got > has and unit != self.emptying:
            self.slots[trial] = got
        return self.slots.get(trial, 1)

    def free(self, trial: Hashable, *, keep: bool = False) -> None:
        """A trial has ended; with `keep`, its slots wait for it to be placed again.

        >>> p = Placement(0.25, {"a": ""})
        >>> [p.place(trial) for trial in range(2)], p.grow(0, 2), p.free(0, keep=True)
        (['a', 'a'], 2, None)
        >>> p.grow(1, 2), p.free(1, keep=True), p.place(2)
        (2, None, None)
        >>> p.place(0, slots=2), p.place(1, slots=2)
        ('a', 'a')
        """
        unit, slots = self.placed.pop(trial, None), self.slots.pop(trial, 1)
        self.wishes.pop(trial, None)
        if keep and unit is not None:
            self.kept.setdefault(unit, []).append(slots)

    def loads(self) -> Counter[str]:
        """Number of slots that trials have on each unit."""
        loads = Counter[str]()
        for trial, unit in self.placed.items():
            loads[unit] += self.slots.get(trial, 1)
        return loads

    def _free(self, unit: str, loads: Mapping[str, int]) -> int:
        return trials_a_unit(self.share) - loads.get(unit, 0) - sum(self.kept.get(unit, ()))

    def _wanted(self) -> Counter[str]:
        """Number of slots of each unit that its trials wait for."""
        wanted = Counter[str]()
        for trial, slots in self.wishes.items():
            wanted[self.placed[trial]] += max(0, slots - self.slots.get(trial, 1))
        return wanted


def slots_due(passed: int, rungs: int, places: int, left: int, most: int) -> int:
    """Number of slots that a trial is due: one while it is cheap, all once it has survived.

    It doubles with each rung that the trial has passed, and is all of a unit after the last; it is
    no less than an even part where fewer trials are left than there are places.

    Args:
        passed: Number of rungs that the trial has passed.
        rungs: Number of rungs at which trials can be stopped.
        places: Number of slots there are, over all units.
        left: Number of trials that have not ended, itself among them.
        most: Number of slots of a unit.

    >>> [slots_due(passed, 3, places=8, left=20, most=8) for passed in range(4)]
    [1, 2, 4, 8]
    >>> [slots_due(0, 3, places=8, left=n, most=4) for n in (9, 4, 3, 2, 1)]
    [1, 2, 2, 4, 4]
    """
    by_rung = most if 0 < rungs <= passed else 2**passed
    return max(1, min(most, max(by_rung, places // max(1, left))))


def units_due(nodes: Iterable[int], left: int, most: int) -> int:
    """Number of whole units, all of one node, that each of the last trials is due; at least one.

    It is the largest number that all of them can have at once, so it is one until there are twice
    as many units as trials.

    Args:
        nodes: Number of units that the study has or could have, of each node.
        left: Number of trials that have not ended.
        most: Most units that a study may have.

    >>> [units_due([4, 4], left, most=8) for left in (9, 5, 4, 3, 2, 1)]
    [1, 1, 2, 2, 4, 4]
    >>> units_due([4, 1], 2, most=8), units_due([2, 2], 1, most=8), units_due([8], 2, most=6)
    (2, 2, 3)
    """
    sizes, left = list(nodes), max(1, left)

    def fits(each: int) -> bool:
        return each * left <= most and sum(size // each for size in sizes) >= left

    return next((each for each in range(max(sizes, default=1), 1, -1) if fits(each)), 1)


def own_units(n_gpus: int, share: float) -> dict[str, str]:
    """The units of this machine's GPUs, named by their indices.

    >>> own_units(3, 0.5), own_units(5, 2)
    ({'0': '', '1': '', '2': ''}, {'0,1': '', '2,3': ''})
    """
    size = gpus_a_unit(share)
    return {
        ",".join(map(str, range(first, first + size))): ""
        for first in range(0, n_gpus - size + 1, size)
    }


def gpu_names(indices: Sequence[int], environ: Mapping[str, str] = os.environ) -> str:
    """The value of a child's CUDA_VISIBLE_DEVICES for some of the GPUs that this process sees.

    >>> gpu_names([1], {}), gpu_names([0, 1], {"CUDA_VISIBLE_DEVICES": "2, 5"}), gpu_names([], {})
    ('1', '2,5', '')
    """
    names = visible_gpus(environ)
    return ",".join(str(index) if names is None else names[index] for index in indices)


def most_at_once(n_gpus: int, share: float) -> int:
    """Number of trials of a share that fit on the GPUs.

    >>> most_at_once(2, 0.5), most_at_once(5, 2), most_at_once(1, 2)
    (4, 2, 0)
    """
    return n_gpus // gpus_a_unit(share) * trials_a_unit(share)


MARGIN: Final = 1.1
"""Memory that a trial is given for what a probe of its first epochs measured."""


def auto_share(n_gpus: int, concurrent: int, memory: float = 0.0) -> float:
    """The share of a GPU for each of `concurrent` trials: 1, 1/2, 1/3, ...

    Fewer trials share a GPU, and fewer train at once, where more would not fit into its memory.

    Args:
        n_gpus: Number of GPUs there are.
        concurrent: Number of trials at once.
        memory: Part of a GPU's memory that a trial takes, as measured; 0 where it was not.

    >>> auto_share(2, 4), auto_share(4, 3), auto_share(0, 2)
    (0.5, 1.0, 0.0)
    >>> auto_share(2, 8, memory=0.2), auto_share(2, 8, memory=0.3), auto_share(2, 8, memory=0.95)
    (0.25, 0.3333333333333333, 1.0)
    """
    if n_gpus == 0:
        return 0.0
    by_memory = int(1 / (memory * MARGIN)) if memory else concurrent
    return 1 / max(1, min(-(-concurrent // n_gpus), by_memory))


@dataclass(frozen=True)
class Claim:
    """GPUs of a cluster that one study has and wants.

    Attributes:
        held: Number of GPUs reserved for it.
        waiting: Number of further ones that it has asked for.
        weight: Its part, beside the other studies' weights, where there are too few.
    """

    held: int
    waiting: int
    weight: float = 1.0


def fair_part(mine: Claim, others: Mapping[str, Claim], me: str) -> int:
    """The number of GPUs that a study should have of those that all studies hold.

    Each next GPU goes to the study with the fewest for its weight that wants more, so that all
    studies come to the same answer, each for itself.

    >>> fair_part(Claim(4, 0), {"b": Claim(0, 3)}, "a")
    2
    >>> fair_part(Claim(4, 0), {"b": Claim(0, 1)}, "a")
    3
    >>> fair_part(Claim(8, 0, weight=3), {"b": Claim(0, 8)}, "a")
    6
    """
    claims = {me: mine, **others}
    given = dict.fromkeys(sorted(claims), 0)
    for _ in range(sum(claim.held for claim in claims.values())):
        wanting = [s for s in given if given[s] < claims[s].held + claims[s].waiting]
        poorest = min(wanting, key=lambda s: given[s] / claims[s].weight)
        given[poorest] += 1
    return given[me]


@dataclass(frozen=True)
class Demand:
    """The units that a study's trials need, and those it could spread over.

    Attributes:
        trials: Number of trials that run or could run now.
        share: Fraction of a GPU a trial takes, or whole GPUs.
        most: Most GPUs that the study may take; None for any number.
        weight: Its part where several studies want the same GPUs.
    """

    trials: int
    share: float
    most: int | None = None
    weight: float = 1.0

    def needed(self) -> int:
        """Number of units that the trials fill.

        >>> Demand(5, 0.5).needed(), Demand(3, 2, most=4).needed(), Demand(0, 1).needed()
        (3, 2, 0)
        """
        return self._capped(math.ceil(self.trials / trials_a_unit(self.share)))

    def target(self, units: int, free: int, others: Mapping[str, Claim], me: str) -> int:
        """Number of units to have: one a trial while there are free ones, fewer where others wait.

        Args:
            units: Number of units that the study has and has asked for.
            free: Number of units that nobody has.
            others: Claims of the other studies, by name.
            me: The study's name among theirs.

        >>> Demand(4, 0.5).target(2, 1, {}, "a"), Demand(4, 0.5).target(4, 0, {}, "a")
        (3, 4)
        >>> Demand(4, 0.5).target(4, 0, {"b": Claim(0, 2)}, "a")
        2
        """
        target = max(self.needed(), self._capped(min(self.trials, units + free)))
        if free == 0 and any(claim.waiting for claim in others.values()):
            size = gpus_a_unit(self.share)
            mine = Claim(min(units, target) * size, max(0, target - units) * size, self.weight)
            target = min(target, max(1, fair_part(mine, others, me) // size))
        return target

    def _capped(self, units: int) -> int:
        return units if self.most is None else min(units, self.most // gpus_a_unit(self.share))
