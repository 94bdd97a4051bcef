"""Scores made of counts: F1, and the gap between training and validation."""

from __future__ import annotations

from typing import Literal

_WARNING, _SEVERE = 0.15, 0.35


def f1(p: float, r: float) -> float:
    """Harmonic mean of precision and recall, 0 where both are 0.

    Example:
        >>> round(f1(0.8, 0.5), 4)
        0.6154
    """
    return 2 * p * r / (p + r) if p + r else 0.0


def overfit_gap(
    train_f1: float, val_f1: float
) -> tuple[float, Literal["normal", "warning", "severe"]]:
    """Lead of the training part's F1 over validation's, and a verdict on it.

    Returns:
        train_f1 - val_f1, and "warning" from 0.15 on, "severe" from 0.35 on, else "normal".
    """
    gap = train_f1 - val_f1
    rounded = round(gap, 9)  # 0.35 - 0.20 is a gap of 0.15
    if rounded >= _SEVERE:
        return gap, "severe"
    return gap, "warning" if rounded >= _WARNING else "normal"


def fraction_of(part: int, whole: int) -> float:
    """`part / whole`; 0 of nothing."""
    return part / whole if whole else 0.0
