"""The configurations of a study: told apart by what they train with, and counted where few."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Final

from search_spaces.domains import Value
from search_spaces.schema import Hyperparameters
from search_spaces.space import InfiniteSpaceError, SearchSpace

MAX_LISTED: Final = 10_000  # more than studies try, and listed in half a second

Key = tuple[tuple[str, bool, Value], ...]
"""Name and value of everything searched that has an effect; 1 and true are not the same."""


@dataclass(frozen=True)
class Configurations:
    """Every configuration that a study could try.

    Attributes:
        space: Search space that is sampled.
        params: Schema of the engine's hyperparameters.
        fixed: Values of the keys that are the same in all trials.
        ceilings: Values, by key, above which all train the same, such as a batch of all pictures.
    """

    space: SearchSpace
    params: type[Hyperparameters]
    fixed: Mapping[str, Any]
    ceilings: Mapping[str, int] = field(default_factory=dict)

    def key(self, sampled: Mapping[str, Any]) -> Key:
        """The part of a configuration that its training depends on.

        Two with the same key train the same: they differ at most in values that have no effect
        beside the others, such as a momentum beside an optimizer that has none.
        """
        values = {
            name: parameter.domain.nearest(sampled[name])
            for name, parameter in self.space.parameters.items()
            if name in sampled
        }
        idle = self.params.without_effect({**self.fixed, **values})
        return tuple(
            (name, isinstance(value, bool), self._lowered(name, value))
            for name, value in values.items()
            if name not in idle
        )

    def _lowered(self, name: str, value: Value) -> Value:
        """A value, or the ceiling that it trains like."""
        ceiling = self.ceilings.get(name)
        return value if ceiling is None or not isinstance(value, int) else min(value, ceiling)

    @cached_property
    def listed(self) -> Sequence[Mapping[str, Value]] | None:
        """Every configuration in a stable order; None where there are more than `MAX_LISTED`."""
        try:
            points = list(islice(self.space.points(), MAX_LISTED + 1))
        except InfiniteSpaceError:
            return None
        if len(points) > MAX_LISTED:
            return None
        return tuple({self.key(point): point for point in reversed(points)}.values())[::-1]

    def untried(self, tried: Collection[Key]) -> Sequence[Mapping[str, Value]] | None:
        """The configurations left, or None where there are more than can be listed."""
        if self.listed is None:
            return None
        return [point for point in self.listed if self.key(point) not in tried]

    def most(self, trials: int, *, grid: bool = False) -> int:
        """Number of trials that differ, up to `trials`; of more than can be listed, all of a grid.

        Args:
            trials: Number of trials asked for.
            grid: Whether the space is finite and gone through in order.
        """
        if self.listed is not None:
            return min(trials, len(self.listed))
        return sum(1 for _ in islice(self.space.points(), trials)) if grid else trials
