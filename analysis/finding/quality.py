"""Quality of a picture, and what it makes of confidences."""

from typing import Final

import cv2
import numpy as np

from analysis.finding.windows import Picture

_POOR: Final = ((0.3, 0.7), (0.5, 0.85))
"""Quality below which confidences are lowered, and by which factor."""


_ROWS: Final = 256


def quality(picture: Picture) -> float:
    """Quality in [0, 1] of a picture (H, W, 3): how bright and how rich in contrast it is.

    `clip(0.4 * mean / 255 + 0.6 * std / 128, 0, 1)` of its grey levels.
    """
    counts = np.zeros(256, np.int64)
    for top in range(0, len(picture), _ROWS):  # no grey copy of a large picture
        rows = np.ascontiguousarray(picture[top : top + _ROWS])
        grey = np.asarray(cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY))
        counts += np.bincount(grey.ravel(), minlength=256)
    levels = np.arange(256)
    mean = float(np.average(levels, weights=counts))
    std = float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
    return quality_of(mean, std)


def quality_of(mean: float, std: float) -> float:
    """Quality of a picture from mean and standard deviation of its grey levels.

    >>> [round(quality_of(*levels), 3) for levels in ((128, 40), (20, 10), (150, 80))]
    [0.388, 0.078, 0.61]
    """
    return float(np.clip(0.4 * mean / 255 + 0.6 * std / 128, 0, 1))


def confidence_factor(of_quality: float) -> float:
    """Factor for the confidences of a picture of some quality: in a poor one less is asked for.

    >>> [confidence_factor(value) for value in (0.388, 0.078, 0.61, 0.3, 0.5)]
    [0.85, 0.7, 1.0, 0.85, 1.0]
    """
    return next((factor for below, factor in _POOR if of_quality < below), 1.0)
