"""The confidence from which a prediction counts: how it is chosen, and how it is written.

Any confidence above the next lower score and up to the lowest score that counts gives the same F1.
The score itself would be the worst of them: the same model on the same picture gives a score that
differs by 6e-8 in a batch of another size, and would lose the object. So the middle of that gap is
taken, which also suits pictures best whose objects the model is not quite as sure of.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CLOSE: Final = 1e-6
"""Scores no farther apart may change their order with the size of a batch (float32)."""

_DECIMALS: Final = 8
"""Of a chosen confidence: far finer than the narrowest gap it is put into, and short to read."""

_EQUAL: Final = 1e-12  # F1s this close differ by the order of summation only


def choose_confidence(scores: Floats, f1: Floats, floor: float = 0.0) -> float:
    """The confidence at which F1 is largest: the middle of the gap below what counts there.

    Of equal F1s the one of the highest confidence. A gap that is too narrow for the accuracy of
    scores is no place for a confidence: scores that close are admitted or left out together.

    Args:
        scores: (N,) distinct, falling.
        f1: (N,) F1 of all predictions with at least that score.
        floor: Lower end of the gap below the lowest score: none is reported below it.

    Returns:
        In [0, 1]; 1 without any score.

    Example:
        >>> choose_confidence(np.array([0.9, 0.6, 0.2]), np.array([0.7, 1.0, 0.8]))
        0.4
    """
    if not len(scores):
        return 1.0
    below = np.append(scores[1:], min(floor, float(scores[-1])))
    apart = np.append((scores - below)[:-1] > _CLOSE, True)
    best = int(np.flatnonzero(apart & (f1 >= f1[apart].max() - _EQUAL))[0])
    middle = (scores[best] + below[best]) / 2
    for value in (round(float(middle), _DECIMALS), float(middle)):
        if below[best] < value <= scores[best]:
            return value
    return float(scores[best])  # no number lies between


def confidence_text(confidence: float) -> str:
    """A confidence with all its digits: rounded, it could cross a score and lose an object.

    Example:
        >>> confidence_text(0.35), confidence_text(0.41729305), confidence_text(1)
        ('0.35', '0.41729305', '1.0')
    """
    return np.format_float_positional(confidence, trim="0")
