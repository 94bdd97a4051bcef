"""Pixel metrics of maps of probabilities: Dice, IoU, and average precision."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.metrics.names import PIXEL_GROUP, PIXEL_NAMES
from trainables.metrics.scores import f1, fraction_of

Indices = npt.NDArray[np.int64]


IGNORED: Final = -1
"""Target of a pixel that takes no part."""

_BINS: Final = 1024

_HALF: Final = 0.5


@dataclass
class PixelCounts:
    """Pixels of any number of images, counted: memory does not grow with their number.

    Attributes:
        positive: (1024,) int64, pixels of the foreground by probability.
        negative: (1024,) int64, pixels of the background by probability.
    """

    positive: Indices = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    negative: Indices = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, probabilities: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]) -> None:
        """Count the pixels of an image or a part of one.

        Args:
            probabilities: Any shape, in [0, 1].
            targets: The same shape: `IGNORED` takes no part, 0.5 and more is foreground.

        Raises:
            ValueError: The shapes differ, or a probability is not in [0, 1].
        """
        if probabilities.shape != targets.shape:
            raise ValueError(
                f"expected targets of shape {probabilities.shape}, got {targets.shape}"
            )
        counted = targets != IGNORED
        p, foreground = probabilities[counted], targets[counted] >= _HALF
        if not ((p >= 0) & (p <= 1)).all():
            raise ValueError("expected probabilities in [0, 1], got others or NaN")
        bins = np.minimum(p * np.float32(_BINS), _BINS - 1).astype(np.int64)  # exact: a power of 2
        self.positive += np.bincount(bins[foreground], minlength=_BINS)
        self.negative += np.bincount(bins[~foreground], minlength=_BINS)

    def as_metrics(self, split_prefix: str = "") -> dict[str, float]:
        """The values under the agreed keys, as `pixel_metrics/IoU`."""
        first = int(_HALF * _BINS)
        hits, found = int(self.positive[first:].sum()), int(self.negative[first:].sum())
        true = int(self.positive.sum())
        precision, recall = fraction_of(hits, hits + found), fraction_of(hits, true)
        values = (
            f1(precision, recall),
            precision,
            recall,
            fraction_of(hits, true + found),
            self._area_under_curve(),
        )
        group = f"{split_prefix}{PIXEL_GROUP}"
        return {f"{group}/{name}": v for name, v in zip(PIXEL_NAMES, values, strict=True)}

    def _area_under_curve(self) -> float:
        """Chance that a foreground pixel has the higher probability; equal ones count a half."""
        pairs = float(self.positive.sum()) * float(self.negative.sum())
        if not pairs:
            return _HALF
        below = np.cumsum(self.negative) - self.negative
        wins = (self.positive.astype(np.float64) * (below + self.negative / 2)).sum()
        return float(wins / pairs)
