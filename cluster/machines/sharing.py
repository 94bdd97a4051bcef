"""GPUs shared out to trials and to studies: pure arithmetic.

A trial gets 1/n of a GPU or whole ones, so GPUs come in *units*: a GPU that n trials share, or the
whole GPUs of one trial, always of one node. Ray packs fractions first-fit and limits no memory;
here trials are spread first, over units and nodes, and each process is held to its share.
"""

import math
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """Trials on units of GPUs.

    Attributes:
        share: Fraction of a GPU a trial takes, or whole GPUs.
        nodes: Node of each unit that trials may be placed on, by the unit's name.
        placed: Unit of each trial; a trial is known by any name.
    """

    share: float
    nodes: Mapping[str, str]
    placed: dict[Hashable, str] = field(default_factory=dict)

    def place(self, trial: Hashable) -> str | None:
        """Give a trial the unit with the fewest trials, on the node with the fewest; or None.

        >>> p = Placement(0.5, {"a": "here", "b": "here", "c": "there"})
        >>> [p.place(trial) for trial in range(7)]
        ['a', 'c', 'b', 'c', 'a', 'b', None]
        """
        loads = self.loads()
        on_node = Counter[str]()
        for unit, n in loads.items():
            on_node[self.nodes.get(unit, "")] += n
        free = [unit for unit in self.nodes if loads[unit] < trials_a_unit(self.share)]
        if not free:
            return None
        best = min(free, key=lambda unit: (loads[unit], on_node[self.nodes[unit]]))
        self.placed[trial] = best
        return best

    def free(self, trial: Hashable) -> None:
        """A trial has ended."""
        self.placed.pop(trial, None)

    def loads(self) -> Counter[str]:
        """Number of trials on each unit."""
        return Counter(self.placed.values())


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


def auto_share(n_gpus: int, concurrent: int) -> float:
    """The share of a GPU for each of `concurrent` trials: 1, 1/2, 1/3, ...

    >>> auto_share(2, 4), auto_share(4, 3), auto_share(0, 2)
    (0.5, 1.0, 0.0)
    """
    if n_gpus == 0:
        return 0.0
    return 1 / -(-concurrent // n_gpus)


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
