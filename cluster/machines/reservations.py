"""GPUs reserved from Ray for a study: one placement group a unit, held by the study's driver.

So other users of a cluster see them as taken, an autoscaler sees them as wanted, and a trial runs
on the node where its GPU is. Every reservation says in its name whose it is, so that the studies
of a cluster share it out without asking each other: each looks at all of them, and comes to the
same answer (`cluster.machines.sharing`). What a driver holds is free when it ends, however it does.
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.placement_group import remove_placement_group as remove

from cluster.machines.looking import PREFIX, View, Wish, look
from cluster.machines.nodes import NODE_ID, Nodes
from cluster.machines.sharing import (
    Demand,
    Placement,
    gpus_a_unit,
    trials_a_unit,
    units_due,
)

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5  # from one look at the cluster to the next

AIMED_S: Final = 3.0  # in which a node that has room gives it, or somebody else had it

REST_S: Final = 10.0  # after giving a unit back for others, in which they take it

TOLD_S: Final = 20.0  # of waiting for GPUs before the user hears of it


@dataclass
class _Unit:
    """One reservation: a unit, or several of one node for one trial.

    Attributes:
        group: Ray's placement group.
        asked: Moment at which it was asked for.
        aimed: Node that it was asked of; "" for any.
        node: Node that has given it; "" while it waits.
        leaving: Whether it is given back as soon as its trials have left.
        size: Number of units.
    """

    group: PlacementGroup
    asked: float
    aimed: str
    node: str = ""
    leaving: bool = False
    size: int = 1


class Reservations:
    """The GPUs of one study on a cluster, and its trials on them.

    Attributes:
        share: Fraction of a GPU that a slot is, or whole GPUs; a trial begins with one slot.
        cpus: CPU cores of a slot.
        elastic: Always: GPUs are taken from Ray as trials need them, and given back.
    """

    elastic = True

    def __init__(
        self, wish: Wish, nodes: Nodes | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Reserve nothing yet.

        Args:
            wish: What to reserve.
            nodes: Nodes of the cluster; None to ask Ray for them.
            clock: Seconds that pass.
        """
        self.share, self.cpus = wish.share, wish.cpus
        self._wish = wish
        self._nodes = Nodes(wish.labels, wish.fits) if nodes is None else nodes
        self._clock = clock
        self._me = f"{wish.study}/{uuid.uuid4().hex[:8]}"
        self._units: dict[str, _Unit] = {}
        self._made = 0
        self._placement = Placement(wish.share, {})
        self._looked = self._rest_until = self._greedy_from = self._narrow_until = float("-inf")
        self._usable: dict[str, int] = {}  # by node: what the study has and what nobody has
        self._free: dict[str, int] = {}  # by node: what nobody has
        self._awaited = False  # whether other studies wait for units
        self._refused = 0  # how often several units that looked free were not given
        self._told = False

    # --- trials
    @property
    def slots(self) -> int:
        """Most slots that a trial can have: those of a unit."""
        return trials_a_unit(self.share)

    @property
    def places(self) -> int:
        """Number of slots of the units that stand."""
        return self.slots * sum(unit.size for unit in self._units.values() if unit.node)

    def take(self, trial: str, slots: int = 1, units: int = 1) -> str | None:
        """Give a trial its place: the name of a reservation, or None where there is no room now.

        Args:
            trial: Name of the trial.
            slots: Number of slots, all of one unit.
            units: Number of whole units, where it is more than one; `update` asks for them.
        """
        if units > 1:
            return self._take_whole(trial, units)
        self._placement.nodes = standing = self._standing()
        while (name := self._placement.place(trial, slots)) is not None and self.group(
            name
        ) is None:
            self._placement.free(trial)
            standing.pop(name)  # its node is lost, which the next look at the cluster will notice
        return name

    def _take_whole(self, trial: str, units: int) -> str | None:
        taken = set(self._placement.placed.values())
        for name, unit in self._units.items():
            stands = unit.node and not unit.leaving and not self._nodes.is_out(unit.node)
            fits = stands and unit.size == units and name not in taken
            if fits and self.group(name) is not None:
                self._placement.placed[trial] = name
                self._placement.slots[trial] = units * self.slots
                return name
        return None

    def due(self, left: int, has: int = 1) -> int:
        """Whole units of one node that each of so many trials could have, as last looked at.

        Args:
            left: Number of trials.
            has: Number that one of them has, which it keeps where others were refused.
        """
        if self._awaited:
            return 1
        size = gpus_a_unit(self.share)
        total = sum(self._usable.values())
        most = total if self._wish.most is None else self._wish.most // size
        due = units_due(self._usable.values(), left, most)
        return min(due, has) if self._looked < self._narrow_until else due

    def roomy(self, trial: str, units: int) -> bool:
        """Whether a node has so many whole units for a trial, once it has left its place."""
        spare, leaves = self._spare(), 0
        own = self._units.get(self._placement.placed.get(trial, ""))
        if own is not None and own.node:
            alone = self._placement.loads()[self._placement.placed[trial]] == (
                self._placement.slots.get(trial, 1)
            )
            leaves = own.size if alone else 0
            spare[own.node] += leaves if not self._nodes.is_out(own.node) else 0
        return self._may_have(units - leaves) and any(n >= units for n in spare.values())

    def _may_have(self, more: int) -> bool:
        """Whether the study may take so many units more, in place of idle ones."""
        if self._wish.most is None:
            return True
        held = sum(unit.size for unit in self._units.values()) - len(self._idle())
        return (held + more) * gpus_a_unit(self.share) <= self._wish.most

    def _spare(self) -> Counter[str]:
        """Units of each node that nobody has, and those of the study's without a trial."""
        spare = Counter(self._free)
        for name in self._idle():
            spare[self._units[name].node] += 1
        return spare

    def _idle(self) -> list[str]:
        """Units that stand, of one each, on which there is no trial and none is awaited."""
        loads, kept = self._placement.loads(), self._placement.kept
        return [
            name
            for name, unit in self._staying().items()
            if unit.node and loads[name] == 0 and not kept.get(name)
        ]

    def grow(self, trial: str, slots: int) -> int:
        """Give a trial more slots of its unit, up to `slots`; returns how many it has then."""
        self._placement.nodes = self._standing()
        unit = self._units.get(self._placement.placed.get(trial, ""))
        if unit is not None and self._nodes.is_out(unit.node):
            return self._placement.slots.get(trial, 1)  # it could not begin there again
        return self._placement.grow(trial, slots)

    def free(self, trial: str, *, keep: bool = False) -> None:
        """A trial has ended; with `keep`, its slots wait for it to be placed again."""
        self._placement.free(trial, keep=keep)

    def _standing(self) -> dict[str, str]:
        """Node of each unit that takes trials."""
        return {n: u.node for n, u in self._staying().items() if u.node and not u.leaving}

    def _staying(self) -> dict[str, _Unit]:
        """The reservations of one unit that wait, or stand where trials may begin."""
        return {
            name: unit
            for name, unit in self._units.items()
            if unit.size == 1 and not self._nodes.is_out(unit.node)
        }

    def leaves(self, trial: str, node: str = "") -> bool:
        """Whether a trial is to end its attempt here, and to go on elsewhere or later."""
        unit = self._units.get(self._placement.placed.get(trial, ""))
        return unit is not None and unit.leaving

    def leave_out(self, node: str) -> bool:
        """Have no trial begin on a node that cannot run any; False where there is no other."""
        return self._nodes.leave_out(node)

    def group(self, name: str) -> PlacementGroup | None:
        """The placement group of a unit, if it stands now; asked of Ray itself."""
        unit = self._units.get(name)
        if unit is None or placement_group_table(unit.group).get("state") != "CREATED":
            return None
        return unit.group

    @property
    def bundle(self) -> dict[str, float]:
        """What a slot is of its unit, as Ray counts it: to four places."""
        gpu = self.share if self.share >= 1 else int(self.share * 10_000) / 10_000
        return {"CPU": float(self.cpus), "GPU": gpu}

    # --- units
    def update(self, trials: int, whole: Sequence[int] = ()) -> None:
        """Ask for the units that are needed, and give back the others; cheap if called often.

        Args:
            trials: Number of slots of the trials that run or could run now.
            whole: Number of units of each trial that has several, which `trials` leaves out.
        """
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        if not self._nodes.look():
            return
        view = look(self._me, self._wish, self._nodes.usable)
        self._notice(view.nodes_of, now)
        self._know(view)
        self._fit_whole(whole, now)
        demand = Demand(trials, self.share, self._most_single(whole), self._wish.weight)
        free = sum(view.free.values()) if now >= self._greedy_from else 0
        target = demand.target(len(self._staying()), free, view.others, self._me)
        crowded = not free and any(claim.waiting for claim in view.others.values())
        self._shrink(target, leave=crowded)
        self._part()
        if now >= self._rest_until:
            for _ in range(target - len(self._staying())):
                self._ask(view.free, now)
        self._give_up_waiting(demand.needed(), now)
        self._tell(now)

    def close(self) -> None:
        """Give everything back."""
        for name in list(self._units):
            self._give_back(name)

    def _most_single(self, whole: Sequence[int]) -> int | None:
        """Most GPUs in reservations of one unit, beside what others hold or will; None for any."""
        if self._wish.most is None:
            return None
        held = sum(unit.size for unit in self._units.values()) - len(self._staying())
        return max(0, self._wish.most - max(sum(whole), held) * gpus_a_unit(self.share))

    def _know(self, view: View) -> None:
        """Remember what a look has shown, for trials that could have several units."""
        self._free = view.free
        self._usable = dict(view.free)
        for unit in self._units.values():
            if unit.node and not self._nodes.is_left(unit.node):
                self._usable[unit.node] = self._usable.get(unit.node, 0) + unit.size
            elif unit.aimed:
                self._free[unit.aimed] = max(0, self._free.get(unit.aimed, 0) - unit.size)
        self._awaited = any(claim.waiting for claim in view.others.values())

    def _fit_whole(self, whole: Sequence[int], now: float) -> None:
        """Have a reservation for each trial that has several units, and no others of the kind."""
        taken, wanted = set(self._placement.placed.values()), Counter(whole)
        several = {name: unit for name, unit in self._units.items() if unit.size > 1}
        for name in sorted(several, key=lambda name: name not in taken):  # those in use first
            unit = several[name]
            takes = name in taken or not self._nodes.is_out(unit.node)
            has_trial = takes and wanted[unit.size] > 0
            wanted[unit.size] -= has_trial
            unit.leaving = not has_trial or self._nodes.is_left(unit.node)
            if unit.leaving and name not in taken:
                self._give_back(name)
        for size in wanted.elements():
            self._ask_whole(size, now)

    def _ask_whole(self, size: int, now: float) -> None:
        """Ask for several units of the node that has few more, in place of idle ones there."""
        spare = self._spare()
        node = min((n for n in spare if spare[n] >= size), key=lambda n: spare[n], default=None)
        if node is None or not self._may_have(size):
            return
        idle = [name for name in self._idle() if self._units[name].node == node]
        for name in idle[: max(0, size - self._free.get(node, 0))]:
            self._give_back(name)
            self._free[node] = self._free.get(node, 0) + 1
        self._free[node] -= size
        self._made += 1
        group = self._reserve(node, size)
        self._units[f"{self._me}/{self._made}"] = _Unit(group, now, node, size=size)

    def _notice(self, nodes_of: Mapping[str, str | None], now: float) -> None:
        """Take in where units stand; those of a lost node are asked for anew, under their names."""
        for name, unit in list(self._units.items()):
            node = nodes_of.get(unit.group.id.hex())
            if node is None and (unit.size > 1 or self._nodes.is_out(unit.node)):
                self._give_back(name)  # its trial asks anew; as was announced, or with less
            elif node is None:
                log.warning("a node with reserved GPUs is lost; others are asked for")
                remove(unit.group)
                self._units[name] = _Unit(self._reserve(""), now, "")
            else:
                unit.node = node

    def _shrink(self, target: int, *, leave: bool) -> None:
        """Give units back: those that wait, then idle ones, first where the study has most.

        Args:
            target: Number of units to keep.
            leave: Whether trials leave theirs for other studies, which wait.
        """
        loads, staying = self._placement.loads(), self._staying()
        on_node = Counter(unit.node for unit in staying.values())
        for unit in staying.values():
            unit.leaving = False

        def worth(name: str) -> tuple[bool, int, int]:
            node = self._units[name].node
            return node != "", loads[name], -on_node[node]

        for name in sorted(staying, key=worth)[: max(0, len(staying) - target)]:
            if leave:  # for others, also what waits for a trial, which goes on elsewhere then
                self._placement.kept.pop(name, None)
            if loads[name] == 0 and not self._placement.kept.get(name):
                self._give_back(name)
                if leave:
                    self._rest_until = self._looked + REST_S
            else:
                self._units[name].leaving = leave

    def _part(self) -> None:
        """Have trials leave the units of nodes that are left out, and give back what is idle."""
        loads = self._placement.loads()
        for name, unit in list(self._units.items()):
            if unit.size > 1 or not self._nodes.is_out(unit.node):
                continue
            self._placement.kept.pop(name, None)  # what waits for a trial, it cannot have again
            if loads[name] == 0:
                self._give_back(name)
            else:
                unit.leaving = self._nodes.is_left(unit.node)

    def _ask(self, free: dict[str, int], now: float) -> None:
        """Ask for one more unit, of the node with room where the study has the fewest."""
        on_node = Counter(unit.node or unit.aimed for unit in self._units.values())
        with_room = [node for node, n in free.items() if n > 0]
        aimed = min(with_room, key=lambda node: (on_node[node], -free[node]), default="")
        if aimed:
            free[aimed] -= 1
        self._made += 1
        self._units[f"{self._me}/{self._made}"] = _Unit(self._reserve(aimed), now, aimed)

    def _reserve(self, node: str, units: int = 1) -> PlacementGroup:
        gpus, cpus = self._wish.bundle()
        out = ",".join(self._nodes.left_out)
        where = node or (f"!in({out})" if out else "")
        labels = {**self._wish.labels, **({NODE_ID: where} if where else {})}
        group: PlacementGroup = placement_group(
            [{"GPU": units * gpus, "CPU": units * cpus}],
            name=f"{PREFIX}/{self._me}/{self._wish.weight:g}/{uuid.uuid4().hex[:8]}",
            bundle_label_selector=[labels] if labels else None,
        )
        return group

    def _give_up_waiting(self, needed: int, now: float) -> None:
        """A node that does not give what looked free: any other may, or the study does without."""
        loads = self._placement.loads()
        for name, unit in list(self._units.items()):
            if unit.node or now - unit.asked < AIMED_S:
                continue
            if unit.size > 1:  # its trial has one unit until there may be more
                self._give_back(name)
                self._refused += 1
                self._narrow_until = now + REST_S * 2**self._refused
            elif len(self._staying()) > needed and loads[name] == 0:
                self._give_back(name)
                self._greedy_from = now + REST_S
            elif unit.aimed:
                remove(unit.group)
                self._units[name] = _Unit(self._reserve(""), unit.asked, "")

    def _give_back(self, name: str) -> None:
        remove(self._units.pop(name).group)

    def _tell(self, now: float) -> None:
        waits = bool(self._units) and not any(unit.node for unit in self._units.values())
        if not waits:
            self._told = False
        elif not self._told and now - min(unit.asked for unit in self._units.values()) > TOLD_S:
            self._told = True
            size, cpus = self._wish.bundle()
            where = "".join(f", {key}={value}" for key, value in self._wish.labels.items())
            log.warning(
                "the study waits for a node with %d free GPU%s and %d free CPU cores%s; "
                "`ray status` shows what the cluster has",
                *(size, "s" if size > 1 else "", cpus, where),
            )
