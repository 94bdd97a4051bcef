"""The result of a retraining, and the lines that tell it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.retrain.replay import Replayed
from trainables.goal import Goal
from trainables.metrics.names import F1_NAMES
from trainables.trials.layout import MODEL_FILE
from tune.best.configuration import BEST_FOLDER, nothing_learnt


@dataclass(frozen=True)
class RetrainResult:
    """The result of a retraining: the best epoch's metrics, and how they compare with the study's.

    Attributes:
        directory: Folder of the result, absolute.
        metric: Name of the objective.
        mode: Better direction of the objective.
        tuned: Objective in the study, at the trial's best epoch; None where there was no study.
        tuned_epochs: Length of a full training in the study.
        comparable: Whether both values are of the same data.
        value: Objective at the best epoch of this training; None while it is interrupted.
        epoch: The best epoch, 1-based; 0 while interrupted.
        epochs_done: Number of epochs trained.
        epochs: Length of this training.
        validation: Every metric of the best epoch.
        test: Metrics of the test part at the validation part's confidences, or None.
        test_note: Reason why there are none, or the number of pictures they were taken on.
        seconds: Duration of the training in this process.
        replayed: Difference from the trial that was trained again as it was; None for any other.
    """

    directory: Path
    metric: str
    mode: Literal["max", "min"]
    tuned: float | None
    tuned_epochs: int
    comparable: bool
    value: float | None
    epoch: int
    epochs_done: int
    epochs: int
    validation: Mapping[str, float]
    test: Mapping[str, float] | None
    test_note: str
    seconds: float
    replayed: Replayed | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the training has epochs left; the same command goes on with them."""
        return self.value is None

    @property
    def model(self) -> Path:
        """Weights of the best epoch."""
        return self.directory / BEST_FOLDER / MODEL_FILE

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        if self.value is None:
            return [
                f"interrupted after epoch {self.epochs_done} of {self.epochs}; the same command "
                "goes on from there"
            ]
        against, tuned = "", []
        if self.tuned is not None:
            gain = f", {self.value - self.tuned:+.4f}"
            against = gain if self.comparable else ", on other data: not comparable"
            tuned = [f"tuned      {self.metric} {self.tuned:.4f} (validation, study)"]
        hint = nothing_learnt(Goal(self.metric, self.mode), self.value, self.epochs)
        return [
            *tuned,
            f"retrained  {self.metric} {self.value:.4f} (validation, epoch {self.epoch} of "
            f"{self.epochs}{against})",
            *self._ended_lines(),
            *self._test_lines(),
            f"model      {self.model}",
            *([hint] if hint else []),
        ]

    def _ended_lines(self) -> list[str]:
        if self.replayed is not None:
            return [f"replayed   {self.replayed.told(self.epoch)}"]
        if self.epochs_done < self.epochs:
            return [
                f"ended      its patience ran out after epoch {self.epochs_done} of {self.epochs}"
            ]
        return []

    def _test_lines(self) -> list[str]:
        if self.test is None:
            return [f"test part  not measured: {self.test_note}"]
        names = [name for name in F1_NAMES if name in self.test]
        values = ", ".join(f"{name} {self.test[name]:.4f}" for name in names)
        return [f"test part  {values} ({self.test_note})"]
