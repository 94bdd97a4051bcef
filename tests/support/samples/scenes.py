"""Pictures of rectangles: what is in them, and what a mediocre model finds in them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.metrics.matching import GroundTruth
from trainables.metrics.names import Kind
from trainables.results import Instances

SIZE = 200
KINDS: tuple[Kind, ...] = ("masks", "boxes")

Box = tuple[float, float, float, float]
Scene = tuple[list[Instances], list[GroundTruth]]


def encode(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    encoded: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return encoded


def rectangle(box: Sequence[float], size: int = SIZE) -> dict[str, Any]:
    mask = np.zeros((size, size), np.bool_)
    x1, y1, x2, y2 = (round(v) for v in box)
    mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
    return encode(mask)


def truth(boxes: Sequence[Box], classes: Sequence[int] | None = None) -> GroundTruth:
    return GroundTruth(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes if classes is not None else [0] * len(boxes), np.int64),
        masks=[rectangle(b) for b in boxes],
        height=SIZE,
        width=SIZE,
    )


def found(
    boxes: Sequence[Box], scores: Sequence[float], classes: Sequence[int] | None = None
) -> Instances:
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        classes=np.array(classes if classes is not None else [0] * len(boxes), np.int64),
        masks=[rectangle(b) for b in boxes],
    )


def sorted_instances(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    masks: Sequence[Mapping[str, Any]],
) -> Instances:
    order = np.argsort(-scores, kind="stable")
    return Instances(
        boxes=boxes[order].astype(np.float32).reshape(-1, 4),
        scores=scores[order].astype(np.float32),
        classes=classes[order].astype(np.int64),
        masks=[masks[i] for i in order],
    )


def shaken(
    rng: np.random.Generator, truths: GroundTruth, n_classes: int, size: int = SIZE
) -> Instances:
    """What a mediocre model would find: objects lost, moved, doubled, misnamed and invented."""
    picked = rng.permutation(np.repeat(np.arange(len(truths)), rng.integers(0, 3, len(truths))))
    boxes = truths.boxes[picked] + np.round(rng.normal(0, 2.5, (len(picked), 4)))
    corners = rng.integers(0, size - 40, (int(rng.integers(0, 10)), 2))
    invented = np.concatenate([corners, corners + rng.integers(5, 40, corners.shape)], axis=1)
    boxes = np.concatenate([boxes, invented])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    boxes = np.clip(boxes, 0, size)
    classes = np.concatenate([truths.classes[picked], rng.integers(0, n_classes, len(invented))])
    misnamed = rng.random(len(classes)) < 0.15
    classes[misnamed] = rng.integers(0, n_classes, int(misnamed.sum()))
    scores = np.where(np.arange(len(boxes)) < len(picked), 0.3, 0.0) + 0.7 * rng.random(len(boxes))
    return sorted_instances(boxes, scores, classes, [rectangle(b, size) for b in boxes])


def random_scene(seed: int, n_images: int = 6, n_classes: int = 3) -> Scene:
    rng = np.random.default_rng(seed)
    truths = []
    for _ in range(n_images):
        corners = rng.integers(0, 150, (int(rng.integers(0, 15)), 2))
        boxes = np.concatenate([corners, corners + rng.integers(8, 45, corners.shape)], axis=1)
        classes = rng.integers(0, n_classes, len(boxes)).tolist()
        truths.append(truth([tuple(b) for b in boxes.tolist()], classes))
    return [shaken(rng, t, n_classes) for t in truths], truths


def coarse(instances: Instances) -> Instances:
    """The same with scores of 0.25, 0.5, 0.75 and 1 only."""
    return replace(instances, scores=(np.ceil(instances.scores * 4) / 4).astype(np.float32))


def names(n: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(n))


A, B, C_ = (10, 10, 50, 50), (60, 60, 100, 100), (110, 110, 150, 150)
NOWHERE = (150, 0, 190, 40)
