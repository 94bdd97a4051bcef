"""Calibration of a network's logits to probabilities that mean what they say.

Focal and Dice loss teach a network to tell particle from background, not to give probabilities.
Where it has seen marked particles and their surroundings only, one half of what it saw was
particle, and of a micrograph it may be a tenth: on background it says 0.3 and means 0.02, so that a
threshold of 0.05 for background passes nothing, and a round learns from particles alone. A line
through the logits, the likeliest one for the validation part's pixels, mends both.

Source: Platt 1999, "Probabilistic outputs for support vector machines and comparisons to
regularized likelihood methods".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Map = npt.NDArray[np.float32]

Floats = npt.NDArray[np.float64]

_LIMIT: Final = 12.0  # of logits; beyond it a pixel is decided either way

_BINS: Final = 960  # logits are counted, so memory does not grow with the pictures

_STEPS: Final = 100

_LONGEST: Final = 1.0  # step; longer ones may overshoot where nearly all is decided

_ENOUGH: Final = 1e-9

_RIDGE: Final = 1e-6  # what is told apart without error would have an infinite slope


@dataclass(frozen=True)
class Calibration:
    """Line from a network's logits to calibrated ones.

    Attributes:
        slope: Slope of the line, at least 0.
        offset: Number added to the product of slope and logit.
    """

    slope: float = 1.0
    offset: float = 0.0

    def probabilities(self, logits: Map) -> Map:
        """Convert logits of any shape to calibrated probabilities."""
        line = self.slope * np.clip(logits, -_LIMIT, _LIMIT) + self.offset
        return np.asarray(expit(line), dtype=np.float32)


AS_THEY_ARE: Final = Calibration()


def calibrate(maps: Iterable[tuple[Map, Map]]) -> Calibration:
    """Find the line with which the logits of some pictures most likely have their targets.

    Args:
        maps: Logits and targets (H, W) of each picture: targets in [0, 1], below 0 where nothing is
            known.

    Returns:
        The line that changes nothing, where there is no particle or nothing else.
    """
    positive, negative = np.zeros(_BINS), np.zeros(_BINS)
    for logits, target in maps:
        known = target >= 0
        share = (np.clip(logits[known], -_LIMIT, _LIMIT) / _LIMIT + 1) / 2
        place = np.minimum(share * _BINS, _BINS - 1).astype(np.intp)
        truth = target[known].astype(np.float64)
        positive += np.bincount(place, truth, _BINS)
        negative += np.bincount(place, 1 - truth, _BINS)
    if not (positive.any() and negative.any()):
        return AS_THEY_ARE
    slope, offset = _fit(positive, negative)
    if slope < 0:  # it says the opposite of the truth: then it knows nothing
        return Calibration(0.0, float(np.log(positive.sum() / negative.sum())))
    return Calibration(slope, offset)


def _fit(positive: Floats, negative: Floats) -> tuple[float, float]:
    """Find slope and offset with the least cross entropy, by Newton's method.

    Args:
        positive: (960,) numbers of particles' pixels by logit.
        negative: (960,) numbers of background's pixels by logit.
    """
    both = (positive + negative) / (positive.sum() + negative.sum())
    particles = positive / (positive.sum() + negative.sum())
    logits = ((np.arange(_BINS) + 0.5) / _BINS * 2 - 1) * _LIMIT
    rows = np.stack([logits, np.ones(_BINS)])
    line = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        p = expit(line @ rows)
        gradient = rows @ (both * p - particles) + _RIDGE * line
        bend = (rows * (both * p * (1 - p))) @ rows.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, gradient)
        line -= step * min(1.0, _LONGEST / np.abs(step).max(initial=_ENOUGH))
        if np.abs(step).max() < _ENOUGH:
            break
    return float(line[0]), float(line[1])
