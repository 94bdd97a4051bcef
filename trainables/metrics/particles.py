"""Quality of picked particles, and of pixels told apart.

Definitions of the group `particle_metrics`:

- A pick can stand for a true particle whose centre is at most the match radius away; each stands
  for one and each is stood for once. Of all such assignments one with the most pairs is taken, and
  of those the one with the smallest sum of distances: neither the order of the picks nor their
  confidence decides who gets whom.
- **precision**, **recall** and **F1** count those pairs among the picks of at least one confidence,
  over all images together. On validation it is the confidence at which F1 is largest, of equal
  ones the highest: the middle between the lowest score that counts and the highest that does not.
  For other parts it is given.
- **average_precision** is COCO's: the highest precision at each of 101 recalls or above, averaged.
  The pairs among the k most confident picks are the most there can be, for every k.
- **position_error_px** is the mean distance of the pairs; the match radius, which bounds it, where
  there is none.

Definitions of the group `pixel_metrics`, over all pixels that are not ignored:

- **precision**, **recall**, **F1** and **IoU** of the pixels with a probability of at least 0.5.
- **AUC**, the area under the ROC curve, from probabilities as they are
  (`trainables.metrics.pixels`). 0.5 where one of the two kinds of pixels is missing.

Any other ratio whose parts are missing is 0: nothing was shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from trainables.metrics.confidence import choose_confidence
from trainables.metrics.names import PARTICLE_GROUP, PARTICLE_NAMES
from trainables.metrics.scores import f1, fraction_of
from trainables.results import Picks

MIN_CONFIDENCE: Final = 0.05
"""Picks below it are not even counted as false: they would be too many."""

_RECALLS: Final = np.linspace(0, 1, 101)

Floats = npt.NDArray[np.float64]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ParticleMetrics:
    """Metrics of picks; see the module for the definitions.

    Attributes:
        precision: Precision at `confidence`.
        recall: Recall at `confidence`.
        f1: F1 at `confidence`.
        average_precision: Over all confidences.
        position_error_px: Mean distance of the pairs, in pixels.
        confidence: A pick counts if its score is at least this.
        picks: Picks that count.
        truths: True particles.
        matched: Pairs.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float
    position_error_px: float
    confidence: float
    picks: int
    truths: int
    matched: int

    def as_metrics(self, split_prefix: str = "") -> dict[str, float]:
        """The values under the agreed keys, as `particle_metrics/F1`; and the confidence."""
        values = (
            self.f1,
            self.precision,
            self.recall,
            self.average_precision,
            self.position_error_px,
        )
        group = f"{split_prefix}{PARTICLE_GROUP}"
        named = {f"{group}/{n}": v for n, v in zip(PARTICLE_NAMES, values, strict=True)}
        return {**named, f"{group}/confidence": self.confidence}


def evaluate_particles(
    picks: Sequence[Picks],
    truths: Sequence[Floats],
    match_radius_px: float | Sequence[float],
    *,
    confidence: float | None = None,
) -> ParticleMetrics:
    """Compare picks with the true particles.

    Args:
        picks: One an image. Give all that are found, however low their confidence: the average
            precision and the search for the confidence need them.
        truths: One an image, in the same order: (M, 2) centres, x y in pixels.
        match_radius_px: Above 0, of all images or one each.
        confidence: Where to take precision, recall, F1 and position error; None for where F1 is
            best.

    Raises:
        ValueError: The lengths differ, or a radius is not above 0.
    """
    radii = _radii(match_radius_px, len(picks), len(truths))
    images = list(zip(picks, truths, radii, strict=True))
    scores, curve = _ranked(images)
    n_truths = sum(map(len, truths))
    if confidence is None:
        confidence = _best_confidence(scores, curve, n_truths)
    distances = [
        assign(image.at_least(confidence).centers, truth, radius)[2]
        for image, truth, radius in images
    ]
    matched = np.concatenate(distances or [np.zeros(0)])
    n_picks = int((scores >= confidence).sum())
    precision, recall = fraction_of(len(matched), n_picks), fraction_of(len(matched), n_truths)
    return ParticleMetrics(
        precision=precision,
        recall=recall,
        f1=f1(precision, recall),
        average_precision=_average_precision(curve, n_truths),
        position_error_px=float(matched.mean() if len(matched) else max(radii, default=0.0)),
        confidence=confidence,
        picks=n_picks,
        truths=n_truths,
        matched=len(matched),
    )


