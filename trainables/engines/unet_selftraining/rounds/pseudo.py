"""Labels that a model gives itself: certain predictions, beside what humans have labelled.

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
    """How certain a prediction must be to become a label; both are excluded.

    Attributes:
        positive: A higher probability is a particle.
        negative: A lower one is background.
    """

    positive: float
    negative: float


@dataclass(frozen=True)
class ThresholdPlan:
    """Thresholds that relax from round to round, down to a floor.

    Attributes:
        positive: Of the first round, in (0, 1).
        negative: Of the first round, in (0, 1).
        decay: By how much both relax each round, at least 0.
        positive_floor: The lowest positive threshold.
        negative_ceiling: The highest negative threshold.
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
        """The thresholds of a round, the first being 1.

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
    """How much of an image may at most be given each pseudo-label, the most certain pixels first.

    Attributes:
        positive_fraction: In [0, 1].
        negative_fraction: In [0, 1].
    """

    positive_fraction: float = 1.0
    negative_fraction: float = 1.0


NO_CAPS: Final = Caps()


@dataclass(frozen=True)
class PseudoLabels:
    """The labels of an image for the next round, and where they come from.

    Attributes:
        labels: (H, W) label map.
        n_human: Pixels that a human marked, or that are around such ones.
        n_positive: Pixels that the model alone took for particle.
        n_negative: Pixels that the model alone took for background.
    """

    labels: Map
    n_human: int
    n_positive: int
    n_negative: int

    @property
    def n_ignored(self) -> int:
        """Pixels of which nothing is known."""
        return self.labels.size - self.n_human - self.n_positive - self.n_negative


def combine(
    probability: Map,
    human: npt.NDArray[np.floating | np.integer],
    thresholds: Thresholds,
    caps: Caps = NO_CAPS,
    around: npt.NDArray[np.bool_] | None = None,
) -> PseudoLabels:
    """Add what the model is certain of to what humans labelled.

    Where a human saw a particle, the human's label stays, whatever the model says. Around marked
    particles is background, unless the model is certain of a particle that nobody marked.
    Everywhere else the model alone decides: what no human marked is unknown, not background.

    Args:
        probability: (H, W) in [0, 1], predicted on the image as it is, without augmentation.
        human: (H, W) label map; positive where a human marked a particle.
        thresholds: Of this round.
        caps: How much may be labelled.
        around: (H, W) where marked particles imply background; None: nowhere.

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
    """At most `fraction` of all pixels of those chosen; of equally certain ones the first."""
    most = int(fraction * chosen.size)
    places = np.flatnonzero(chosen)
    if len(places) <= most:
        return chosen
    order = np.argsort(-certainty.ravel()[places], kind="stable")
    kept = np.zeros(chosen.size, np.bool_)
    kept[places[order[:most]]] = True
    return kept.reshape(chosen.shape)
