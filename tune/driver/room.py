"""Places for a study's trials: what a driver asks of machines, and the one for CPU cores."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cluster.machines.nodes import Nodes
from cluster.machines.sharing import Placement

_LOOK_S: Final = 1.0  # from one look at the cluster's nodes to the next


class Room(Protocol):
    """Where a study's trials find their parts of machines; a trial is known by Ray's id of it.

    Parts are counted in equal slots, of which a trial has one or more.
    `cluster.machines.reservations` has the one for GPUs.
    """

    @property
    def elastic(self) -> bool:
        """Whether places come and go: a node may be taken away, and GPUs are shared with others."""
        ...

    @property
    def share(self) -> float:
        """Fraction of a GPU that a slot is, or number of whole ones; 0 for none."""
        ...

    @property
    def cpus(self) -> int:
        """CPU cores of a slot."""
        ...

    @property
    def slots(self) -> int:
        """Most slots that one trial can have."""
        ...

    @property
    def places(self) -> int:
        """Number of slots there are."""
        ...

    def take(self, trial: str, slots: int = 1, units: int = 1) -> str | None:
        """Give a trial a place, by name: slots of one unit, or several whole units of one node.

        None where there is none now.
        """
        ...

    def due(self, left: int, has: int = 1) -> int:
        """Whole units of one node that each of so many trials could have; 1 where no more.

        Args:
            left: Number of trials.
            has: Number that one of them has, which it keeps where others were refused.
        """
        ...

    def roomy(self, trial: str, units: int) -> bool:
        """Whether a node has so many whole units for a trial, once it has left its place."""
        ...

    def grow(self, trial: str, slots: int) -> int:
        """Give a trial more slots where it is, up to `slots`; returns how many it has then."""
        ...

    def free(self, trial: str, *, keep: bool = False) -> None:
        """A trial has left its place; with `keep`, its slots wait for it to take them again."""
        ...

    def leaves(self, trial: str, node: str) -> bool:
        """Whether a trial is to leave its place at its epoch's end, and go on elsewhere.

        Args:
            trial: The trial.
            node: Node that it trains on, by Ray's id of it.
        """
        ...

    def leave_out(self, node: str) -> bool:
        """Have no trial begin on a node that cannot run any; False where there is no other."""
        ...

    def update(self, trials: int, whole: Sequence[int] = ()) -> None:
        """Have room for a number of slots, and for trials of several units; cheap."""
        ...


class Cores:
    """Room wherever Ray finds free CPU cores: it knows, and waits where there are none.

    Attributes:
        cpus: CPU cores of a slot.
        places: Number of slots there are: as many as trials may run at once.
        slots: Most slots that one trial can have.
        share: No GPU.
        elastic: Whether the cores are those of a cluster's nodes.
    """

    def __init__(
        self,
        cpus: int,
        places: int,
        slots: int | None = None,
        nodes: Nodes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """All slots are free.

        Args:
            cpus: CPU cores of a slot.
            places: Number of slots.
            slots: Most slots of a trial, where no node has as many cores as all of them.
            nodes: Nodes of a cluster; None for this machine alone.
            clock: Seconds that pass.
        """
        self.share, self.cpus, self.places = 0.0, cpus, places
        self.slots = places if slots is None else min(slots, places)
        self._placement = Placement(1 / places, {"": ""})
        self._nodes, self._clock, self.elastic = nodes, clock, nodes is not None
        self._looked = float("-inf")

    def take(self, trial: str, slots: int = 1, units: int = 1) -> str | None:
        """Any place, as long as there are slots; it is named by the nodes that it is not on.

        No trial has several units.
        """
        del units
        if self._placement.place(trial, slots) is None:
            return None
        return "" if self._nodes is None else ",".join(self._nodes.left_out)

    def grow(self, trial: str, slots: int) -> int:
        """Give a trial more slots, up to `slots`; returns how many it has then."""
        if self._nodes is not None and not self._nodes.usable:
            return self._placement.slots.get(trial, 1)  # there is no node to begin again on
        return self._placement.grow(trial, slots)

    def free(self, trial: str, *, keep: bool = False) -> None:
        """Let others have a trial's slots; with `keep`, none but the trial itself."""
        self._placement.free(trial, keep=keep)

    def leaves(self, trial: str, node: str) -> bool:
        """Whether the node of a trial will be taken away while there is another one."""
        return self._nodes is not None and self._nodes.is_left(node)

    def leave_out(self, node: str) -> bool:
        """Have no trial begin on a node that cannot run any; False where there is no other."""
        return self._nodes is not None and self._nodes.leave_out(node)

    def due(self, left: int, has: int = 1) -> int:
        """Always one: cores are of one machine, and all of them are its slots."""
        return 1

    def roomy(self, trial: str, units: int) -> bool:
        """Never."""
        return False

    def update(self, trials: int, whole: Sequence[int] = ()) -> None:
        """Look at the nodes of the cluster now and then."""
        now = self._clock()
        if self._nodes is not None and now - self._looked >= _LOOK_S:
            self._looked = now
            self._nodes.look()
