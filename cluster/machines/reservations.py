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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.placement_group import remove_placement_group as remove

from cluster.machines.nodes import NODE_ID, Node, Nodes
from cluster.machines.sharing import Claim, Demand, Placement, gpus_a_unit, trials_a_unit

log = logging.getLogger(__name__)

PREFIX: Final = "segtune"

LOOK_S: Final = 0.5  # from one look at the cluster to the next

AIMED_S: Final = 3.0  # in which a node that has room gives it, or somebody else had it

REST_S: Final = 10.0  # after giving a unit back for others, in which they take it

TOLD_S: Final = 20.0  # of waiting for GPUs before the user hears of it


def fitting_cpus(nodes: Mapping[str, Node], share: float) -> int:
    """CPU cores a trial that leave no GPU of any node without its part; at least 1.

    >>> fitting_cpus({"a": Node(16, 2), "b": Node(12, 2), "c": Node(4, 0)}, 0.5)
    3
    """
    size, trials = gpus_a_unit(share), trials_a_unit(share)
    fits = [n.cpus // (n.gpus // size) // trials for n in nodes.values() if n.gpus >= size]
    return max(1, min(fits, default=1))


@dataclass
class _Unit:
    """One reservation.

    Attributes:
        group: Ray's placement group.
        asked: Moment at which it was asked for.
        aimed: Node that it was asked of; "" for any.
        node: Node that has given it; "" while it waits.
        leaving: Whether it is given back as soon as its trials have left.
    """

    group: PlacementGroup
    asked: float
    aimed: str
    node: str = ""
    leaving: bool = False


@dataclass(frozen=True)
class Wish:
    """What a study asks of a cluster.

    Attributes:
        study: Name of the study.
        share: Fraction of a GPU a trial takes, or whole GPUs.
        cpus: CPU cores a trial takes.
        most: Most GPUs that the study may take; None for any number.
        weight: Its part where several studies want the same GPUs.
        labels: Labels that a node must carry.
    """

    study: str
    share: float
    cpus: int
    most: int | None = None
    weight: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)

    def bundle(self) -> tuple[int, int]:
        """GPUs and CPU cores of a unit.

        >>> Wish("a", share=0.5, cpus=3).bundle(), Wish("a", share=2, cpus=3).bundle()
        ((1, 6), (2, 3))
        """
        return gpus_a_unit(self.share), self.cpus * trials_a_unit(self.share)

    def fits(self, node: Node) -> bool:
        """Whether a unit fits on a node."""
        gpus, cpus = self.bundle()
        return node.gpus >= gpus and node.cpus >= cpus


class Reservations:
    """The GPUs of one study on a cluster, and its trials on them.

    Attributes:
        share: Fraction of a GPU that a slot is, or whole GPUs; a trial begins with one slot.
        cpus: CPU cores of a slot.
    """

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
        self._looked = self._rest_until = self._greedy_from = float("-inf")
        self._told = False

    # --- trials
    @property
    def slots(self) -> int:
        """Most slots that a trial can have: those of a unit."""
        return trials_a_unit(self.share)

    @property
    def places(self) -> int:
        """Number of slots of the units that stand."""
        return self.slots * sum(1 for unit in self._units.values() if unit.node)

    def take(self, trial: str, slots: int = 1) -> str | None:
        """Give a trial its place: the name of a unit, or None where there is no room now."""
        self._placement.nodes = standing = self._standing()
        while (name := self._placement.place(trial, slots)) is not None and self.group(
            name
        ) is None:
            self._placement.free(trial)
            standing.pop(name)  # its node is lost, which the next look at the cluster will notice
        return name

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
        return {
            name: unit.node
            for name, unit in self._staying().items()
            if unit.node and not unit.leaving
        }

    def _staying(self) -> dict[str, _Unit]:
        """Units that wait, or stand where trials may begin."""
        return {n: unit for n, unit in self._units.items() if not self._nodes.is_out(unit.node)}

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
    def update(self, trials: int) -> None:
        """Ask for the units that are needed, and give back the others; cheap if called often.

        Args:
            trials: Number of slots of the trials that run or could run now.
        """
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        self._nodes.look()
        view = _look(self._me, self._wish, self._nodes.usable)
        self._notice(view.nodes_of, now)
        demand = Demand(trials, self.share, self._wish.most, self._wish.weight)
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

    def _notice(self, nodes_of: Mapping[str, str | None], now: float) -> None:
        """Take in where units stand; those of a lost node are asked for anew, under their names."""
        for name, unit in list(self._units.items()):
            node = nodes_of.get(unit.group.id.hex())
            if node is None and self._nodes.is_out(unit.node):
                self._give_back(name)  # as announced; another one was asked for then
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
            if loads[name] == 0 and name not in self._placement.kept:
                self._give_back(name)
                if leave:
                    self._rest_until = self._looked + REST_S
            else:
                self._units[name].leaving = leave

    def _part(self) -> None:
        """Have trials leave the units of nodes that are left out, and give back what is idle."""
        loads = self._placement.loads()
        for name, unit in list(self._units.items()):
            if not self._nodes.is_out(unit.node):
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

    def _reserve(self, node: str) -> PlacementGroup:
        gpus, cpus = self._wish.bundle()
        out = ",".join(self._nodes.left_out)
        where = node or (f"!in({out})" if out else "")
        labels = {**self._wish.labels, **({NODE_ID: where} if where else {})}
        group: PlacementGroup = placement_group(
            [{"GPU": gpus, "CPU": cpus}],
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
            if len(self._staying()) > needed and loads[name] == 0:
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


@dataclass(frozen=True)
class _View:
    """A cluster, as one look finds it.

    Attributes:
        nodes_of: Node of each standing placement group, by its id; "" where it waits.
        free: Number of units that fit on each node beside what is reserved there.
        others: Claims of the other studies.
    """

    nodes_of: Mapping[str, str]
    free: dict[str, int]
    others: Mapping[str, Claim]


def _look(me: str, wish: Wish, nodes: Mapping[str, Node]) -> _View:
    """Look at all reservations of a cluster; a question to Ray, of a millisecond."""
    table = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    cpus, gpus = Counter[str](), Counter[str]()
    for group in table:
        for index, node in group["bundles_to_node_id"].items():
            cpus[node] += group["bundles"][index].get("CPU", 0)
            gpus[node] += group["bundles"][index].get("GPU", 0)
    size, cores = wish.bundle()
    free = {
        name: max(0, int(min((node.gpus - gpus[name]) // size, (node.cpus - cpus[name]) // cores)))
        for name, node in nodes.items()
    }
    nodes_of = {
        group["placement_group_id"]: group["bundles_to_node_id"][0]
        for group in table
        if group["state"] != "RESCHEDULING"
    }
    return _View(nodes_of, free, _claims(table, me))


def _claims(table: list[dict[str, Any]], me: str) -> dict[str, Claim]:
    """The claims of all studies but one, read from the names of their reservations."""
    claims: dict[str, Claim] = {}
    for group in table:
        prefix, *parts = group["name"].split("/")
        if prefix != PREFIX or len(parts) != 4 or "/".join(parts[:2]) == me:
            continue
        study, weight = "/".join(parts[:2]), float(parts[2])
        n, has = int(group["bundles"][0]["GPU"]), group["state"] in ("CREATED", "PREPARED")
        before = claims.get(study, Claim(0, 0))
        held, waiting = before.held + n * has, before.waiting + n * (not has)
        claims[study] = Claim(held, waiting, weight)
    return claims
