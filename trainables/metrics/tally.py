"""Sums over the matches of many images: a tally a class, curves, a confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainables.metrics.confidence import choose_confidence
from trainables.metrics.matching import IOU_THRESHOLDS, ImageMatch
from trainables.metrics.scores import PictureScore

Floats = npt.NDArray[np.float64]

_CONFIDENCES: Floats = np.linspace(0, 1, 1001)

_RECALLS: Floats = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Tally:
    """All N predictions of one class over all images, best score first.

    Attributes:
        scores: (N,) not increasing.
        true_positives: (N + 1,) hits at IoU 0.5 among the first 0, 1, ..., N predictions.
        envelope: (T, 101) highest precision at each recall of `_RECALLS` or above, by threshold.
        truths: True objects.
        images: Images with at least one.
    """

    scores: Floats
    true_positives: npt.NDArray[np.int64]
    envelope: Floats
    truths: int
    images: int

    @property
    def average_precision(self) -> Floats:
        """(T,) COCO AP at each IoU threshold."""
        ap: Floats = self.envelope.mean(axis=1)
        return ap

    def counts(self, at: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
        """Predictions and true positives with a score of at least each of `at`."""
        n = np.searchsorted(-self.scores, -at, side="right")
        return n, self.true_positives[n]

    def class_f1(self, at: Floats) -> Floats:
        """F1 at each confidence, 2 TP / (predictions + truths), of a class with truths."""
        n, hits = self.counts(at)
        f: Floats = 2 * hits / (n + self.truths)
        return f

    def rates(self, confidence: float) -> tuple[float, float]:
        """Precision and recall of a class with truths."""
        n, hits = (int(v[0]) for v in self.counts(np.array([confidence])))
        return (hits / n if n else 0.0), hits / self.truths


def tally_classes(matches: Sequence[ImageMatch], n_classes: int) -> list[Tally]:
    """One tally a class, in the order of the class list."""
    scores = np.concatenate([m.scores for m in matches] or [np.zeros(0)])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    labels = np.concatenate([m.classes for m in matches] or [np.zeros(0, np.int64)])[order]
    no_hits = np.zeros((0, len(IOU_THRESHOLDS)), np.bool_)
    hits = np.concatenate([m.hits for m in matches] or [no_hits])[order]
    tallies = []
    for c in range(n_classes):
        in_image = [int(np.count_nonzero(m.truth_classes == c)) for m in matches]
        mine = labels == c
        tallies.append(_tally(scores[mine], hits[mine], in_image))
    return tallies


def _tally(scores: Floats, hits: npt.NDArray[np.bool_], in_image: Sequence[int]) -> Tally:
    truths = sum(in_image)
    true_positives = np.cumsum(hits, axis=0, dtype=np.int64)
    return Tally(
        scores=scores,
        true_positives=np.concatenate([[0], true_positives[:, 0]]),
        envelope=_envelope(true_positives, truths),
        truths=truths,
        images=sum(n > 0 for n in in_image),
    )


def _envelope(true_positives: npt.NDArray[np.int64], truths: int) -> Floats:
    """Precision at COCO's 101 recalls.

    Args:
        true_positives: (N, T) hits among the first 1, ..., N predictions, by threshold.
        truths: Number of true objects.

    Returns:
        (T, 101), 0 at recalls never reached.
    """
    n, n_thresholds = true_positives.shape
    envelope = np.zeros((n_thresholds, len(_RECALLS)))
    if not n or not truths:
        return envelope
    precision = true_positives / np.arange(1, n + 1)[:, None]
    highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = true_positives / truths
    for t in range(n_thresholds):
        first = np.searchsorted(recall[:, t], _RECALLS, side="left")
        reached = first < n
        envelope[t, reached] = highest[first[reached], t]
    return envelope


def best_confidence(present: Sequence[Tally]) -> float:
    """The confidence at which the mean of the class F1s is largest; 1 without predictions.

    Args:
        present: Tallies of the classes that have true objects.
    """
    scores = np.unique(np.concatenate([t.scores for t in present] or [np.zeros(0)]))[::-1]
    total = sum((t.class_f1(scores) for t in present), start=np.zeros(len(scores)))
    return choose_confidence(scores, total / max(len(present), 1))


@dataclass(frozen=True)
class Curves:
    """Curves for the plots; a row a class, NaN for a class of which no true object exists.

    Attributes:
        confidence: (1001,) 0, 0.001, ..., 1.
        precision: (C, 1001) at IoU 0.5, exact at each confidence, not interpolated.
        recall: (C, 1001).
        f1: (C, 1001).
        recall_grid: (101,) 0, 0.01, ..., 1.
        precision_at_recall: (C, 101) highest precision at IoU 0.5 at this or a higher recall; its
            mean over a row is the class's map50.
    """

    confidence: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    recall_grid: Floats
    precision_at_recall: Floats


def curves_of(tallies: Sequence[Tally]) -> Curves:
    """The curves of every class, at IoU 0.5."""
    shape = (len(tallies), len(_CONFIDENCES))
    precision, recall, f = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    at_recall = np.full((len(tallies), len(_RECALLS)), np.nan)
    for c, tally in enumerate(tallies):
        if not tally.truths:
            continue
        n, hits = tally.counts(_CONFIDENCES)
        precision[c] = hits / np.maximum(n, 1)
        recall[c] = hits / tally.truths
        f[c] = tally.class_f1(_CONFIDENCES)
        at_recall[c] = tally.envelope[0]
    return Curves(_CONFIDENCES, precision, recall, f, _RECALLS, at_recall)


def confusion_of(
    matches: Sequence[ImageMatch], confidence: float, n_classes: int
) -> npt.NDArray[np.int64]:
    """Confusion matrix: counts of predicted against true class; background is the last.

    At `confidence` and IoU 0.5: first the matches within a class, then each prediction left, best
    score first, with the best truth left (which is of another class).

    Returns:
        (C+1, C+1), rows predicted, columns true.
    """
    table = np.zeros((n_classes + 1, n_classes + 1), np.int64)
    for match in matches:
        index, missed = taken_at(match, confidence)
        true = np.where(index >= 0, np.append(match.truth_classes, n_classes)[index], n_classes)
        np.add.at(table, (match.classes[: len(index)], true), 1)
        table[n_classes, :] += np.bincount(match.truth_classes[missed], minlength=n_classes + 1)
    return table


def taken_at(
    match: ImageMatch, confidence: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Index of the truth that each prediction of an image takes, as `confusion_of` counts it.

    Returns:
        (n,) index of the truth, of the same or of another class, or -1, for each of the n
        predictions with a score of at least `confidence`; and (M,) whether a truth was missed.
    """
    n = int(np.searchsorted(-match.scores, -confidence, side="right"))
    index = match.truth_index[:n].copy()
    free = np.ones(len(match.truth_classes), np.bool_)
    free[index[index >= 0]] = False
    for d, g in match.pairs[match.pairs[:, 0] < n].tolist():
        if index[d] < 0 and free[g]:
            index[d], free[g] = g, False
    return index, free


def right_class(match: ImageMatch, taken: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether the truth that each prediction takes, as `taken_at` gives them, is of its class."""
    right: npt.NDArray[np.bool_] = (taken >= 0) & (
        np.append(match.truth_classes, -1)[taken] == match.classes[: len(taken)]
    )
    return right


def picture_scores_of(matches: Iterable[ImageMatch], confidence: float) -> list[PictureScore]:
    """The counts of each picture at one confidence, in order."""
    scores = []
    for index, match in enumerate(matches):
        taken, _ = taken_at(match, confidence)
        hits = int(right_class(match, taken).sum())
        scores.append(PictureScore(index, len(match.truth_classes), len(taken), hits))
    return scores
