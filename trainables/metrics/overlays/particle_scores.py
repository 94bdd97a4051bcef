"""Scores of single pictures that were picked, by which the worst and the best are found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainables.datasets.records import ImageRecord
from trainables.metrics.particles import assign
from trainables.metrics.scores import PictureScore
from trainables.results import Picks


@dataclass(frozen=True)
class PickedPicture:
    """A picture with its true particles and with the picks of a model.

    Attributes:
        image: Record of the picture in the data set.
        picks: All picks, however low their confidence.
        centers: (M, 2) float64, true particles, x y in pixels.
        radius_px: Median of the true particles' radii; the model's own where there is none.
    """

    image: ImageRecord
    picks: Picks
    centers: npt.NDArray[np.float64]
    radius_px: float


@dataclass(frozen=True)
class Matching:
    """The rule by which picks count and stand for particles.

    Attributes:
        confidence: Lowest confidence of a pick that counts.
        radius: Largest distance of a pick from its particle, in the picture's particle radii.
        confidence_words: Reason for that confidence.
        radius_words: Reason for that radius.
    """

    confidence: float
    radius: float
    confidence_words: str = ""
    radius_words: str = ""

    def radius_px(self, picture: PickedPicture) -> float:
        """Largest distance of a pick from its particle in a picture, in pixels."""
        return self.radius * picture.radius_px


@dataclass(frozen=True)
class ParticleScore(PictureScore):
    """The counts of one picture of which particles were picked.

    Attributes:
        position_error_px: Mean distance of picks from their particles; None without a pair.
        match_radius_px: Largest distance of a pick from its particle.
    """

    position_error_px: float | None
    match_radius_px: float


@dataclass(frozen=True)
class PickOutcome:
    """The fate of each pick and each particle of a picture.

    Attributes:
        picks: Picks that count.
        right: (N,) bool, whether a pick stands for a particle.
        missed: (M,) bool, whether no pick stands for a particle.
        distances_px: (K,) float64, distance of the two of each pair.
    """

    picks: Picks
    right: npt.NDArray[np.bool_]
    missed: npt.NDArray[np.bool_]
    distances_px: npt.NDArray[np.float64]


def pick_outcome(picture: PickedPicture, matching: Matching) -> PickOutcome:
    """Match a picture's picks as the metrics do."""
    picks = picture.picks.at_least(matching.confidence)
    pick, particle, distances = assign(picks.centers, picture.centers, matching.radius_px(picture))
    right, missed = np.zeros(len(picks), np.bool_), np.ones(len(picture.centers), np.bool_)
    right[pick] = True
    missed[particle] = False
    return PickOutcome(picks, right, missed, distances)


def particle_scores(pictures: Sequence[PickedPicture], matching: Matching) -> list[ParticleScore]:
    """One score a picture, in order."""
    return [_score(index, picture, matching) for index, picture in enumerate(pictures)]


def _score(index: int, picture: PickedPicture, matching: Matching) -> ParticleScore:
    found = pick_outcome(picture, matching)
    distances = found.distances_px
    return ParticleScore(
        index=index,
        truths=len(picture.centers),
        predicted=len(found.picks),
        matched=len(distances),
        position_error_px=float(distances.mean()) if len(distances) else None,
        match_radius_px=matching.radius_px(picture),
    )