@dataclass(frozen=True)
class ParticleCurve:
    """Precision and recall over confidence.

    Attributes:
        confidence: (K,) falling, each score once: picks of at least it count.
        precision: (K,) at that confidence.
        recall: (K,) at that confidence.
    """

    confidence: Floats
    precision: Floats
    recall: Floats

    @property
    def f1(self) -> Floats:
        """(K,) harmonic means, 0 where both are 0."""
        both = self.precision + self.recall
        twice = 2 * self.precision * self.recall
        return np.divide(twice, both, out=np.zeros(len(both)), where=both > 0)


def particle_curve(
    picks: Sequence[Picks], truths: Sequence[Floats], match_radius_px: float | Sequence[float]
) -> ParticleCurve:
    """Precision and recall at every confidence that a pick has; arguments as `evaluate_particles`.

    Raises:
        ValueError: The lengths differ, or a radius is not above 0.
    """
    radii = _radii(match_radius_px, len(picks), len(truths))
    scores, hits = _ranked(list(zip(picks, truths, radii, strict=True)))
    last = _last_of_equals(scores)
    matched = hits[last].astype(np.float64)
    return ParticleCurve(
        confidence=scores[last],
        precision=matched / (np.flatnonzero(last) + 1),
        recall=matched / max(sum(map(len, truths)), 1),
    )


def assign(
    centers: Floats, truths: Floats, match_radius_px: float
) -> tuple[Indices, Indices, Floats]:
    """The most pairs within the match radius, and of those the nearest.

    Source: J.-C. Jonker, A. Volgenant 1987, "A shortest augmenting path algorithm for dense and
    sparse linear assignment problems" (SciPy's LAPJVsp), over the pairs within the radius only.
    A pick without a particle takes a stand-in of its own, which costs more than all distances.

    Args:
        centers: (N, 2) picks.
        truths: (M, 2) true particles.
        match_radius_px: Above 0.

    Returns:
        For each of the K pairs the index of the pick, in order, the index of the particle, and
        their distance in pixels.
    """
    pick, truth, distance = _near(centers, truths, match_radius_px)
    used, row = np.unique(pick, return_inverse=True)
    n, m = len(used), len(truths)
    if not n:
        return pick, truth, distance
    cost = 1 + distance / match_radius_px  # never 0, which a sparse array would drop
    graph = csr_array(
        (
            np.concatenate([cost, np.full(n, 2.0 + n)]),
            (np.concatenate([row, np.arange(n)]), np.concatenate([truth, m + np.arange(n)])),
        ),
        shape=(n, m + n),
    )
    rows, columns = min_weight_full_bipartite_matching(graph)
    real = columns < m
    chosen, partner = used[rows[real]], columns[real].astype(np.int64)
    away = np.linalg.norm(centers[chosen] - truths[partner], axis=1)
    return chosen, partner, away


def _radii(given: float | Sequence[float], n_picks: int, n_truths: int) -> list[float]:
    radii = [float(given)] * n_picks if isinstance(given, int | float) else [*map(float, given)]
    if n_picks != n_truths or len(radii) != n_picks:
        raise ValueError(
            f"expected picks, truths and match radii of the same images, got {n_picks}, "
            f"{n_truths} and {len(radii)}"
        )
    if not all(0 < radius < float("inf") for radius in radii):
        raise ValueError(f"expected a match radius above 0, got {min(radii)}")
    return radii


