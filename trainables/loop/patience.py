"""Patience: the number of epochs a curve may go without improvement."""

from collections.abc import Sequence
from typing import Final, Literal

DELTA: Final = 1e-4
"""A gain of at most this is none."""


def epochs_without_gain(
    values: Sequence[float], delta: float = DELTA, mode: Literal["min", "max"] = "min"
) -> int:
    """Epochs since the value was last better than all before by more than `delta`.

    A value that is not a number is never better. As it looks at the whole curve, a training that
    was interrupted counts as an unbroken one.

    Args:
        values: One an epoch, the first epoch's first: the validation loss, or another metric.
        delta: In the metric's own unit.
        mode: Better direction of the values.

    >>> epochs_without_gain([0.9, 0.5, 0.49995, 0.6])
    2
    """
    best, last = float("inf"), 0
    for epoch, value in enumerate(values, start=1):
        loss = value if mode == "min" else -value
        if loss < best - delta:
            best, last = loss, epoch
    return len(values) - last


def ran_out(
    values: Sequence[float],
    patience: int,
    delta: float = DELTA,
    mode: Literal["min", "max"] = "min",
) -> bool:
    """Whether a training ends after the last of `values`; a patience of 0 never runs out."""
    return 0 < patience <= epochs_without_gain(values, delta, mode)
