"""Scores of single pictures, by which the worst and the best are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trainables.metrics.matching import GroundTruth, first_of_each_class, match_image
from trainables.metrics.names import Kind
from trainables.metrics.scores import PictureScore
from trainables.metrics.tally import picture_scores_of, right_class, taken_at
from trainables.results import Instances


@dataclass(frozen=True)
class PictureOutcome:
    """The fate of each prediction and each truth of a picture.

    Attributes:
        counted: (n,) intp, indices of the predictions that count.
        taken: (n,) int64, index of the truth that each takes, of whatever class, or -1.
        right: (n,) bool, whether that truth is of its class.
        missed: (M,) bool, whether a truth was taken by none.
    """

    counted: npt.NDArray[np.intp]
    taken: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    missed: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counting:
    """The rule by which predictions count.

    Attributes:
        kind: Masks or boxes.
        confidence: Lowest score of a prediction that counts.
        max_det: Most predictions of a class in a picture.
    """

    kind: Kind
    confidence: float
    max_det: int


def outcome(found: Instances, truth: GroundTruth, counting: Counting) -> PictureOutcome:
    """Match a picture's predictions as the confusion matrix does."""
    match = match_image(found, truth, counting.kind, counting.max_det)
    taken, missed = taken_at(match, counting.confidence)
    right = right_class(match, taken)
    counted = first_of_each_class(found.classes, counting.max_det)[: len(taken)]
    return PictureOutcome(counted, taken, right, missed)


def picture_scores(
    predictions: Sequence[Instances], truths: Sequence[GroundTruth], counting: Counting
) -> list[PictureScore]:
    """One score a picture, in order."""
    pairs = zip(predictions, truths, strict=True)
    matches = (match_image(f, t, counting.kind, counting.max_det) for f, t in pairs)
    return picture_scores_of(matches, counting.confidence)


Score = TypeVar("Score", bound=PictureScore)


def best_and_worst(scores: Sequence[Score], n: int) -> tuple[list[Score], list[Score]]:
    """At most `n` of each, no picture twice; of equal ones those with more objects.

    Returns:
        The best, best first, and the worst, worst first.
    """
    half = len(scores) // 2
    worst = sorted(scores, key=lambda s: (s.f1, -s.truths, s.index))[: min(n, len(scores) - half)]
    rest = [score for score in scores if score not in worst]
    best = sorted(rest, key=lambda s: (-s.f1, -s.truths, s.index))[: min(n, half)]
    return best, worst
