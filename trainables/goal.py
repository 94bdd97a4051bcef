"""What makes one epoch, or one trial, better than another.

The one that keeps all limits is better than one that does not; of two that do not, the one that
breaks them by less; else the objective decides.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Limit:
    """A bound that a usable model keeps.

    Attributes:
        metric: What is bounded.
        at_most: Upper bound, or None.
        at_least: Lower bound, or None.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def excess(self, values: Mapping[str, float]) -> float:
        """By how much the limit is broken, in the metric's own unit; 0 or less where it is kept.

        A metric that is missing or not finite breaks its limit by infinity.

        Example:
            >>> limit = Limit("measure/count_error", at_most=0.1)
            >>> round(limit.excess({"measure/count_error": 0.35}), 9)
            0.25
        """
        value = values.get(self.metric, math.nan)
        if not math.isfinite(value):
            return math.inf
        over = -math.inf if self.at_most is None else value - self.at_most
        under = -math.inf if self.at_least is None else self.at_least - value
        return max(over, under)

    def __str__(self) -> str:
        words = [(self.at_least, "at least"), (self.at_most, "at most")]
        bounds = [f"{word} {bound:g}" for bound, word in words if bound is not None]
        return f"{self.metric} {' and '.join(bounds)}"


@dataclass(frozen=True)
class Goal:
    """What a study tunes for.

    Attributes:
        metric: The objective.
        mode: Its better direction.
        limits: What a usable model keeps.
    """

    metric: str
    mode: Mode = "max"
    limits: tuple[Limit, ...] = ()

    def standing(self, values: Mapping[str, float]) -> tuple[float, float]:
        """Where an epoch with these metrics stands: larger is better.

        An epoch without a finite objective is worse than any other.

        Example:
            >>> goal = Goal("val/loss", "min")
            >>> goal.standing({"val/loss": 0.2}) > goal.standing({"val/loss": 0.3})
            True
        """
        value = values.get(self.metric, math.nan)
        if not math.isfinite(value):
            return -math.inf, -math.inf
        return standing(value, violation(limit.excess(values) for limit in self.limits), self.mode)


def violation(excesses: Iterable[float]) -> float:
    """By how much limits are broken together: the sum of what is above 0, as Optuna takes it."""
    return sum((excess for excess in excesses if excess > 0), start=0.0)


def standing(value: float, broken: float, mode: Mode) -> tuple[float, float]:
    """Where an epoch or a trial stands: larger is better.

    Args:
        value: The objective.
        broken: Its `violation`.
        mode: The objective's direction.

    Example:
        >>> standing(0.5, 0.0, "max") > standing(0.9, 0.1, "max") > standing(0.99, 0.2, "max")
        True
    """
    return -broken, value if mode == "max" else -value
