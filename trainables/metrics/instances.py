"""Mask and box P, R, F1 and AP: the same code for every engine.

One vocabulary (`seg_metrics/F1`, `box_metrics/map50`, ...) so that runs of different engines line
up in one chart, computed here from predictions by COCO's matching rule
(`trainables.metrics.matching`).

Definitions:

- A class counts in a mean if the truth holds at least one object of it. Predictions of a class of
  which no object exists cost nothing in P, R, F1 and AP (as in COCO); the confusion matrix shows
  them.
- **P and R** are class means at IoU 0.5 and at one confidence c; a prediction counts if its score
  is at least c. A class of which nothing is predicted has P = R = 0.
- **F1** = 2PR/(P+R) of those two means, 0 where both are 0: the harmonic mean of macro-P and
  macro-R, which is not the mean of the class F1s.
- **c** is the confidence that maximises the mean of the class F1s, searched over every distinct
  score of those classes: no grid, no smoothing. It is the middle of the gap between the lowest
  score that counts and the next lower one (or 0), as for picks (`trainables.metrics.confidence`).
  Equal scores are admitted or left out together; of equal maxima the highest confidence is taken;
  without any prediction it is 1. For the test part the confidence found on validation is given
  instead (`evaluate(..., confidence=c)`).
- **map50** and **map50_95** are COCO's AP at 0.5 and its mean over 0.50:0.05:0.95 (101 recall
  points, at most `max_detections` of a class in an image: no limit unless given). As in COCO,
  predictions of exactly equal scores in different images are ranked in the order of the images; P,
  R and F1 do not depend on that order.
- Where the truth holds no object at all, every value is 0: nothing was shown.
- **Measurement error** (`trainables.metrics.sizes`) is taken from the same masks at the same
  confidence.

Differences from Ultralytics' validator (`match_predictions` and `ap_per_class` in 8.4.190). On the
30 random sets of `tests/trainables/metrics/test_instances.py` both matched the same pairs; F1 was
0.009 higher here on average (-0.003 to +0.035), map50 within 0.007 and map50_95 within 0.005. On
what a small YOLO found of 343 objects, at the mask resolution of Ultralytics' validator (as in
`tests/trainables/engines/yolo_seg/test_predictor.py`), P, R and F1 at its confidence agreed to
0.004, map50 and map50_95 to 0.002, and the best F1 was 0.009 higher here. What differs:

- It draws P, R and F1 at 1,000 confidences by interpolating between scores, smooths the mean F1
  over a tenth of the axis and takes the maximum of that: a steadier but lower figure than the
  highest that any confidence really reaches.
- Above a class's highest score it sets P to 1, we to 0.
- Its AP integrates interpolated precision by trapezoids; COCO's, ours, is the mean of the envelope
  at 101 recalls (pycocotools called directly agrees to 1e-9).
- It keeps the best `max_det` predictions of an image over all classes, COCO of each class.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from trainables.metrics.matching import GroundTruth, check_comparable, match_image
from trainables.metrics.names import GROUPS, METRIC_NAMES, Kind
from trainables.metrics.scores import PictureScore, f1
from trainables.metrics.sizes import Measurement, measurement_error
from trainables.metrics.tally import (
    Curves,
    Tally,
    best_confidence,
    confusion_of,
    curves_of,
    picture_scores_of,
    tally_classes,
)

if TYPE_CHECKING:
    from trainables.results import Instances


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class.

    The values are None where the truth holds no object of the class.

    Attributes:
        name: Name of the class.
        images: Images with at least one true object of it.
        truths: True objects of it.
        precision: Precision at IoU 0.5 and the evaluation's confidence.
        recall: Recall at the same IoU and confidence.
        f1: Their harmonic mean.
        map50: COCO AP at IoU 0.5.
        map50_95: COCO AP, mean over IoU 0.50:0.05:0.95.
    """

    name: str
    images: int
    truths: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    map50: float | None = None
    map50_95: float | None = None

    def as_row(self) -> dict[str, str | int | float | None]:
        """One row of the table an engine writes."""
        return {
            "class": self.name,
            "images": self.images,
            "truths": self.truths,
            "precision": self.precision,
            "recall": self.recall,
            "F1": self.f1,
            "map50": self.map50,
            "map50_95": self.map50_95,
        }


