"""Several models as one: their scores brought to one scale, or their votes counted.

Scores of two models are not comparable: 0.4 may be sure for the one and a guess for the other.
Every trained model records the confidence at which its F1 was best on its validation part. The odds
of its scores are divided by the odds of that confidence, so that 0.5 means the same for all: from
there on the model's finds were worth having.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from analysis.errors import FindingError
from analysis.finding.dedupe import Deduped
from analysis.finding.models import FindingModel
from analysis.finding.overlaps import Floats
from analysis.finding.pool import Pool
from analysis.finding.settings import EnsembleSettings

CALIBRATED_CONFIDENCE: Final = 0.5
"""Calibrated score at which every model was best on its validation part."""

_LEAST: Final = 1e-6


def calibrated(scores: Floats, confidence: float) -> Floats:
    """Scores on the scale that all models share.

    Args:
        scores: (N,) scores of a model in [0, 1].
        confidence: Confidence at which it was best on its validation part.

    Example:
        >>> calibrated(np.array([0.0, 0.1, 0.2, 0.6, 1.0]), 0.2).round(3).tolist()
        [0.0, 0.308, 0.5, 0.857, 1.0]
    """
    at = min(max(confidence, _LEAST), 1 - _LEAST)
    hit, missed = scores * (1 - at), at * (1 - scores)
    return np.asarray(hit / (hit + missed), dtype=np.float64)


def uncalibrated(score: float, confidence: float) -> float:
    """The model's own score behind a calibrated one.

    >>> round(uncalibrated(0.857142857, 0.2), 6)
    0.6
    """
    at = min(max(confidence, _LEAST), 1 - _LEAST)
    return score * at / (score * at + (1 - score) * (1 - at))


def check_ensemble(
    models: Sequence[FindingModel], settings: EnsembleSettings, confidence_given: bool
) -> None:
    """Check that several models can be made one.

    Args:
        models: At least two.
        settings: Settings.
        confidence_given: Whether the settings give a confidence for all classes.

    Raises:
        FindingError: Scores cannot be calibrated, or more votes are asked for than there are.
    """
    unknown = [model.name for model in models if model.confidence is None]
    if settings.scores == "calibrated" and unknown:
        raise FindingError(
            "ensemble.scores: expected for each model the confidence at which it was best on its "
            f"validation part, got none for {', '.join(unknown)}; scores of different models "
            "cannot be compared without it. Let the models vote (ensemble.scores: vote, with a "
            "confidence), or take models that segtune trained"
        )
    if settings.scores == "vote" and unknown and not confidence_given:
        raise FindingError(
            "confidence: expected one, as no best confidence is known of "
            f"{', '.join(unknown)}, got none"
        )
    if settings.votes is not None and settings.votes > len(models):
        raise FindingError(
            f"ensemble.votes: expected at most {len(models)}, the number of models, got "
            f"{settings.votes}"
        )


def votes_needed(settings: EnsembleSettings, n_models: int) -> int:
    """Models that must have found an object; by default more than half.

    >>> [votes_needed(EnsembleSettings(), n) for n in (2, 3, 4, 5)]
    [2, 2, 3, 3]
    """
    return n_models // 2 + 1 if settings.votes is None else settings.votes


def elected(pool: Pool, once: Deduped, needed: int, n_models: int) -> Pool:
    """The objects that enough models found; their score is the share of the models that did.

    Args:
        pool: Instances whose source is their model.
        once: Each object once, with the instances that it stands for.
        needed: Models that must have found it.
        n_models: Number of models.
    """
    voices = np.unique(np.stack([once.keeper, pool.sources], axis=1), axis=0)
    votes = np.bincount(voices[:, 0], minlength=len(pool))
    kept = once.kept[votes[once.kept] >= needed]
    return replace(pool.take(kept), scores=votes[kept] / n_models)
