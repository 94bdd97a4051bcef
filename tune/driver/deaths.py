"""Why a trial's actor died: by itself, with its node, or before it could begin."""

import re
from dataclasses import dataclass
from typing import Final

from ray.exceptions import RayActorError, RayTaskError

_OF_NODE: Final = ("node has died", "node was preempted", "node was terminated")

_IMPORT: Final = re.compile(r"(?:ModuleNotFoundError|ImportError): (.*)")

_HOST: Final = re.compile(r"(?:\bip: |ip=)([\w.:-]+)")


@dataclass(frozen=True)
class Death:
    """The death of a trial's actor.

    Attributes:
        message: What happened, for the user.
        of_node: Whether its node was lost, of which the trial is not the cause.
        unimportable: The error of the import, where the node lacks what is to run there; else "".
    """

    message: str = "its worker died"
    of_node: bool = False
    unimportable: str = ""


def death_of(error: BaseException | None) -> Death:
    """The death that an error of Ray's tells of; None where Ray has kept no error."""
    text = str(error)
    imported = _IMPORT.search(text)
    begins = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
    if imported and begins:
        host = _HOST.search(text)
        where = f"a node of the cluster ({host[1]})" if host else "a node of the cluster"
        return Death(f"{where} cannot run trials: {imported[1]}", unimportable=imported[1])
    if isinstance(error, RayActorError) and error.preempted:
        return Death("its node was preempted", of_node=True)
    if isinstance(error, RayActorError) and any(words in text for words in _OF_NODE):
        return Death("its node was lost", of_node=True)
    return Death()