@dataclass(frozen=True)
class Evaluation:
    """One kind's metrics over a set of images; see the module for the definitions.

    Attributes:
        kind: Masks or boxes, whichever was compared.
        f1: Harmonic mean of the class means of precision and recall.
        precision: Class mean at IoU 0.5 and `confidence`.
        recall: Class mean at IoU 0.5 and `confidence`.
        map50: Class mean.
        map50_95: Class mean.
        confidence: Limit of P, R and F1: a prediction counts if its score is at least
            this. Written with all its digits (`trainables.metrics.confidence`), as fewer may
            cross a score.
        classes: The class list.
        per_class: One entry a class, in that order.
        curves: For plots.
        confusion: (C+1, C+1) int64, rows predicted, columns true, the last of both background.
            At `confidence` and IoU 0.5: first the matches within a class, so that the diagonal
            holds the true positives of P and R, then each prediction left, best score first, with
            the best truth left of another class. Rows sum to predictions, columns to truths.
        left_out: Predictions beyond `max_detections`, which took no part: not 0 on dense images
            means that the limit is too low.
        measurement: Errors of counts and sizes at `confidence`; None for boxes.
        pictures: Counts of each picture at `confidence`, in order; not kept in checkpoints.
    """

    kind: Kind
    f1: float
    precision: float
    recall: float
    map50: float
    map50_95: float
    confidence: float
    classes: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]
    curves: Curves
    confusion: npt.NDArray[np.int64]
    left_out: int
    measurement: Measurement | None = None
    pictures: tuple[PictureScore, ...] = ()

    def as_metrics(self, prefix: str) -> dict[str, float]:
        """The values under the agreed keys: prefix "seg_metrics" gives `seg_metrics/F1`, ..."""
        values = (self.f1, self.precision, self.recall, self.map50, self.map50_95)
        metrics = {f"{prefix}/{n}": v for n, v in zip(METRIC_NAMES, values, strict=True)}
        return {**metrics, f"{prefix}/confidence": self.confidence}


def evaluate(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    classes: Sequence[str],
    *,
    kind: Kind,
    confidence: float | None = None,
    max_detections: int | None = None,
) -> Evaluation:
    """Compare predictions with the truth.

    Args:
        predictions: One an image. Give all an engine finds, however low the score: AP and the
            search for the confidence need them.
        truths: One an image, in the same order.
        classes: Class list both count in.
        kind: Compare masks or boxes.
        confidence: Limit in [0, 1] at which to take P, R and F1; None for the best one.
        max_detections: At most so many predictions of a class in an image take part; None for all
            that are given.

    Raises:
        ValueError: What was given cannot be compared; the message lists everything that is wrong.
    """
    check_comparable(predictions, truths, classes, kind)
    limit = sys.maxsize if max_detections is None else max_detections
    _check_settings(len(predictions), len(truths), confidence, limit)
    matches = [match_image(p, t, kind, limit) for p, t in zip(predictions, truths, strict=True)]
    tallies = tally_classes(matches, len(classes))
    present = [t for t in tallies if t.truths]
    if confidence is None:
        confidence = best_confidence(present)
    named = zip(tallies, classes, strict=True)
    precision, recall = (_mean([t.rates(confidence)[k] for t in present]) for k in (0, 1))
    return Evaluation(
        kind=kind,
        f1=f1(precision, recall),
        precision=precision,
        recall=recall,
        map50=_mean([t.average_precision[0] for t in present]),
        map50_95=_mean([t.average_precision.mean() for t in present]),
        confidence=float(confidence),
        classes=tuple(classes),
        per_class=tuple(_class_metrics(t, name, confidence) for t, name in named),
        curves=curves_of(tallies),
        confusion=confusion_of(matches, confidence, len(classes)),
        left_out=sum(map(len, predictions)) - sum(len(m.scores) for m in matches),
        measurement=measurement_error(
            predictions,
            truths,
            len(classes),
            confidence=confidence,
            max_detections=limit,
            matches=matches,
        )
        if kind == "masks"
        else None,
        pictures=tuple(picture_scores_of(matches, confidence)),
    )


