"""The learning rate over a training: a linear warm-up, then a fall that ends with the training."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from search_spaces.training import LoopParams
from trainables.contract import InfeasibleParams

WARMUP_START: Final = 0.1
"""Fraction of the base rate with which a warm-up begins."""


@dataclass(frozen=True)
class EpochSchedule:
    """The learning rate as a function of the epochs trained, which may be a fraction.

    `cosine` and `poly` go from the warm-up's end to 0 at the training's end. Where torch has the
    same schedule, both agree at whole epochs.

    Source: Loshchilov and Hutter 2017, "SGDR", arXiv:1608.03983 (cosine, without restarts).

    Attributes:
        kind: Name in `search_spaces.training`.
        epochs: Length of the whole training.
        warmup_epochs: Shorter than `epochs`.
        step_size: Epochs from drop to drop after the warm-up, for `step`.
        milestones: Rising epochs of the whole training, for `multistep`.
        gamma: Factor of each drop.
        poly_power: Exponent of `poly`.
    """

    kind: Literal["cosine", "step", "multistep", "poly", "none"]
    epochs: int
    warmup_epochs: int = 0
    step_size: int = 10
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    poly_power: float = 0.9

    @classmethod
    def of(cls, params: LoopParams, epochs: int) -> "EpochSchedule":
        """The schedule that hyperparameters ask for.

        Raises:
            InfeasibleParams: It does not fit into a training of so many epochs.
        """
        problems = params.length_problems(params.model_dump(), epochs)
        if problems:
            raise InfeasibleParams("; ".join(f"{key}: {message}" for key, message in problems))
        twice = (params.step_size, 2 * params.step_size)
        return cls(
            kind=params.scheduler,
            epochs=epochs,
            warmup_epochs=params.warmup_epochs,
            step_size=params.step_size,
            milestones=params.milestones or tuple(params.warmup_epochs + step for step in twice),
            gamma=params.gamma,
            poly_power=params.poly_power,
        )

    def factor(self, epoch: float) -> float:
        """The learning rate after `epoch` epochs, as a fraction of the base rate.

        >>> cosine = EpochSchedule("cosine", epochs=50, warmup_epochs=5)
        >>> [round(cosine.factor(epoch), 4) for epoch in (0, 2.5, 5, 27.5, 50)]
        [0.1, 0.55, 1.0, 0.5, 0.0]
        """
        if epoch < self.warmup_epochs:
            return WARMUP_START + (1 - WARMUP_START) * epoch / self.warmup_epochs
        return _FALLS[self.kind](self, min(epoch, self.epochs))

    def _done(self, epoch: float) -> float:
        """Fraction of the epochs after the warm-up that is behind, 0 to 1."""
        return (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)


def _cosine(schedule: EpochSchedule, epoch: float) -> float:
    return (1 + math.cos(math.pi * schedule._done(epoch))) / 2


def _step(schedule: EpochSchedule, epoch: float) -> float:
    drops = int((epoch - schedule.warmup_epochs) // schedule.step_size)
    return float(schedule.gamma**drops)


def _multistep(schedule: EpochSchedule, epoch: float) -> float:
    return float(schedule.gamma ** bisect_right(schedule.milestones, epoch))


def _poly(schedule: EpochSchedule, epoch: float) -> float:
    return float((1 - schedule._done(epoch)) ** schedule.poly_power)


def _level(schedule: EpochSchedule, epoch: float) -> float:
    del schedule, epoch
    return 1.0


_FALLS: Final[Mapping[str, Callable[[EpochSchedule, float], float]]] = {
    "cosine": _cosine,
    "step": _step,
    "multistep": _multistep,
    "poly": _poly,
    "none": _level,
}
