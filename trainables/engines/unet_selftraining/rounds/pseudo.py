"""Pseudo-labels, which a model gives itself: certain predictions beside human labels.

Everywhere a label map is (H, W) float32: 0 background, 1 particle, in between for soft targets,
`IGNORED` where nothing is known.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.contract import InfeasibleParams

IGNORED: Final = -1.0

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Thresholds:
    """Thresholds beyond which a prediction is certain enough to become a label.

    Attributes:
        positive: Probability above which a pixel is a particle's.
        negative: Probability below which it is background.
    """

    positive: float
    negative: float


@dataclass(frozen=True)
class ThresholdPlan:
    """Thresholds that relax from round to round, down to a floor.

    Attributes:
        positive: Positive threshold of the first round, in (0, 1).
        negative: Negative threshold of the first round, in (0, 1).
        decay: Probability by which both relax each round, at least 0.
        positive_floor: Lowest positive threshold.
        negative_ceiling: Highest negative threshold.
    """

    positive: float = 0.95
    negative: float = 0.05
    decay: float = 0.02
    positive_floor: float = 0.80
    negative_ceiling: float = 0.20

    def __post_init__(self) -> None:
        """Refuse thresholds that could not relax as they say.

        Raises:
            InfeasibleParams: They are not in the order ceiling < floor, or begin beyond them.
        """
        order = (self.negative, self.negative_ceiling, self.positive_floor, self.positive)
        if not (order == tuple(sorted(order)) and self.negative_ceiling < self.positive_floor):
            raise InfeasibleParams(
                "expected negative <= negative_ceiling < positive_floor <= positive, got "
                + ", ".join(f"{value:g}" for value in order)
            )

    def of_round(self, number: int) -> Thresholds:
        """Thresholds of a round, the first being 1.

        >>> plan = ThresholdPlan()
        >>> [plan.of_round(number).positive for number in (1, 2, 8, 9, 20)]
        [0.95, 0.93, 0.81, 0.8, 0.8]
        """
        relaxed = self.decay * (number - 1)
        return Thresholds(
            positive=round(max(self.positive_floor, self.positive - relaxed), 10),
            negative=round(min(self.negative_ceiling, self.negative + relaxed), 10),
        )


@dataclass(frozen=True)
class Caps:
    """Caps on the share of an image with each pseudo-label; the most certain pixels come first.

    Attributes:
        positive_fraction: Most of an image that may be labelled particle, in [0, 1].
        negative_fraction: Most of an image that may be labelled background, in [0, 1].
    """

    positive_fraction: float = 1.0
    negative_fraction: float = 1.0


NO_CAPS: Final = Caps()


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of an image for the next round, with the numbers of pixels by their origin.

    Attributes:
        labels: (H, W) label map.
        n_human: Number of pixels that a human marked, or that are around such ones.
        n_positive: Number of pixels that the model alone took for particle.
        n_negative: Number of pixels that the model alone took for background.
    """

    labels: Map
    n_human: int
    n_positive: int
    n_negative: int

    @property
    def n_ignored(self) -> int:
        """Number of pixels of which nothing is known."""
        return self.labels.size - self.n_human - self.n_positive - self.n_negative


def combine(
    probability: Map,
    human: npt.NDArray[np.floating | np.integer],
    thresholds: Thresholds,
    caps: Caps = NO_CAPS,
    around: npt.NDArray[np.bool_] | None = None,
) -> PseudoLabels:
    """Combine what humans labelled with what the model is certain of.

    Where a human saw a particle, the human's label stays, whatever the model says. Around marked
    particles is background, unless the model is certain of a particle that nobody marked.
    Everywhere else the model alone decides: what no human marked is unknown, not background.

    Args:
        probability: (H, W) in [0, 1], predicted on the image without augmentation.
        human: (H, W) label map; positive where a human marked a particle.
        thresholds: Thresholds of this round.
        caps: Most pixels that may be labelled.
        around: (H, W) mask of where marked particles imply background; None: nowhere.

    Raises:
        ValueError: The shapes differ.
    """
    shapes = {probability.shape, human.shape, *([] if around is None else [around.shape])}
    if len(shapes) > 1:
        raise ValueError(f"expected maps of one shape, got {sorted(shapes)}")
    marked = human > 0
    above = (probability > thresholds.positive) & ~marked
    below = (probability < thresholds.negative) & ~marked
    positive = _most_certain(above, probability, caps.positive_fraction)
    negative = _most_certain(below, -probability, caps.negative_fraction)
    labels = np.full(probability.shape, IGNORED, np.float32)
    labels[negative] = 0
    by_human = marked
    if around is not None:
        labels[around] = 0
        by_human = marked | (around & ~positive)
    labels[positive] = 1
    labels[marked] = human[marked]
    masks = (by_human, positive, negative & ~by_human)
    counts = (int(np.count_nonzero(mask)) for mask in masks)
    return PseudoLabels(labels, *counts)


def _most_certain(
    chosen: npt.NDArray[np.bool_], certainty: Map, fraction: float
) -> npt.NDArray[np.bool_]:
    """Choose at most `fraction` of all pixels; of equally certain ones the first."""
    most = int(fraction * chosen.size)
    places = np.flatnonzero(chosen)
    if len(places) <= most:
        return chosen
    order = np.argsort(-certainty.ravel()[places], kind="stable")
    kept = np.zeros(chosen.size, np.bool_)
    kept[places[order[:most]]] = True
    return kept.reshape(chosen.shape)
