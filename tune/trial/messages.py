"""The messages between a trial's actor and its engine's process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainables.contract import ArtifactKind
from tune.stopping.decision import Rule

GO_ON, STOP = "go on", "stop"


@dataclass(frozen=True)
class Reported:
    """The engine trained an epoch and waits."""

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class HandedOver:
    """The engine handed over an artifact; `path` is the kept copy."""

    path: Path
    kind: ArtifactKind


@dataclass(frozen=True)
class Noted:
    """The engine has something to tell the user."""

    message: str


@dataclass(frozen=True)
class Ended:
    """The engine is done with this trial.

    Attributes:
        rule: None where it trained to the end or stopped as told; else why it ended by itself.
        message: Reason, for the user.
        retry: Whether another attempt from the last checkpoint may succeed.
        disk_full: Whether it ended because nothing can be written: no other trial would do better.
        data_changed: Whether it ended because the data set is not as it was prepared: the same.
        out_of_memory: Whether its share of memory did not suffice.
        micro_batch: Number of samples that went through the network at once then; 0 where the
            engine cannot split a batch, or did not say.
    """

    rule: Rule | None = None
    message: str = ""
    retry: bool = False
    disk_full: bool = False
    data_changed: bool = False
    out_of_memory: bool = False
    micro_batch: int = 0


Event = Reported | HandedOver | Noted | Ended


class RunnerGoneError(Exception):
    """The runner has died, so nobody is left to report to."""


class Channel(Protocol):
    """Two-way, ordered, one end each for the runner and the engine."""

    def send(self, obj: Any, /) -> None:
        """Pass a message to the other end."""
        ...

    def recv(self) -> Any:
        """Wait for a message from the other end."""
        ...
