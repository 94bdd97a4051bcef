"""The tracker, which keeps a record of each trial, and one that keeps none."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainables.goal import Goal

if TYPE_CHECKING:
    from trainables.contract import ArtifactKind


@dataclass(frozen=True)
class RunInfo:
    """A trial as its tracker is told of it when an attempt begins.

    Attributes:
        study: The study's name; the run's group.
        trial: The trial's number.
        run_id: The run's id, from `run_id`.
        config: Parameters, engine, data, seed.
        goal: Says which of the trial's epochs is the best.
        directory: `trials/<n>/wandb`, where W&B's files lie; W&B fixes the last name.
        past: Metrics of the epochs that earlier attempts trained and the journal has, in order.
        attempt: 1-based.
        takeover: Take-over since which the run is another one, with its id; 0 for none.
    """

    study: str
    trial: int
    run_id: str
    config: Mapping[str, Any]
    goal: Goal
    directory: Path
    past: Sequence[Mapping[str, float]] = ()
    attempt: int = 1
    takeover: int = 0

    def __post_init__(self) -> None:
        if self.directory.name != "wandb":
            raise ValueError(f"expected a directory named wandb, got {self.directory}")


class Tracker(Protocol):
    """Keeps a record of one trial after another. No method raises because of its service."""

    def start(self, run: RunInfo) -> None:
        """A trial begins, or goes on in a new attempt; returns at once."""
        ...

    def log(self, metrics: Mapping[str, float]) -> None:
        """Record one epoch; returns at once.

        Args:
            metrics: With `epoch`, the step it is recorded under.
        """
        ...

    def artifact(self, path: Path, kind: "ArtifactKind", name: str) -> None:
        """Keep a file with the trial.

        Args:
            path: The file; it stays where it is.
            kind: Kind of artifact.
            name: The artifact's name; files of one name make one artifact.
        """
        ...

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Close the trial's record; returns within a bounded time.

        Args:
            outcome: Outcome: `state` and whatever else is known. The state `running` means
                that the trial goes on in another attempt.
        """
        ...


class NullTracker:
    """Keeps nothing."""

    def start(self, run: RunInfo) -> None:
        """Nothing to do."""

    def log(self, metrics: Mapping[str, float]) -> None:
        """Nothing to do."""

    def artifact(self, path: Path, kind: "ArtifactKind", name: str) -> None:
        """Nothing to do."""

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Nothing to do."""


def run_config(  # noqa: PLR0913  the lines of a record
    params: Mapping[str, Any],
    *,
    study: str,
    goal: Goal,
    engine: str,
    data: tuple[str, str],
    epochs: int,
    seed: int,
    trial: int,
) -> dict[str, Any]:
    """The configuration of a trial's run: its hyperparameters, and what they were trained with.

    Args:
        params: Hyperparameters, sampled and fixed.
        study: Name of the study.
        goal: Aim of the study.
        engine: Name of the engine.
        data: Name and fingerprint of the data set.
        epochs: Length of a trial that nothing stops.
        seed: Seed of the training.
        trial: Number of the trial.
    """
    name, fingerprint = data
    return {
        **params,
        "study": study,
        "objective": goal.metric,
        "mode": goal.mode,
        "constraints": [str(limit) for limit in goal.limits],
        "engine": engine,
        "data": name,
        "data_fingerprint": fingerprint,
        "epochs": epochs,
        "seed": seed,
        "trial": trial,
    }


def run_name(trial: int, takeover: int) -> str:
    """The name that a trial's run is shown under.

    >>> run_name(3, 0), run_name(3, 2)
    ('trial_3', 'trial_3 (term 2)')
    """
    return f"trial_{trial} (term {takeover})" if takeover else f"trial_{trial}"


def run_id(study: str, uid: str, trial: int, takeover: int = 0) -> str:
    """The id of a trial's W&B run: the same for every attempt, another for every other trial.

    Args:
        study: The study's name.
        uid: Tells studies of one name apart; fixed when the study is created.
        trial: The trial's number.
        takeover: Last term that was taken from a driver which may wake up yet: it writes into the
            run of another id. 0 for none.

    >>> run_id("powder", "7f3a", 4) == run_id("powder", "7f3a", 4) != run_id("powder", "7f3a", 5)
    True
    """
    since = f"\n{takeover}" if takeover else ""
    return hashlib.sha256(f"{study}\n{uid}\n{trial}{since}".encode()).hexdigest()[:16]
