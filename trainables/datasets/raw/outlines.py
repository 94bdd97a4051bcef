"""Outlines of several parts put together to the one of an object."""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.raw.entries import Outline, RawImage


def united(image: RawImage, outlines: Sequence[Outline]) -> Outline:
    """One object of several outlines; a hole is cut out of its own outline only."""
    if len(outlines) == 1:
        return outlines[0]
    plain = [part for outline in outlines if not outline.holes for part in outline.parts]
    holed = [
        geometry.encode_polygons(outline.parts, outline.holes, image.width, image.height)
        for outline in outlines
        if outline.holes
    ]
    masks = [mask for outline in outlines for mask in outline.masks]
    return Outline(parts=plain, masks=[*holed, *masks])


def even_odd(image: RawImage, paths: Sequence[Polygon]) -> Rle:
    """The pixels that lie inside an odd number of closed paths."""
    inside = np.zeros((image.height, image.width), dtype=np.uint8)
    for path in paths:
        inside ^= coco_mask.decode(geometry.encode_polygons([path], [], image.width, image.height))
    return geometry.encode_mask(inside)


def placed(
    image: RawImage, patch: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], left: int, top: int
) -> Rle:
    """A patch of a mask at its place in a picture; what lies beyond the edges is cut off."""
    full = np.zeros((image.height, image.width), dtype=np.uint8)
    patch = patch[max(-top, 0) :, max(-left, 0) :]
    window = full[max(top, 0) :, max(left, 0) :][: patch.shape[0], : patch.shape[1]]
    window[:] = patch[: window.shape[0], : window.shape[1]]
    return geometry.encode_mask(full)