def _near(centers: Floats, truths: Floats, radius: float) -> tuple[Indices, Indices, Floats]:
    """Pairs of picks and particles within the radius, and their distances."""
    if not len(centers) or not len(truths):
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0)
    near: coo_array = cKDTree(centers).sparse_distance_matrix(
        cKDTree(truths), radius, output_type="ndarray"
    )
    return near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]


def _ranked(images: Sequence[tuple[Picks, Floats, float]]) -> tuple[Floats, Indices]:
    """Scores of all picks, falling, and the most pairs among the first 1, ..., N of them."""
    scores = np.concatenate([picks.scores for picks, _, _ in images] or [np.zeros(0)])
    hits = np.concatenate([_hits(*image) for image in images] or [np.zeros(0, np.bool_)])
    order = np.argsort(-scores, kind="stable")
    return scores[order], np.cumsum(hits[order])


def _last_of_equals(scores: Floats) -> npt.NDArray[np.bool_]:
    """(N,) bool: scores that are the last of equal ones, which count together."""
    return np.append(scores[1:] != scores[:-1], np.ones(min(len(scores), 1), np.bool_))


def _hits(picks: Picks, truths: Floats, radius: float) -> npt.NDArray[np.bool_]:
    """Whether each pick raises the number of pairs, picks taken by falling confidence.

    The number of hits among the first k is the largest number of pairs among them, for every k:
    a set of picks that can all be paired stays so when others are exchanged for it (Edmonds and
    Fulkerson 1965, "Transversals and matroid partition").
    """
    pick, truth, distance = _near(picks.centers, truths, radius)
    nearest_first = np.lexsort((distance, pick))
    bounds = np.searchsorted(pick[nearest_first], np.arange(len(picks) + 1))
    ranked = truth[nearest_first].tolist()
    options = [ranked[a:b] for a, b in pairwise(bounds.tolist())]
    owner: dict[int, int] = {}
    hits = np.zeros(len(picks), np.bool_)
    for i in np.argsort(-picks.scores, kind="stable").tolist():
        hits[i] = _augment(i, options, owner)
    return hits


def _augment(start: int, options: Sequence[Sequence[int]], owner: dict[int, int]) -> bool:
    """Pair one more pick, moving others on to free a particle for it; False if none can be."""
    came_from: dict[int, int] = {}
    waiting = [start]
    while waiting:
        pick = waiting.pop()
        for truth in options[pick]:
            if truth in came_from:
                continue
            came_from[truth] = pick
            if truth not in owner:
                _take(truth, start, came_from, owner, options)
                return True
            waiting.append(owner[truth])
    return False


def _take(
    truth: int,
    start: int,
    came_from: Mapping[int, int],
    owner: dict[int, int],
    options: Sequence[Sequence[int]],
) -> None:
    """Hand a free particle to the pick that reached it, and what that one had to the one before."""
    held = {owner[t]: t for t in came_from if t in owner}
    while True:
        pick = came_from[truth]
        owner[truth] = pick
        if pick == start:
            return
        truth = held[pick]


def _best_confidence(scores: Floats, hits: Indices, n_truths: int) -> float:
    """The confidence at which F1 is largest; 1 without picks.

    Args:
        scores: (N,) falling.
        hits: (N,) pairs among the first 1, ..., N picks.
        n_truths: True particles.
    """
    last = _last_of_equals(scores)
    f = 2 * hits[last] / (np.flatnonzero(last) + 1 + n_truths)
    return choose_confidence(scores[last], f, floor=MIN_CONFIDENCE)


def _average_precision(hits: Indices, n_truths: int) -> float:
    """Mean over 101 recalls of the highest precision there or above."""
    if not n_truths or not len(hits):
        return 0.0
    precision = hits / np.arange(1, len(hits) + 1)
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(highest[np.searchsorted(hits / n_truths, _RECALLS, side="left")].mean())
