"""The one order in which an epoch, or a trial, is better than another.

The one that keeps all limits is better than one that does not; of two that do not, the one that
breaks them by less; else the objective decides. Whatever picks a best or ranks does so by
`best_of` or `in_order`, with a standing that a `Goal` gives.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

Mode = Literal["max", "min"]

Standing = tuple[float, float]
"""The place of an epoch or a trial among others: the larger, the better."""

NO_STANDING: Final[Standing] = (-math.inf, -math.inf)
"""The standing of what has no finite objective: below all others, and never the best."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Limit:
    """A bound that a usable model keeps.

    Attributes:
        metric: Name of the bounded metric.
        at_most: Upper bound, or None.
        at_least: Lower bound, or None.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def excess(self, values: Mapping[str, float]) -> float:
        """Distance beyond the bound, in the metric's own unit; 0 or less where the bound is kept.

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
    """The aim of a study: an objective, its better direction, and limits on other metrics.

    Attributes:
        metric: Name of the objective.
        mode: Better direction of the objective.
        limits: Bounds that a usable model keeps.
    """

    metric: str
    mode: Mode = "max"
    limits: tuple[Limit, ...] = ()

    def standing(self, values: Mapping[str, float]) -> Standing:
        """The standing of an epoch with these metrics.

        Example:
            >>> goal = Goal("val/loss", "min")
            >>> goal.standing({"val/loss": 0.2}) > goal.standing({"val/loss": 0.3})
            True
        """
        return self.standing_of(values.get(self.metric), self.excess(values).values())

    def standing_of(self, value: float | None, excess: Iterable[float] = ()) -> Standing:
        """The standing of an objective.

        Args:
            value: The objective; None or a value that is not finite has `NO_STANDING`.
            excess: Excess of each limit, as `Limit.excess` gives it.
        """
        if value is None or not math.isfinite(value):
            return NO_STANDING
        return standing(value, violation(excess), self.mode)

    def excess(self, values: Mapping[str, float]) -> dict[str, float]:
        """Excess of each limit, by the metric that it bounds."""
        return {limit.metric: limit.excess(values) for limit in self.limits}

    def improves(self, values: Mapping[str, float], before: Mapping[str, float] | None) -> bool:
        """Whether an epoch is better than an earlier one; without an earlier one, any with a value.

        Args:
            values: Metrics of the epoch.
            before: Metrics of the earlier epoch, or None.
        """
        earlier = NO_STANDING if before is None else self.standing(before)
        return self.standing(values) > earlier


def best_of(items: Iterable[Item], standing: Callable[[Item], Standing]) -> Item | None:
    """The item of the highest standing, of equal ones the first; None where none has a standing.

    Args:
        items: Epochs, trials or models, in the order in which they came.
        standing: Gives the standing of one, by `Goal.standing` or `Goal.standing_of`.

    Example:
        >>> goal = Goal("f1")
        >>> best_of([0.3, None, 0.9, 0.9], goal.standing_of)
        0.9
        >>> best_of([None], goal.standing_of) is None
        True
    """
    there = [(standing(item), item) for item in items]
    found = max(there, key=lambda pair: pair[0], default=None)
    return None if found is None or found[0] == NO_STANDING else found[1]


def in_order(items: Iterable[Item], standing: Callable[[Item], Standing]) -> list[Item]:
    """Items by their standing, best first, of equal ones the first; last those without a standing.

    Example:
        >>> in_order([0.3, None, 0.9], Goal("val/loss", "min").standing_of)
        [0.3, 0.9, None]
    """
    return sorted(items, key=standing, reverse=True)


def violation(excesses: Iterable[float]) -> float:
    """The sum of all excesses above 0, which is how Optuna takes several limits together."""
    return sum((excess for excess in excesses if excess > 0), start=0.0)


def standing(value: float, broken: float, mode: Mode) -> Standing:
    """The standing of an objective with its violation.

    Args:
        value: The objective, finite.
        broken: Its `violation`.
        mode: Better direction of the objective.

    Example:
        >>> standing(0.5, 0.0, "max") > standing(0.9, 0.1, "max") > standing(0.99, 0.2, "max")
        True
    """
    return -broken, value if mode == "max" else -value
