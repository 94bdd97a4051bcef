"""Matching of predicted instances with true ones: COCO's rule, on run-length encodings.

Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", arXiv:1405.0312, and the
evaluation published with it. The rule, for each image, class and IoU threshold t: predictions in
order of falling score (equal scores keep their order) each take the truth with the highest IoU
among those still free, if that IoU is at least t; of equal IoUs the last truth wins. Only the
first `max_detections` predictions of a class in an image take part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.metrics.names import Kind

if TYPE_CHECKING:
    from trainables.datasets.prepared import PreparedDataset
    from trainables.datasets.records import ImageRecord
    from trainables.results import Instances


IOU_THRESHOLDS: npt.NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""COCO's ten thresholds; the first, 0.5, is the one of P, R, F1 and the confusion matrix."""


@dataclass(frozen=True)
class GroundTruth:
    """The true instances in one image.

    Attributes:
        boxes: (M, 4) float32, x1 y1 x2 y2 in pixels of the original image.
        classes: (M,) int64, 0-based index into the class list.
        masks: M COCO run-length encodings ({"size": [H, W], "counts": bytes}), or None where only
            boxes are known.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: Sequence[Mapping[str, Any]] | None
    height: int
    width: int

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            ValueError: Lengths or shapes differ.
        """
        m = len(self.classes)
        if self.boxes.shape != (m, 4):
            raise ValueError(f"expected boxes ({m}, 4) for {m} classes, got {self.boxes.shape}")
        if self.masks is not None and len(self.masks) != m:
            raise ValueError(f"expected {m} masks for {m} classes, got {len(self.masks)}")

    def __len__(self) -> int:
        return len(self.classes)


def ground_truth(data: PreparedDataset, image: ImageRecord) -> GroundTruth:
    """The true instances of an image of a prepared data set."""
    annotations = data.annotations(image)
    masks = [a.rle for a in annotations if a.rle is not None]
    return GroundTruth(
        boxes=np.array([a.box for a in annotations], dtype=np.float32).reshape(-1, 4),
        classes=np.array([a.category for a in annotations], dtype=np.int64),
        masks=None if data.boxes_only else tuple(masks),
        height=image.height,
        width=image.width,
    )


@dataclass(frozen=True)
class ImageMatch:
    """Pairs of the D predictions that take part and the M truths of one image.

    Attributes:
        scores: (D,) float64, not increasing.
        classes: (D,) int64, predicted classes.
        truth_classes: (M,) int64.
        hits: (D, T) bool, whether the prediction took a truth at `IOU_THRESHOLDS[t]`.
        truth_index: (D,) int64, the truth it took at IoU 0.5, or -1.
        pairs: (P, 2) int64, every (prediction, truth) of whatever classes with an IoU of at least
            0.5, predictions in order, each one's truths from the highest IoU down.
    """

    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    truth_classes: npt.NDArray[np.int64]
    hits: npt.NDArray[np.bool_]
    truth_index: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]


def match_image(
    prediction: Instances, truth: GroundTruth, kind: Kind, max_detections: int
) -> ImageMatch:
    """Match the predictions of one image with its truths, at all ten IoU thresholds."""
    kept = first_of_each_class(prediction.classes, max_detections)
    classes = prediction.classes[kept]
    iou = _iou(prediction, kept, truth, kind)
    pairs = _pairs(iou)
    levels = np.searchsorted(IOU_THRESHOLDS, iou[pairs[:, 0], pairs[:, 1]], side="right")
    same = classes[pairs[:, 0]] == truth.classes[pairs[:, 1]]
    hits, truth_index = _take(pairs[same], levels[same], *iou.shape)
    return ImageMatch(
        scores=prediction.scores[kept].astype(np.float64),
        classes=classes,
        truth_classes=truth.classes,
        hits=hits,
        truth_index=truth_index,
        pairs=pairs,
    )


def first_of_each_class(classes: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.intp]:
    """Indices, in order, of the first `n` entries of each class.

    Example:
        >>> first_of_each_class(np.array([0, 1, 0, 0, 1]), 2).tolist()
        [0, 1, 2, 4]
    """
    if len(classes) <= n:
        return np.arange(len(classes))
    firsts = [np.flatnonzero(classes == c)[:n] for c in np.unique(classes)]
    return np.sort(np.concatenate(firsts))


