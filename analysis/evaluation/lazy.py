"""A sequence whose items are made when they are asked for."""

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class Lazy(Sequence[T]):
    """Items that do not fit into memory together: each is made anew, and none is kept."""

    def __init__(self, n: int, make: Callable[[int], T]) -> None:
        """A sequence of `n` items.

        Args:
            n: Number of items.
            make: Makes the item of an index from 0 on.
        """
        self._n = n
        self._make = make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(self._n)[index]]
        return self._make(range(self._n)[index])
