"""One configuration trained with several seeds: an ensemble, and how far seeds lead apart.

::

    <out>/seed-<seed>/     each training, as `retrain` writes it
    <out>/ensemble.json    its members, written when all are trained
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Protocol

from analysis.models.ensembles import write_ensemble
from analysis.retrain.result import RetrainResult
from analysis.retrain.retrain import retrain
from trainables.contract import Device, EpochMetrics
from trainables.metrics.names import F1_NAMES
from tune.best.configuration import BestConfig
from tune.best.file import load_best


class SeriesProgress(Protocol):
    """Who is told of several trainings, one after another."""

    def begin(self, number: int, total: int) -> None:
        """The training of this number, 1-based, begins."""
        ...

    def __call__(self, metrics: EpochMetrics, epochs: int) -> None:
        """An epoch of it has ended."""
        ...


@dataclass(frozen=True)
class EnsembleResult:
    """The trainings of an ensemble.

    Attributes:
        directory: Folder of the ensemble, absolute.
        members: The result of each training that was begun.
        seeds: Seed of each.
        total: Number of trainings that it is to have.
    """

    directory: Path
    members: tuple[RetrainResult, ...]
    seeds: tuple[int, ...]
    total: int

    @property
    def interrupted(self) -> bool:
        """Whether there are epochs left; the same command goes on with them."""
        return len(self.members) < self.total or any(one.interrupted for one in self.members)

    @property
    def mean(self) -> float:
        """Mean objective on the validation part."""
        return fmean(self._values)

    @property
    def spread(self) -> float:
        """Standard deviation of the objective over the seeds."""
        return _spread(self._values)

    @property
    def _values(self) -> list[float]:
        return [one.value for one in self.members if one.value is not None]

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        if self.interrupted:
            done = sum(not one.interrupted for one in self.members)
            return [f"interrupted after {done} of {self.total} trainings; the same command goes on"]
        metric = self.members[0].metric
        return [
            *(
                f"seed {seed:<10} {metric} {one.value:.4f} (epoch {one.epoch} of {one.epochs})"
                for seed, one in zip(self.seeds, self.members, strict=True)
            ),
            f"ensemble        {metric} {self.mean:.4f} ± {self.spread:.4f} over {self.total} seeds "
            "(validation, standard deviation)",
            *self._test_lines(),
            f"models          --model {self.directory} takes all {self.total} as one",
        ]

    def _test_lines(self) -> list[str]:
        tests = [one.test for one in self.members if one.test is not None]
        if len(tests) < self.total:
            return [f"test part       not measured: {self.members[0].test_note}"]
        names = [name for name in F1_NAMES if all(name in test for test in tests)]
        told = ", ".join(_told(name, tests) for name in names)
        return [f"test part       {told} ({self.members[0].test_note})"]


def retrain_seeds(  # noqa: PLR0913  the command's options
    best: Path | str | BestConfig,
    data: Path | str | None,
    out: Path | str,
    n: int,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | Device | None = None,
    progress: SeriesProgress | None = None,
    other_classes: bool = False,
) -> EnsembleResult:
    """Train a configuration with `n` seeds, the trial's own (or `seed`) and the next ones.

    Interrupted, the same call goes on.

    Args:
        best: As for `retrain`.
        data: As for `retrain`.
        out: Folder for the trainings.
        n: Number of seeds, at least 2.
        epochs: As for `retrain`.
        seed: The first seed; default: the trial's.
        device: As for `retrain`.
        progress: Told of every training and every epoch.
        other_classes: As for `retrain`.

    Raises:
        RetrainError: As for `retrain`.
        BestConfigError: As for `load_best`.
    """
    config = best if isinstance(best, BestConfig) else load_best(Path(best))
    first = config.seed if seed is None else seed
    folder, seeds = Path(out).absolute(), tuple(range(first, first + n))
    members: list[RetrainResult] = []
    for number, own in enumerate(seeds, start=1):
        if progress is not None:
            progress.begin(number, n)
        result = retrain(
            config,
            data,
            folder / f"seed-{own}",
            epochs=epochs,
            seed=own,
            device=device,
            progress=progress,
            other_classes=other_classes,
        )
        members.append(result)
        if result.interrupted:
            break
    made = EnsembleResult(folder, tuple(members), seeds[: len(members)], n)
    if not made.interrupted:
        write_ensemble(folder, [one.directory.name for one in members], made.mean, made.spread)
    return made


def _told(name: str, tests: Sequence[Mapping[str, float]]) -> str:
    values = [test[name] for test in tests]
    return f"{name} {fmean(values):.4f} ± {_spread(values):.4f}"


def _spread(values: Sequence[float]) -> float:
    """Standard deviation of a sample; 0 of one value."""
    return stdev(values) if len(values) > 1 else 0.0