def _iou(
    prediction: Instances, kept: npt.NDArray[np.intp], truth: GroundTruth, kind: Kind
) -> npt.NDArray[np.float64]:
    """(D, M) IoU of each kept prediction with each truth."""
    if not len(kept) or not len(truth):
        return np.zeros((len(kept), len(truth)))
    no_crowd = [0] * len(truth)
    iou: npt.NDArray[np.float64]
    if kind == "boxes":
        iou = coco_mask.iou(_xywh(prediction.boxes[kept]), _xywh(truth.boxes), no_crowd)
    else:
        wanted = range(len(truth))
        iou = coco_mask.iou(
            _encodings(prediction.masks, kept), _encodings(truth.masks, wanted), no_crowd
        )
    return iou


def _xywh(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    corners = boxes.astype(np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _encodings(
    masks: Sequence[Mapping[str, Any]] | None, chosen: Iterable[int]
) -> list[dict[str, Any]]:
    """Plain dicts, as pycocotools takes nothing else for a run-length encoding."""
    if masks is None:
        raise ValueError("expected masks, got boxes only; evaluate with kind='boxes'")
    return [dict(masks[i]) for i in chosen]


def _pairs(iou: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """`ImageMatch.pairs` of a (D, M) IoU matrix."""
    d, g = np.nonzero(iou >= IOU_THRESHOLDS[0])
    order = np.lexsort((-g, -iou[d, g], d))
    return np.stack([d[order], g[order]], axis=1).astype(np.int64)


def _take(
    pairs: npt.NDArray[np.int64], levels: npt.NDArray[np.intp], n_found: int, n_truths: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Let each prediction take its best free truth, at all thresholds at once.

    A bit stands for a threshold: a pair whose IoU reaches the first `level` thresholds has those
    bits, and a prediction gets the bits that neither it nor the truth has given away before.

    Args:
        pairs: (P, 2) in matching order, same class each.
        levels: (P,) how many thresholds the pair's IoU reaches.
        n_found: Predictions (D).
        n_truths: Truths (M).

    Returns:
        `ImageMatch.hits` and `ImageMatch.truth_index`.
    """
    taken, matched, index = [0] * n_truths, [0] * n_found, [-1] * n_found
    for (d, g), level in zip(pairs.tolist(), levels.tolist(), strict=True):
        bits = ((1 << level) - 1) & ~taken[g] & ~matched[d]
        taken[g] |= bits
        matched[d] |= bits
        if bits & 1:
            index[d] = g
    thresholds = np.arange(len(IOU_THRESHOLDS))
    hits = (np.array(matched, dtype=np.int64)[:, None] >> thresholds) & 1
    return hits.astype(np.bool_), np.array(index, dtype=np.int64)


def check_comparable(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    classes: Sequence[str],
    kind: Kind,
) -> None:
    """Refuse what would be measured wrongly without a word.

    Raises:
        ValueError: Lists every image's problems.
    """
    problems: list[str] = []
    for i, (prediction, truth) in enumerate(zip(predictions, truths, strict=False)):
        found = [
            *_bad_values(prediction),
            *_bad_classes("predicted", prediction.classes, len(classes)),
            *_bad_classes("true", truth.classes, len(classes)),
            *(_bad_masks(prediction, truth) if kind == "masks" else ()),
        ]
        problems += [f"image {i}: {problem}" for problem in found]
    if problems:
        raise ValueError("cannot evaluate:\n  " + "\n  ".join(problems))


def _bad_values(prediction: Instances) -> list[str]:
    problems = []
    wrong = prediction.scores[~((prediction.scores >= 0) & (prediction.scores <= 1))]
    if len(wrong):
        problems.append(f"expected scores in [0, 1], got {wrong[0]} ({len(wrong)} such)")
    if not np.isfinite(prediction.boxes).all():
        problems.append("expected finite boxes, got NaN or infinity")
    return problems


def _bad_classes(which: str, labels: npt.NDArray[np.int64], n_classes: int) -> list[str]:
    wrong = sorted(set(labels[(labels < 0) | (labels >= n_classes)].tolist()))
    return [f"expected {which} classes 0 to {n_classes - 1}, got {wrong}"] if wrong else []


def _bad_masks(prediction: Instances, truth: GroundTruth) -> list[str]:
    problems = []
    size = [truth.height, truth.width]
    for which, owner in (("predicted", prediction), ("true", truth)):
        if owner.masks is None:
            if len(owner):
                problems.append(f"expected {which} masks, got boxes only; use kind='boxes'")
            continue
        sizes = {tuple(m["size"]) for m in owner.masks} - {tuple(size)}
        if sizes:
            problems.append(f"expected {which} masks of size {size}, got {sorted(sizes)}")
    return problems
