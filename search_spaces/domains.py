"""Domains: the set one hyperparameter is drawn from, as a study file writes it.

::

    lr0: {loguniform: [1.0e-5, 0.1]}
    momentum: {uniform: [0.6, 0.98], when: {optimizer: [SGD, RMSProp]}}
    translate: {quniform: [0.0, 0.2, 0.05]}     # low, high, step
    warmup_epochs: {randint: [0, 5]}            # 0, 1, 2, 3, 4: the upper end is excluded
    batch: {choice: [2, 4, 8]}
    mosaic: {fixed: 1.0}
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from search_spaces.names import nearest_name, written

Value = float | int | str | bool | None

_ROUNDING = 1e-6  # part of a step by which a number may miss its place


@dataclass(frozen=True)
class FloatDomain:
    """Real numbers from `low` to `high`, both included.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Drawn uniformly in the logarithm.
        step: Distance of the allowed values from `low` on, or None for all.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        steps = (value - self.low) / self.step
        whole = round(steps) if math.isfinite(steps) else -1
        return abs(steps - whole) < _ROUNDING and 0 <= whole < self.n_values

    def __str__(self) -> str:
        scale = ", log scale" if self.log else ""
        step = f" in steps of {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{scale}"

    def draw(self, random: Random) -> float:
        """Draw one value."""
        if self.log:
            value = math.exp(random.uniform(math.log(self.low), math.log(self.high)))
        elif self.step is None:
            value = random.uniform(self.low, self.high)
        else:
            return self.value(random.randint(0, self.n_values - 1))
        return min(max(value, self.low), self.high)

    def nearest(self, value: float) -> float:
        """The allowed value closest to `value`."""
        inside = min(max(float(value), self.low), self.high)
        if self.step is None:
            return inside
        return self.value(min(round((inside - self.low) / self.step), self.n_values - 1))

    @property
    def n_values(self) -> int:
        """Number of the values of a stepped domain.

        >>> FloatDomain(0.8, 0.9, step=0.1).n_values
        2
        """
        low, high, step = (Decimal(repr(number)) for number in (self.low, self.high, self.step))
        return math.floor((high - low) / step + Decimal(_ROUNDING)) + 1

    def value(self, index: int) -> float:
        """A value of a stepped domain, by its place from `low` on.

        It is the number that people write: binary fractions, added up, would give 0.1 + 2 * 0.1 as
        0.30000000000000004, which is above a `high` of 0.3 and another value in a condition.

        >>> FloatDomain(0.1, 0.3, step=0.1).value(2)
        0.3
        """
        low, high, step = (Decimal(repr(number)) for number in (self.low, self.high, self.step))
        exact = low + index * step
        return self.high if abs(high - exact) < step * Decimal(_ROUNDING) else float(exact)


@dataclass(frozen=True)
class IntDomain:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        return whole and float(value).is_integer() and self.low <= value <= self.high  # type: ignore[arg-type, operator]

    def __str__(self) -> str:
        return f"whole numbers {self.low} to {self.high}"

    def draw(self, random: Random) -> int:
        """Draw one value."""
        return random.randint(self.low, self.high)

    def nearest(self, value: float) -> int:
        """The allowed value closest to `value`."""
        return min(max(round(value), self.low), self.high)


@dataclass(frozen=True)
class ChoiceDomain:
    """One of several values; `fixed` is a choice of one."""

    choices: tuple[Value, ...]

    def __contains__(self, value: object) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(written, self.choices))

    def draw(self, random: Random) -> Value:
        """Draw one value."""
        return random.choice(self.choices)

    def nearest(self, value: Value) -> Value:
        """The choice closest to `value` (by distance for numbers, else the first)."""
        equal = [choice for choice in self.choices if _same(choice, value)]
        if equal:
            return equal[0]
        numbers = [c for c in self.choices if isinstance(c, int | float)]
        if numbers and isinstance(value, int | float):
            return min(numbers, key=lambda choice: abs(choice - value))
        return self.choices[0]


Domain = FloatDomain | IntDomain | ChoiceDomain


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _numbers(kind: str, value: object, n: int) -> list[float]:
    names = {2: "[low, high]", 3: "[low, high, step]"}[n]
    numbers = value if isinstance(value, list | tuple) else []
    if len(numbers) != n or not all(_is_finite(v) for v in numbers):
        raise ValueError(f"expected {kind}: {names} with {n} numbers, got {value!r}")
    if numbers[0] >= numbers[1]:
        swapped = [numbers[1], numbers[0], *numbers[2:]]
        near = "" if numbers[0] == numbers[1] else f"; did you mean {swapped!r}?"
        raise ValueError(f"expected {kind}: {names} with low < high, got {value!r}{near}")
    return [float(v) for v in numbers]


def _is_finite(value: object) -> bool:
    """Tell whether a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _uniform(value: object) -> Domain:
    low, high = _numbers("uniform", value, 2)
    return FloatDomain(low, high)


def _loguniform(value: object) -> Domain:
    low, high = _numbers("loguniform", value, 2)
    if low <= 0:
        raise ValueError(f"expected loguniform: [low, high] with low > 0, got {value!r}")
    return FloatDomain(low, high, log=True)


def _quniform(value: object) -> Domain:
    low, high, step = _numbers("quniform", value, 3)
    if not (step > 0 and high - step < high and FloatDomain(low, high, step=step).n_values > 1):
        raise ValueError(
            f"expected quniform: [low, high, step] with a step that fits, got {value!r}"
        )
    return FloatDomain(low, high, step=step)


def _randint(value: object) -> Domain:
    low, high = _numbers("randint", value, 2)
    if not (low.is_integer() and high.is_integer()):
        raise ValueError(f"expected randint: [low, high] with whole numbers, got {value!r}")
    return IntDomain(int(low), int(high) - 1)


def _choice(value: object) -> Domain:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"expected choice: a list of one value or more, got {value!r}")
    wrong = [v for v in value if not isinstance(v, float | int | str | bool | None)]
    if wrong:
        raise ValueError(f"expected choice: numbers, texts, true, false or null, got {wrong[0]!r}")
    if any(_same(a, b) for i, a in enumerate(value) for b in value[:i]):
        raise ValueError(f"expected choice: every value once, got {value!r}")
    return ChoiceDomain(tuple(value))


def _fixed(value: object) -> Domain:
    return _choice([value])


KINDS: Mapping[str, Callable[[object], Domain]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "quniform": _quniform,
    "randint": _randint,
    "choice": _choice,
    "fixed": _fixed,
}


def parse_domain(written: Any) -> Domain:
    """Read one domain, `{kind: arguments}` without its `when`.

    Raises:
        ValueError: Not exactly one known kind, or arguments that do not fit it.

    >>> str(parse_domain({"randint": [0, 5]}))
    'whole numbers 0 to 4'
    """
    if not isinstance(written, Mapping):
        raise ValueError(f"expected a domain such as {{uniform: [0, 1]}}, got {written!r}")
    kinds = list(written)
    if len(kinds) != 1 or kinds[0] not in KINDS:
        hint = nearest_name(str(kinds[0]), KINDS) if kinds else ""
        raise ValueError(
            f"expected one of {', '.join(KINDS)}, got {', '.join(map(str, kinds))}{hint}"
        )
    return KINDS[kinds[0]](written[kinds[0]])
