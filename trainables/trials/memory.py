"""A trial that keeps everything in memory and one folder, for tests and small trainings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.contract import ArtifactKind, Device, EpochMetrics, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal


@dataclass
class MemoryTrial:
    """A trial that lives in memory: for tests, and the base of every trial that runs locally.

    Attributes:
        reported: Values by epoch, in the order reported.
        stop_after: Epoch after whose report the trial is stopped, or None.
        over: Whether the trial has ended already.
        kept: Artifacts, by kind.
        notes: Messages of the engine to the user.
    """

    params: Mapping[str, Any]
    data: PreparedDataset
    directory: Path
    epochs: int = 2
    seed: int = 0
    name: str = "memory/0"
    sampled: frozenset[str] = frozenset()
    device: Device = field(default_factory=Device)
    resume_from: Path | None = None
    train_metrics: TrainMetrics = field(default_factory=TrainMetrics)
    goal: Goal | None = None
    stop_after: int | None = None
    over: bool = False
    reported: dict[int, dict[str, float]] = field(default_factory=dict)
    kept: list[tuple[Path, ArtifactKind]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checkpoint: Path | None = None

    @property
    def train_to(self) -> int:
        """Last epoch to train."""
        return 0 if self.over else self.epochs

    def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
        """Keep the values; stop where told to.

        Raises:
            TrialStopped: After epoch `stop_after`.
        """
        self.reported[metrics.epoch] = dict(metrics.values)
        self.checkpoint = checkpoint
        if self.stop_after is not None and metrics.epoch >= self.stop_after:
            raise TrialStopped(f"stopped after epoch {metrics.epoch}")

    def artifact(self, path: Path, kind: ArtifactKind) -> None:
        """Remember the file; it stays where the engine wrote it."""
        self.kept.append((path, kind))

    def note(self, message: str) -> None:
        """Remember the message."""
        self.notes.append(message)
