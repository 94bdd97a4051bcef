"""Scores made of counts: F1, and the gap between training and validation."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class PictureScore:
    """The counts of one picture at the evaluation's confidence.

    Attributes:
        index: Index of the picture.
        truths: Number of true objects.
        predicted: Number of predictions that count.
        matched: Number of these that take a truth: one of their class at IoU 0.5, or a particle
            within the match radius.
    """

    index: int
    truths: int
    predicted: int
    matched: int

    @property
    def f1(self) -> float:
        """Over all classes together; 1 where there is nothing and nothing was found."""
        both = self.truths + self.predicted
        return 2 * self.matched / both if both else 1.0

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are right."""
        return self.matched / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the objects that were found."""
        return self.matched / self.truths if self.truths else None


def fraction_of(part: int, whole: int) -> float:
    """`part / whole`; 0 of nothing."""
    return part / whole if whole else 0.0
