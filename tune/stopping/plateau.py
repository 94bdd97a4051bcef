"""When a trial ends: ASHA's rungs, the plateau stopper and the named ends of a curve.

Everything here is a pure function of journalled reports, so that a killed study decides as an
unbroken one. Values are oriented: a metric to be minimised comes in negated.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tune.spec import Spec
from tune.stopping.decision import GO_ON, Decision, Rule


class _CurveRule(Spec):
    """The settings that all plateau rules share.

    Attributes:
        metric: Metric that is watched; None for the objective.
        window: Epochs over which flatness is judged, at two measurements at least.
        grace: Epochs before the rule applies.
        floor: Below this a flat curve is no plateau: it has not begun to learn, or has collapsed.
        collapse_window: Epochs a curve may stay flat below the floor before it counts as collapsed.
    """

    kind: str
    metric: str | None = None
    window: Annotated[int, Field(ge=2)]
    grace: PositiveInt
    floor: float = 0.01
    collapse_window: Annotated[int, Field(ge=2)] = 25

    @model_validator(mode="after")
    def _collapse_takes_longer(self) -> Self:
        if self.collapse_window <= max(self.window, 12):
            raise ValueError(
                "expected collapse_window above window and above 12 (a training from scratch may "
                f"be flat at 0 that long), got collapse_window={self.collapse_window}, "
                f"window={self.window}"
            )
        return self


class Slope(_CurveRule):
    """Ends a curve that no longer rises, by its least-squares slope.

    Attributes:
        slope: A curve that gains less than this an epoch is a plateau.
    """

    kind: Literal["slope"] = "slope"
    slope: PositiveFloat = 0.001
    window: Annotated[int, Field(ge=2)] = 15
    grace: PositiveInt = 20

    @property
    def limit(self) -> float:
        """A smaller `change` is a plateau."""
        return self.slope

    def change(self, window: Sequence[float], every: int) -> float:
        """Gain an epoch over values that are `every` epochs apart."""
        return slope_of(window) / every


class Std(_CurveRule):
    """Ends a curve whose population standard deviation over a window is small.

    The rule of Ray Tune's `TrialPlateauStopper`; it also ends a curve that still rises slowly.

    Attributes:
        std: A curve that varies less than this (ddof 0) is a plateau.
    """

    kind: Literal["std"] = "std"
    std: PositiveFloat = 0.01
    window: Annotated[int, Field(ge=2)] = 5
    grace: PositiveInt = 10

    @property
    def limit(self) -> float:
        """A smaller `change` is a plateau."""
        return self.std

    def change(self, window: Sequence[float], every: int) -> float:
        """Standard deviation (ddof 0), however far apart the values are."""
        del every
        return float(np.std(window))


class NoPlateau(Spec):
    """Flat curves go on to the end."""

    kind: Literal["none"] = "none"


Plateau = Annotated[Slope | Std | NoPlateau, Field(discriminator="kind")]


def without_floor(rule: Slope | Std | NoPlateau) -> Slope | Std | NoPlateau:
    """The rule for a metric to be minimised, which has no floor under which nothing was learnt."""
    return rule if isinstance(rule, NoPlateau) else rule.model_copy(update={"floor": -math.inf})


def slope_of(values: Sequence[float]) -> float:
    """Least-squares slope of equally spaced values, per step.

    >>> round(slope_of([0.70, 0.71, 0.71, 0.71, 0.71]), 4)
    0.002
    """
    x = np.arange(len(values), dtype=float)
    x -= x.mean()
    y = np.asarray(values, dtype=float)
    return float((x * (y - y.mean())).sum() / (x * x).sum())


def curve_end(rule: Slope | Std | NoPlateau, values: Sequence[float], every: int = 1) -> Decision:
    """Whether a curve has come to one of its named ends.

    Args:
        rule: The study's plateau rule.
        values: The watched metric at each epoch so far at which it was taken, larger is better.
        every: Every how many epochs that was, from epoch `every` on.
    """
    if isinstance(rule, NoPlateau):
        return GO_ON
    last = _within(values, rule.collapse_window, every)
    if last and max(last) < rule.floor:
        return Decision(False, Rule.COLLAPSED, None, rule.floor, values[-1])
    window = _within(values, rule.window, every)
    if not window or every * len(values) < rule.grace or max(window) < rule.floor:
        return GO_ON
    change = rule.change(window, every)
    if change < rule.limit:  # which one that is not finite never is
        return Decision(False, Rule.PLATEAU, None, rule.limit, change)
    return GO_ON


def _within(values: Sequence[float], epochs: int, every: int) -> list[float]:
    """The last values, as many as fall within so many epochs but two at least; [] until then."""
    n = max(2, epochs // every)
    return list(values[-n:]) if len(values) >= n else []
