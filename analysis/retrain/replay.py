"""A trial trained again as it was: same seed, schedule, threads and data, to its best epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from analysis.errors import RetrainError
from trainables.datasets.prepared import PreparedDataset
from tune.best.configuration import BestConfig

CLOSE: Final = 1e-6
"""Difference up to which two metrics are the same; processors alike differ by less."""

_OF_THE_MACHINE: Final = ("epoch", "epoch_seconds", "elapsed_s", "gpu_memory_gb", "overfit_gap")


@dataclass(frozen=True)
class Replayed:
    """The difference between a trial and its replay, at the trial's best epoch.

    Attributes:
        metrics: Number of metrics that were compared.
        difference: Largest difference of one.
        metric: Metric that differs most; "" where none was compared.
    """

    metrics: int
    difference: float
    metric: str

    @property
    def same(self) -> bool:
        """Whether both are one training."""
        return self.metrics > 0 and self.difference <= CLOSE

    def told(self, epoch: int) -> str:
        """The difference in words."""
        if not self.metrics:
            return "nothing to compare with: no metric of the trial was kept"
        if self.same:
            return f"all {self.metrics} metrics of epoch {epoch} as in the trial, to {CLOSE:g}"
        return (
            f"{self.metric} differs by {self.difference:.3g} from the trial at epoch {epoch}; "
            "another device, number of threads or version of the framework rounds differently, as "
            "do the parts of batches of a trial that ran out of memory or had several GPUs"
        )


def check_replay(
    tuned: BestConfig, data: PreparedDataset, options: Mapping[str, int | None]
) -> None:
    """Refuse what would make it another training.

    Args:
        tuned: The trial's configuration.
        data: Data set to train on.
        options: Options that change the training, by name; None where they were not given.

    Raises:
        RetrainError: One was given, the data are others, or the best epoch is not known.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise RetrainError(f"{given[0]}: expected none beside --replay, got one")
    if data.fingerprint != tuned.data.fingerprint:
        raise RetrainError(
            f"{data.root}: expected the data set of the trial (fingerprint "
            f"{tuned.data.fingerprint[:12]}), got another ({data.fingerprint[:12]})"
        )
    if tuned.objective.epoch is None:
        raise RetrainError(
            f"{tuned.source}: expected the configuration of a trial with its best epoch, got one "
            "that was never trained"
        )


def replayed(tuned: BestConfig, values: Mapping[str, float]) -> Replayed:
    """The difference between a trial and its replay.

    Metrics of the training part are left out: how many pictures they are of may follow from times.

    Args:
        tuned: The trial's configuration, with the metrics of its best epoch.
        values: The metrics of that epoch now.
    """
    pairs = {
        name: abs(value - values[name])
        for name, value in tuned.metrics.items()
        if name in values and name not in _OF_THE_MACHINE and not name.startswith("train_")
    }
    known = {name: away for name, away in pairs.items() if not math.isnan(away)}
    if not known:
        return Replayed(0, 0.0, "")
    worst = max(known, key=known.__getitem__)
    return Replayed(len(known), known[worst], worst)
