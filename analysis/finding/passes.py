"""Passes: further searches of a picture that differ from the first, and when they end.

A network is deterministic: shown the same again, it finds the same again. So every pass after the
first shows it something else: the picture mirrored or turned, its windows moved, or what was found
so far painted over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from analysis.finding.pool import Pool, pool_of
from analysis.finding.settings import PassSettings
from analysis.finding.windows import Picture
from trainables.datasets import geometry

_PAINTED_RIM_PX: Final = 2
"""Painted over around what was found, as outlines stand out."""


class Variant(NamedTuple):
    """How a pass differs.

    Attributes:
        turns: Quarters by which the picture is turned, counter-clockwise.
        mirrored: Whether it is mirrored left to right after that.
        shift: Part of the way from a window to the next by which windows are moved.
        masked: Whether what was found so far is painted over.
    """

    turns: int = 0
    mirrored: bool = False
    shift: float = 0.0
    masked: bool = False


PLAIN: Final = Variant()

_KINDS: Final[Mapping[str, tuple[Variant, ...]]] = {
    "flip": tuple(Variant(turns, True) for turns in (0, 2, 1, 3)),
    "turn": tuple(Variant(turns) for turns in (1, 2, 3)),
    "shift": tuple(Variant(shift=shift) for shift in (0.5, 0.25, 0.75)),
}


def variants(settings: PassSettings, windowed: bool) -> list[Variant]:
    """The passes that there are at most, the plain one first; all of them differ.

    Painting over does so as long as passes find something new.

    Args:
        settings: Settings.
        windowed: Whether a picture is searched in several windows; else none can be moved.
    """
    kinds = []
    for kind in settings.kinds:
        if kind == "mask":
            kinds.append((Variant(masked=True),) * settings.maximum)
        elif kind != "shift" or windowed:
            kinds.append(_KINDS[kind])
    in_turn = (variant for some in zip_longest(*kinds) for variant in some if variant is not None)
    return [PLAIN, *in_turn][: settings.maximum]


def goes_on(totals: Sequence[int], settings: PassSettings) -> bool:
    """Whether another pass is worth it.

    Args:
        totals: Instances that were known after each pass so far.
        settings: Settings.

    Example:
        >>> rule = PassSettings(maximum=10)
        >>> [goes_on(totals, rule) for totals in ([40], [40, 55], [40, 55, 62], [5, 5], [6, 8, 9])]
        [True, True, False, False, True]
    """
    if len(totals) >= settings.maximum:
        return False
    if len(totals) < 2:
        return True
    added = np.diff(np.asarray(totals))
    last = added[-settings.max_consecutive_zero :]
    if len(last) == settings.max_consecutive_zero and not (last > 0).any():
        return False
    enough = max(1, int(settings.min_relative_increase * totals[-2]))
    counts = totals[-1] >= settings.min_total_masks and len(totals) >= settings.min_iterations
    return not (counts and added[-1] < enough)


# --- turning


def turned(picture: Picture, variant: Variant) -> Picture:
    """A picture as a pass shows it, windows and paint aside."""
    part = np.rot90(picture, variant.turns)
    return part[:, ::-1] if variant.mirrored else part


def turned_back(pool: Pool, variant: Variant, shape: Sequence[int]) -> Pool:
    """What was found in a turned picture, in the pixels of the picture itself.

    Args:
        pool: Instances in the turned picture.
        variant: How it was turned.
        shape: Height and width of the turned picture, px.
    """
    if not (variant.turns or variant.mirrored):
        return pool
    height, width = int(shape[0]), int(shape[1])
    boxes, sides = _boxes_back(pool.boxes, variant, (height, width))
    masks = None
    if pool.masks is not None:
        masks = [
            _mask_back(mask, variant, box, sides)
            for mask, box in zip(pool.masks, boxes.tolist(), strict=True)
        ]
    back = pool_of(boxes, pool.scores, pool.classes, masks)
    return replace(back, sources=pool.sources, cut=pool.cut)


def _boxes_back(
    boxes: npt.NDArray[np.float64], variant: Variant, sides: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """Boxes turned back, and height and width of the picture then."""
    height, width = sides
    left, top, right, bottom = boxes.T
    if variant.mirrored:
        left, right = width - right, width - left
    for _ in range(variant.turns):
        left, top, right, bottom = height - bottom, left, height - top, right
        height, width = width, height
    return np.stack([left, top, right, bottom], axis=1), (height, width)


def _mask_back(
    mask: Mapping[str, Any], variant: Variant, box: list[float], sides: tuple[int, int]
) -> geometry.Rle:
    crop, _ = geometry.crop(dict(mask))
    part = crop[:, ::-1] if variant.mirrored else crop
    return geometry.encode_crop(np.rot90(part, -variant.turns), (int(box[0]), int(box[1])), *sides)


# --- painting over


def painted(picture: Picture, found: Pool) -> Picture:
    """A copy of a picture in which what was found has the median colour of the rest.

    Args:
        picture: (H, W, 3) uint8.
        found: Instances in it; of boxes the whole box is painted.
    """
    height, width = picture.shape[:2]
    there = np.zeros((height, width), np.uint8)
    for i, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        left, top = max(0, int(x1)), max(0, int(y1))
        part = there[top : int(np.ceil(y2)), left : int(np.ceil(x2))]
        part |= 1 if found.masks is None else geometry.crop(dict(found.masks[i]))[0]
    rim = 2 * _PAINTED_RIM_PX + 1
    there = np.asarray(cv2.dilate(there, np.ones((rim, rim), np.uint8)))
    ground = picture[there == 0]
    copy = picture.copy()
    if len(ground):
        copy[there > 0] = np.median(ground, axis=0).astype(np.uint8)
    return copy
