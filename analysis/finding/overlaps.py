"""Pairs of instances that overlap, and by how much: exact, and without all pairs at once.

Masks are compared by pycocotools on their run-length encodings. Neighbours are found by their boxes
first, a group of some that lie close together at a time: neither memory nor time grows with the
square of the number of instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Boxes = npt.NDArray[np.float64]
"""(N, 4) float64, x1 y1 x2 y2 in pixels."""

Indices = npt.NDArray[np.int64]

Floats = npt.NDArray[np.float64]

Masks = Sequence[Mapping[str, Any]]
"""COCO run-length encodings of one picture, all of its size."""

_GROUP: Final = 48
"""Instances that are compared with their neighbours in one call."""


@dataclass(frozen=True)
class Overlaps:
    """Pairs of instances that share at least a pixel (boxes: an area).

    Attributes:
        first: (P,) index of the one.
        second: (P,) index of the other, larger than `first`; every pair is there once.
        iou: (P,) intersection over union, in (0, 1].
    """

    first: Indices
    second: Indices
    iou: Floats

    def shared(self, areas: Floats) -> Floats:
        """Area that the two of a pair share, in px: of masks a whole number.

        Args:
            areas: (N,) areas of the instances, px.
        """
        both = areas[self.first] + areas[self.second]
        return np.asarray(self.iou / (1 + self.iou) * both, dtype=np.float64)


def mask_boxes(masks: Masks) -> Boxes:
    """Tight boxes of masks; of an empty one a box without an area."""
    if not masks:
        return np.zeros((0, 4))
    boxes = np.asarray(coco_mask.toBbox([dict(mask) for mask in masks]), dtype=np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def mask_areas(masks: Masks) -> Floats:
    """Pixels of each mask (asked one by one: pycocotools cannot count those of more than 255)."""
    return np.array([int(coco_mask.area(dict(mask))) for mask in masks], dtype=np.float64)


def box_areas(boxes: Boxes) -> Floats:
    """Areas of boxes, px."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1), dtype=np.float64)


def overlaps(boxes: Boxes, masks: Masks | None = None) -> Overlaps:
    """The pairs of instances that overlap.

    Args:
        boxes: (N, 4) boxes that hold the masks.
        masks: Masks of the instances; without them the boxes themselves are compared.
    """
    plain = None if masks is None else [dict(mask) for mask in masks]
    order = _neighbours_together(boxes)
    found: list[tuple[Indices, Indices, Floats]] = []
    for start in range(0, len(order), _GROUP):
        group = order[start : start + _GROUP]
        near = _meeting(boxes, group, order[start:])
        if len(near) < 2:
            continue
        iou = _box_iou(boxes[group], boxes[near]) if plain is None else _iou(plain, group, near)
        one, other = np.nonzero(iou)
        a, b = group[one], near[other]
        once = (other >= len(group)) | (a < b)  # `near` begins with the group
        found.append((a[once], b[once], iou[one[once], other[once]]))
    if not found:
        return Overlaps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    first, second, iou = (np.concatenate(part) for part in zip(*found, strict=True))
    return Overlaps(np.minimum(first, second), np.maximum(first, second), iou)


def _neighbours_together(boxes: Boxes) -> Indices:
    """Indices of boxes in an order in which those that follow each other lie close together.

    Boxes of alike size form strips across the picture, so that a large one does not stretch the
    group of small ones.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1).clip(1)
    size = np.floor(np.log2(sides))
    strip = np.floor(middles[:, 1] / (4 * 2.0**size))
    return np.lexsort([middles[:, 0], strip, size]).astype(np.int64)


def _meeting(boxes: Boxes, group: Indices, others: Indices) -> Indices:
    """The group, and after it those of the others whose boxes meet the box around the group."""
    low, high = boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)
    rest = others[len(group) :]
    meets = ((boxes[rest, :2] < high) & (boxes[rest, 2:] > low)).all(axis=1)
    return np.concatenate([group, rest[meets]])


def _iou(masks: list[dict[str, Any]], group: Indices, near: Indices) -> Floats:
    there = [masks[i] for i in near]
    iou = coco_mask.iou(there[: len(group)], there, [0] * len(there))
    return np.asarray(iou, dtype=np.float64).reshape(len(group), len(near))


def _box_iou(one: Boxes, other: Boxes) -> Floats:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    union = box_areas(one)[:, None] + box_areas(other)[None] - shared
    share: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return share
