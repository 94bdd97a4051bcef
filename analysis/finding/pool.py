"""Instances from several places, put together: of windows, scales, passes and models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.errors import FindingError
from analysis.finding.overlaps import (
    Boxes,
    Floats,
    Indices,
    Masks,
    box_areas,
    mask_areas,
    mask_boxes,
)
from trainables.results import Instances

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """Instances of one picture, in any order.

    Attributes:
        boxes: (N, 4) float64, x1 y1 x2 y2 in px: tight ones of the masks, where there are some.
        areas: (N,) float64, px: of the masks, else of the boxes.
        scores: (N,) float64 in [0, 1].
        classes: (N,) 0-based indices into one list of classes.
        sources: (N,) number of the search that found each: its window, scale, pass or model.
        cut: (N,) whether a window cut it, and no other had the rest.
        masks: N COCO run-length encodings at the picture's size, or None for boxes only.
    """

    boxes: Boxes
    areas: Floats
    scores: Floats
    classes: Indices
    sources: Indices
    cut: Bools
    masks: Masks | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, indices: npt.NDArray[Any]) -> "Pool":
        """Some of the instances, by their indices or by a mask of truth values."""
        if indices.dtype == np.bool_:
            indices = np.flatnonzero(indices)
        masks = None if self.masks is None else tuple(self.masks[i] for i in indices)
        return Pool(
            self.boxes[indices],
            self.areas[indices],
            self.scores[indices],
            self.classes[indices],
            self.sources[indices],
            self.cut[indices],
            masks,
        )

    def of_source(self, source: int) -> "Pool":
        """The same instances as the finds of one search."""
        return replace(self, sources=np.full(len(self), source, np.int64))

    def ranked(self) -> Indices:
        """Indices of the instances, best first: by score, then area, then position.

        Position is the box's top, left, bottom and right side. Where all that is equal, the class
        with the lower index comes first, and of one class the mask decides.
        """
        left, top, right, bottom = self.boxes.T
        keys = [self.classes, right, bottom, left, top, -self.areas, -self.scores]
        order = np.lexsort(keys).astype(np.int64)
        if self.masks is None or not len(order):
            return order
        alike = (np.stack(keys)[:, order][:, 1:] == np.stack(keys)[:, order][:, :-1]).all(axis=0)
        for run in np.split(np.arange(len(order)), np.flatnonzero(~alike) + 1):
            if len(run) > 1:
                counts = {i: bytes(self.masks[i]["counts"]) for i in order[run].tolist()}
                order[run] = sorted(order[run].tolist(), key=counts.__getitem__)
        return order

    def instances(self) -> Instances:
        """The instances best first, as predictors report them."""
        order = self.ranked()
        masks = None if self.masks is None else tuple(self.masks[i] for i in order)
        return Instances(
            self.boxes[order].astype(np.float32).reshape(-1, 4),
            self.scores[order].astype(np.float32),
            self.classes[order].astype(np.int64),
            masks,
        )


def pool_of(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    masks: Sequence[Mapping[str, Any]] | None,
    source: int = 0,
) -> Pool:
    """A pool of instances of one search.

    Args:
        boxes: (N, 4) boxes; of use only where there are no masks.
        scores: (N,) scores.
        classes: (N,) indices of classes.
        masks: Masks at the picture's size, or None.
        source: Number of the search.
    """
    tight = mask_boxes(masks) if masks is not None else boxes.astype(np.float64).reshape(-1, 4)
    return Pool(
        tight,
        mask_areas(masks) if masks is not None else box_areas(tight),
        scores.astype(np.float64),
        classes.astype(np.int64),
        np.full(len(scores), source, np.int64),
        np.zeros(len(scores), np.bool_),
        None if masks is None else tuple(masks),
    )


def pooled(found: Instances, source: int = 0) -> Pool:
    """The instances of a predictor as a pool."""
    return pool_of(found.boxes, found.scores, found.classes, found.masks, source)


def empty_pool(with_masks: bool = True) -> Pool:
    """A pool without instances."""
    none = np.zeros(0)
    return pool_of(np.zeros((0, 4)), none, none, () if with_masks else None)


def together(pools: Sequence[Pool]) -> Pool:
    """All instances of several pools.

    Raises:
        FindingError: Some have masks and others are boxes only, which cannot be compared.
    """
    some = [pool for pool in pools if len(pool)] or list(pools[:1])
    if not some:
        return empty_pool()
    if len({pool.masks is None for pool in some}) > 1:
        raise FindingError("expected masks from all models or from none, got some with boxes only")
    masks = None
    if some[0].masks is not None:
        masks = tuple(mask for pool in some for mask in pool.masks or ())
    return Pool(
        np.concatenate([pool.boxes for pool in some]),
        np.concatenate([pool.areas for pool in some]),
        np.concatenate([pool.scores for pool in some]),
        np.concatenate([pool.classes for pool in some]),
        np.concatenate([pool.sources for pool in some]),
        np.concatenate([pool.cut for pool in some]),
        masks,
    )
