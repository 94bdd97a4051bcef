"""A cluster of nodes with GPUs as one look finds it: what is there, reserved, and free."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ray.util.placement_group import placement_group_table

from cluster.machines.nodes import Node
from cluster.machines.sharing import Claim, gpus_a_unit, trials_a_unit

PREFIX: Final = "segtune"
"""Beginning of the names of all studies' reservations."""


def fitting_cpus(nodes: Mapping[str, Node], share: float) -> int:
    """CPU cores a trial that leave no GPU of any node without its part; at least 1.

    >>> fitting_cpus({"a": Node(16, 2), "b": Node(12, 2), "c": Node(4, 0)}, 0.5)
    3
    """
    size, trials = gpus_a_unit(share), trials_a_unit(share)
    fits = [n.cpus // (n.gpus // size) // trials for n in nodes.values() if n.gpus >= size]
    return max(1, min(fits, default=1))


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


@dataclass(frozen=True)
class View:
    """A cluster, as one look finds it.

    Attributes:
        nodes_of: Node of each standing placement group, by its id; "" where it waits.
        free: Number of units that fit on each node beside what is reserved there.
        others: Claims of the other studies.
    """

    nodes_of: Mapping[str, str]
    free: dict[str, int]
    others: Mapping[str, Claim]


def look(me: str, wish: Wish, nodes: Mapping[str, Node]) -> View:
    """Look at all reservations of a cluster; a question to Ray, of a millisecond.

    Args:
        me: Name of the study's claim.
        wish: What the study asks for.
        nodes: Nodes on which its trials may begin.
    """
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
    return View(nodes_of, free, _claims(table, me))


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
