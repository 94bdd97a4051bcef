"""The nodes of a cluster, and those of them on which a study's trials may begin.

A node is left out once Ray was told that it will be taken away (a *drain notice*, as of a spot
machine), or once a trial could not begin there, as it lacks what is to run.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import RayError

log = logging.getLogger(__name__)

NODE_ID: Final = "ray.io/node-id"
"""Label by which Ray knows a node."""

_ANSWER_S: Final = 5.0
"""Time that a cluster's control store has to answer, s."""


@dataclass(frozen=True)
class Node:
    """A living node of a cluster.

    Attributes:
        cpus: Number of CPU cores that Ray has there.
        gpus: Number of GPUs.
        labels: Labels of the node, `ray.io/node-id` among them.
        address: Its network address.
    """

    cpus: int
    gpus: int
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


def nodes_with(labels: Mapping[str, str]) -> dict[str, Node]:
    """The living nodes of the cluster that carry some labels, by their id.

    Raises:
        RayError: The cluster's control store does not answer. (`ray.nodes()` waits for ever then,
            and ends the whole process where a new one asks for another token.)
    """
    known = _control_store().get_all_node_info(timeout=_ANSWER_S)
    return {
        node.node_id.hex(): Node(
            int(node.resources_total.get("CPU", 0)),
            int(node.resources_total.get("GPU", 0)),
            dict(node.labels),
            node.node_manager_address,
        )
        for node in known.values()
        if node.state == node.ALIVE and labels.items() <= dict(node.labels).items()
    }


def drain_notices() -> dict[str, float]:
    """The nodes that Ray drains, by their id, with the moment of their end.

    That is in seconds since 1970; 0 where nobody has said when.

    Raises:
        RayError: The cluster's control store does not answer.
    """
    notices = _control_store().get_draining_nodes(timeout=_ANSWER_S)
    return {node: moment_ms / 1000 for node, moment_ms in notices.items()}


def _control_store() -> Any:
    """The control store of the cluster that this process is connected to."""
    worker: Any = ray._private.worker.global_worker
    return worker.gcs_client


class Nodes:
    """The nodes on which a study's trials may begin.

    Attributes:
        usable: Living nodes on which they may, by their id.
    """

    def __init__(
        self,
        labels: Mapping[str, str],
        fits: Callable[[Node], bool],
        living: Callable[[Mapping[str, str]], dict[str, Node]] = nodes_with,
        notices: Callable[[], dict[str, float]] = drain_notices,
    ) -> None:
        """Know nothing yet.

        Args:
            labels: Labels that a node must carry.
            fits: Whether a node is large enough for a trial.
            living: Asks Ray for the living nodes with some labels.
            notices: Asks Ray for the nodes that it drains.
        """
        self.usable: dict[str, Node] = {}
        self._labels, self._fits = labels, fits
        self._living, self._notices = living, notices
        self._out: dict[str, Node] = {}  # also those that have died since
        self._there: frozenset[str] = frozenset()
        self._bare: set[str] = set()
        self._alone: set[str] = set()  # told to be drained while there was no other node

    def look(self) -> bool:
        """Take in which nodes there are, and say which of them will be taken away.

        Returns:
            Whether the cluster has answered; where it has not, what was known stays.
        """
        try:
            living, notices = self._living(self._labels), self._notices()
        except RayError as error:
            log.debug("the cluster's nodes are not known just now: %s", error)
            return False
        nodes = {i: node for i, node in living.items() if self._fits(node)}
        self.usable = {
            i: node for i, node in nodes.items() if i not in notices and i not in self._out
        }
        self._there = frozenset(nodes)
        for name in notices.keys() & nodes.keys():
            self._tell(name, nodes[name], notices[name])
        return True

    @property
    def left_out(self) -> tuple[str, ...]:
        """Living nodes on which no trial may begin, by their id."""
        return tuple(sorted(self._there & self._out.keys()))

    def is_out(self, node: str) -> bool:
        """Whether no trial may begin on a node, which may have died."""
        return node in self._out

    def is_left(self, node: str) -> bool:
        """Whether trials are to leave a node at the ends of their epochs, for another one."""
        return node in self._out and bool(self.usable)

    def leave_out(self, node: str) -> bool:
        """Have no trial begin on a node that cannot run any.

        Returns:
            Whether there is another node.
        """
        self.look()
        self._bare.add(node)
        here = self.usable.pop(node, None)
        if here is not None:
            self._out[node] = here
        return bool(self._there - self._bare)

    def _tell(self, name: str, node: Node, ends: float) -> None:
        """Say that a node will be taken away, once; and again as soon as there is another one."""
        known = name in self._out
        self._out[name] = node
        left = f" in {max(0.0, ends - time.time()):.0f} s" if ends else ""
        if not known and not self.usable:
            self._alone.add(name)
            log.warning(
                "node %s will be taken away%s, and there is no other one: its trials go on there "
                "until it ends, which costs each the epoch it is in",
                *(node.address, left),
            )
        elif not known or (name in self._alone and self.usable):
            self._alone.discard(name)
            log.warning(
                "node %s will be taken away%s: no trial begins there any more, and those that run "
                "there go on elsewhere from the ends of their epochs",
                *(node.address, left),
            )