def evaluate_groups(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    classes: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    confidences: Mapping[str, float] | None = None,
    max_detections: int | None = None,
) -> dict[str, Evaluation]:
    """Evaluate masks and boxes, each at its own confidence.

    Args:
        predictions: One an image.
        truths: One an image, in the same order.
        classes: Class list both count in.
        groups: Names out of `GROUPS`; None for both where predictions and truths have masks,
            else for the boxes alone. An engine names its groups, so that an epoch without any
            prediction reports the same keys.
        confidences: Metrics of the validation part, read for `seg_metrics/confidence` and
            `box_metrics/confidence`; None to find the best here.
        max_detections: As in `evaluate`.

    Returns:
        Group name to evaluation.

    Raises:
        ValueError: As `evaluate`, and where `confidences` lacks a group's confidence.
    """
    if groups is None:
        masks = _have_masks(predictions) and all(truth.masks is not None for truth in truths)
        groups = [group for group, kind in GROUPS.items() if kind == "boxes" or masks]
    return {
        group: evaluate(
            predictions,
            truths,
            classes,
            kind=GROUPS[group],
            confidence=_confidence_of(group, confidences),
            max_detections=max_detections,
        )
        for group in groups
    }


def evaluate_instances(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    classes: Sequence[str],
    *,
    split_prefix: Literal["", "train_"] = "",
    confidences: Mapping[str, float] | None = None,
    max_detections: int | None = None,
) -> dict[str, float]:
    """The metrics of a split under the agreed keys, e.g. `train_seg_metrics/F1`.

    `evaluate_groups` takes the same arguments and gives the evaluations behind the values;
    `metrics_of` makes the values of them.
    """
    evaluations = evaluate_groups(
        predictions, truths, classes, confidences=confidences, max_detections=max_detections
    )
    return metrics_of(evaluations, split_prefix)


def metrics_of(
    evaluations: Mapping[str, Evaluation], split_prefix: Literal["", "train_"] = ""
) -> dict[str, float]:
    """Evaluations of a split under the agreed keys.

    Args:
        evaluations: By group, as from `evaluate_groups`.
        split_prefix: "train_" for the training part, of which no measurement error is reported.
    """
    metrics: dict[str, float] = {}
    for group, evaluation in evaluations.items():
        metrics |= evaluation.as_metrics(f"{split_prefix}{group}")
        if evaluation.measurement is not None and not split_prefix:
            metrics |= evaluation.measurement.as_metrics()
    return metrics


def _class_metrics(tally: Tally, name: str, confidence: float) -> ClassMetrics:
    if not tally.truths:
        return ClassMetrics(name, tally.images, tally.truths)
    p, r = tally.rates(confidence)
    ap = tally.average_precision
    return ClassMetrics(
        name, tally.images, tally.truths, p, r, f1(p, r), float(ap[0]), float(ap.mean())
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _have_masks(predictions: Sequence[Instances]) -> bool:
    return any(p.masks is not None for p in predictions)


def _confidence_of(group: str, confidences: Mapping[str, float] | None) -> float | None:
    if confidences is None:
        return None
    key = f"{group}/confidence"
    if key not in confidences:
        raise ValueError(
            f"expected {key} among the validation metrics, got {', '.join(confidences) or 'none'}"
        )
    return confidences[key]


def _check_settings(
    n_predictions: int, n_truths: int, confidence: float | None, max_detections: int
) -> None:
    if n_predictions != n_truths:
        raise ValueError(
            f"expected one prediction an image, got {n_predictions} for {n_truths} images"
        )
    if confidence is not None and not 0 <= confidence <= 1:
        raise ValueError(f"expected a confidence in [0, 1], got {confidence}")
    if max_detections < 1:
        raise ValueError(f"expected max_detections >= 1, got {max_detections}")
