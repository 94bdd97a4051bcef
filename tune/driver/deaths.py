"""Why a trial's actor died: by itself, with its node, or before it could begin."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import ray
import ray.cloudpickle as cloudpickle
from ray.exceptions import RayActorError

from cluster.jobs.nodes import why_no_worker
from cluster.machines.nodes import nodes_with

_OF_NODE: Final = ("node has died", "node was preempted", "node was terminated")

DOUBT_S: Final = 20.0
"""In which Ray has noticed that the node of a dead worker is gone, too."""

_LOOK_S: Final = 0.5  # from one look at doubted nodes to the next

_RAISED: Final = re.compile(r"^([\w.]+(?:Error|Exception)): (.*)$", re.MULTILINE)

_HOST: Final = re.compile(r"(?:\bip: |ip=)([\w.:-]+)")


@dataclass(frozen=True)
class Death:
    """The death of a trial's actor.

    Attributes:
        message: What happened, for the user.
        of_node: Whether its node was lost, of which the trial is not the cause.
        unprepared: Whether no actor can begin on its node, which lacks what is to run there.
        node: Its node, by Ray's id of it, where that matters; "" where it is not known.
    """

    message: str = "its worker died"
    of_node: bool = False
    unprepared: bool = False
    node: str = ""


def kept_error(trial: Any) -> BaseException | None:
    """The error that Ray Tune has just written down for a trial of its; None where it has not."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return None
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return error


def node_of_actor(actor: str) -> str:
    """The node on which an actor was to run, which Ray also knows of dead ones; "" for unknown."""
    return str(ray._private.state.actors(actor).get("Address", {}).get("NodeID", ""))


def own_node() -> str:
    """The driver's node, by Ray's id of it."""
    return str(ray.get_runtime_context().get_node_id())


def is_alive(node: str) -> bool:
    """Whether Ray knows of a node that it lives."""
    return node in nodes_with({})


def death_of(
    error: BaseException | None,
    node_of: Callable[[str], str] = node_of_actor,
    own: Callable[[], str] = own_node,
) -> Death:
    """The death that an error of Ray's tells of.

    Args:
        error: The error; None where Ray has kept none.
        node_of: Function from Ray's id of an actor to that of its node.
        own: Says which node is the driver's, which lives as long as it does.
    """
    text = str(error)
    if isinstance(error, RayActorError) and error.actor_init_failed:
        host = _HOST.search(text)
        where = f"a node of the cluster ({host[1]})" if host else "a node of the cluster"
        message = f"{where} cannot run trials: {_why_not_begun(error, text)}"
        node = node_of(error.actor_id) if error.actor_id else ""
        return Death(message, unprepared=True, node=node)
    if isinstance(error, RayActorError) and error.preempted:
        return Death("its node was preempted", of_node=True)
    if isinstance(error, RayActorError) and any(words in text for words in _OF_NODE):
        return Death("its node was lost", of_node=True)
    if isinstance(error, RayActorError) and error.actor_id:
        node = node_of(error.actor_id)
        return Death(node="" if node == own() else node)
    return Death()


class Doubts:
    """Dead workers whose nodes may have died with them.

    Where all processes of a node end at once, Ray hears of a worker's death from the node, and only
    some seconds later that the node is gone.

    Attributes:
        open: Trials whose workers are doubted: when each has died, and of what.
    """

    def __init__(
        self,
        alive: Callable[[str], bool] = is_alive,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Doubt nothing yet.

        Args:
            alive: Says whether a node lives.
            clock: Seconds that pass.
        """
        self._alive, self._clock = alive, clock
        self.open: dict[int, tuple[float, Death]] = {}
        self._looked = float("-inf")

    def add(self, number: int, death: Death) -> None:
        """Wait and see what a trial's worker has died of."""
        self.open[number] = self._clock(), death

    def settled(self) -> list[tuple[int, Death]]:
        """Trials of which it is known by now, each with its death; they are doubted no more."""
        now = self._clock()
        if not self.open or now - self._looked < _LOOK_S:
            return []
        self._looked, known = now, list[tuple[int, Death]]()
        for number, (since, death) in list(self.open.items()):
            if not self._alive(death.node):
                known.append((number, Death("its node was lost", of_node=True)))
            elif now - since >= DOUBT_S:
                known.append((number, replace(death, node="")))
            else:
                continue
            del self.open[number]
        return known


def _why_not_begun(error: BaseException, text: str) -> str:
    """What an actor failed with before it began: the last error of its traceback."""
    raised = _RAISED.findall(text)
    if not raised:
        return text.strip().splitlines()[-1]
    kind, message = raised[-1]
    lacks = kind.endswith(("ImportError", "ModuleNotFoundError"))
    return why_no_worker(error) if lacks else str(message)
