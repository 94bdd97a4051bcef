"""Schedule of the learning rate, a function of the step alone: there is nothing to save."""

import math
from dataclasses import dataclass

from trainables.engines.mask_rcnn.params import MaskRcnnParams

WARMUP_FACTOR = 0.001
"""Fraction of the learning rate at which the warm-up starts; Detectron2's default."""


@dataclass(frozen=True)
class StepSchedule:
    """Factor of the learning rate at each step.

    A warm-up longer than the training is cut off by its end, not squeezed: the learning rate then
    never reaches its full height.

    Attributes:
        n_steps: Number of steps of the whole training.
        warmup_steps: Number of steps in which it rises from `WARMUP_FACTOR` to 1.
        milestones: Steps at each of which it is multiplied with `gamma` once more.
        gamma: Factor at each milestone.
        cosine: Whether it falls along a cosine to 0 at the end instead.
    """

    n_steps: int
    warmup_steps: int
    milestones: tuple[int, ...] = ()
    gamma: float = 1.0
    cosine: bool = False

    def __call__(self, step: int) -> float:
        """Return the factor at a step, counted from 0.

        >>> schedule = StepSchedule(n_steps=10, warmup_steps=2, milestones=(6, 8), gamma=0.1)
        >>> [round(schedule(step), 4) for step in (0, 1, 2, 5, 6, 8)]
        [0.001, 0.5005, 1.0, 1.0, 0.1, 0.01]
        """
        rising = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        warmup = WARMUP_FACTOR + (1 - WARMUP_FACTOR) * rising
        if self.cosine:
            return warmup * (1 + math.cos(math.pi * step / self.n_steps)) / 2
        return warmup * self.gamma ** sum(step >= milestone for milestone in self.milestones)


def plan_schedule(params: MaskRcnnParams, epochs: int, steps_an_epoch: int) -> StepSchedule:
    """Make the schedule of a training of so many epochs."""
    n_steps = epochs * steps_an_epoch
    warmup = params.warmup_iters
    if warmup is None:
        warmup = round(params.warmup_fraction * n_steps)
    first = params.first_step
    second = first + (1 - first) * params.second_step
    falls = tuple(round(at * n_steps) for at in (first, second))
    cosine = params.schedule == "cosine"
    return StepSchedule(n_steps, warmup, () if cosine else falls, params.gamma, cosine)
