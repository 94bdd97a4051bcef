"""The part of a picture that shows the specimen: without data bar, scale-bar box and frames.

A frame is rows or columns of one black or white that end at a straight edge; a data bar is rows of
mostly one level, from a straight edge or a line across the picture to the border, with writing in
them. Dark ground without particles ends at no straight edge and stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.scale.bar.finding import ScaleBar
from analysis.scale.bar.strokes import Box, Grey
from analysis.scale.scale import Area

_NEAR: Final = 12
"""Grey levels that are one level still: JPEG changes a plain ground by as much."""

_PLAIN: Final = 0.995
"""Share of a row of a frame that is of its level."""

_EDGE: Final = 0.3
"""Share of the first row beyond a frame that is of another level."""

_EXTREME: Final = 10  # grey levels from black or white

_MOST: Final = 0.35
"""Largest share of the rows that a data bar or a frame takes."""

_LEAST_PX: Final = 12

_GROUND: Final = 0.25
"""Least share of a data bar's row that is ground, beside its writing."""

_WRITTEN: Final = 0.9
"""Share of a data bar's rows with that much ground; the others are lines of a table."""

_BARE: Final = 0.85
"""Share of a data bar's first rows that is ground, above its writing."""

_ACROSS: Final = 0.9
"""Share of a row that a line across the picture takes."""

_LEAST_SIGNS: Final = 6

_LARGEST_BOX: Final = 0.2
"""Largest share of a picture that a scale bar's own box takes."""


@dataclass(frozen=True)
class Region:
    """What of a picture shows the specimen.

    Attributes:
        areas: Rectangles that do not overlap.
        strip: The data bar, or None.
        box: The scale bar with its text where it lies on the picture, or None.
    """

    areas: tuple[Area, ...]
    strip: Area | None = None
    box: Area | None = None


def analysed_region(grey: Grey, bar: ScaleBar | None = None) -> Region:
    """The part of a picture that shows the specimen.

    Args:
        grey: (H, W) uint8.
        bar: The burnt-in scale bar, where it is known: if it does not stand in the data bar, a
            rectangle around it and its text is left out.
    """
    height, width = grey.shape
    top, bottom = _frame(grey), _frame(grey[::-1])
    left, right = _frame(grey.T), _frame(grey.T[::-1])
    if top + bottom >= height or left + right >= width:
        top = bottom = left = right = 0
    inner = grey[top : height - bottom, left : width - right]
    below = _strip(inner)
    above = 0 if below else _strip(inner[::-1])
    rows = (top + above, height - bottom - below)
    whole = Area(left, rows[0], width - left - right, rows[1] - rows[0])
    strip = None
    if below:
        strip = Area(0, rows[1], width, height - rows[1])
    elif above:
        strip = Area(0, 0, width, rows[0])
    cut = _own_box(grey, bar) if bar is not None and _lies_on(whole, bar) else None
    areas = _without(whole, cut) if cut else (whole,)
    return Region(tuple(area for area in areas if area.pixels), strip, cut)


def region_mask(areas: Sequence[Area], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(H, W) True where a picture shows the specimen."""
    mask = np.zeros(shape, bool)
    for area in areas:
        mask[area.y : area.y + area.height, area.x : area.x + area.width] = True
    return mask


def _frame(grey: Grey) -> int:
    """Rows of one black or white from the first one on, up to a straight edge."""
    level = float(np.median(grey[0]))
    if _EXTREME < level < 255 - _EXTREME:
        return 0
    for row in range(round(_MOST * grey.shape[0])):
        plain = _share(grey[row], level)
        if plain < _PLAIN:
            return row if row and 1 - plain >= _EDGE else 0
    return 0


def _strip(grey: Grey) -> int:
    """Rows of the data bar at the lower border; 0 where there is none."""
    height = grey.shape[0]
    most = round(_MOST * height)
    part = grey[height - most :]
    level = _ground(grey)
    away = np.abs(part.astype(np.int16) - level)
    share = (away <= _NEAR).mean(axis=1)
    exact = (away <= _tolerance(away[-max(_LEAST_PX, height // 40) :])).mean(axis=1)
    across = _lines_across(part, level)
    for start in range(1, most - _LEAST_PX):
        begins = across[start] and not across[start - 1]
        if not begins:
            bare = share[start : start + 3].min() >= _BARE and exact[start + 1] >= 0.6
            begins = bool(bare and exact[start - 1] <= 0.5 and not across[start - 1])
        if begins and _is_written(part[start:], share[start:], across[start:], level):
            return int(most - start)
    return 0


def _ground(grey: Grey) -> int:
    """The commonest level of the last rows."""
    rows = max(_LEAST_PX, grey.shape[0] // 40)
    return int(np.bincount(grey[-rows:].ravel(), minlength=256).argmax())


def _tolerance(away: npt.NDArray[np.int16]) -> int:
    """Grey levels that are the ground's still: few where nothing has blurred it."""
    n = int((away <= _NEAR).sum())
    return next((by for by in (2, 5) if int((away <= by).sum()) >= 0.9 * n), _NEAR)


def _lines_across(part: Grey, level: int) -> npt.NDArray[np.bool_]:
    """Rows that are of one other level from side to side."""
    ordered = np.sort(part, axis=1, kind="stable")  # of 8 bits faster than a median by four times
    width = part.shape[1]
    middle = (ordered[:, (width - 1) // 2].astype(np.float64) + ordered[:, width // 2]) / 2
    own = (np.abs(part.astype(np.int16) - middle[:, None]) <= _NEAR).mean(axis=1)
    return np.asarray((own >= _ACROSS) & (np.abs(middle - level) > 2 * _NEAR))


def _is_written(
    part: Grey, share: npt.NDArray[Any], across: npt.NDArray[np.bool_], level: int
) -> bool:
    """Whether rows are mostly ground, with writing on it."""
    ground = (share >= _GROUND) | across
    if ground.mean() < _WRITTEN:
        return False
    ink = (np.abs(part.astype(np.int16) - level) > 60).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    signs = stats[1:, cv2.CC_STAT_HEIGHT] >= 4
    signs &= stats[1:, cv2.CC_STAT_WIDTH] < part.shape[1] // 2
    return count > 1 and int(signs.sum()) >= _LEAST_SIGNS


def _share(row: Grey, level: float) -> float:
    return float((np.abs(row.astype(np.int16) - level) <= _NEAR).mean())


def _own_box(grey: Grey, bar: ScaleBar) -> Area:
    """The rectangle around a bar and its text; all of the plain box that they stand in."""
    both = bar.stroke.extent.with_(bar.text.box)
    margin = max(3, bar.text.box.height // 4)
    box = _clipped(both.grown(margin), grey.shape)
    y = min(max(bar.stroke.box.y1 + 2, 0), grey.shape[0] - 1)
    x = (bar.stroke.box.x0 + bar.stroke.box.x1) // 2
    plain = (np.abs(grey.astype(np.int16) - int(grey[y, x])) <= _NEAR // 2).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(plain, connectivity=4)
    label = int(labels[y, x])
    if label:
        left, top, width, height, area = stats[label].tolist()
        found = Box(left, top, left + width - 1, top + height - 1)
        small = width * height <= _LARGEST_BOX * grey.size
        if small and found.grown(margin).holds(both) and area >= 0.5 * width * height:
            box = _clipped(found.with_(box).grown(1), grey.shape)
    return Area(box.x0, box.y0, box.width, box.height)


def _clipped(box: Box, shape: Sequence[int]) -> Box:
    height, width = shape
    return Box(max(box.x0, 0), max(box.y0, 0), min(box.x1, width - 1), min(box.y1, height - 1))


def _lies_on(whole: Area, bar: ScaleBar) -> bool:
    """Whether a bar or its text stands on the picture, not in the data bar or a frame."""
    bottom, right = whole.y + whole.height, whole.x + whole.width
    return any(
        whole.x <= (box.x0 + box.x1) / 2 < right and whole.y <= (box.y0 + box.y1) / 2 < bottom
        for box in (bar.stroke.box, bar.text.box)
    )


def _without(whole: Area, cut: Area) -> tuple[Area, ...]:
    """Four rectangles around another one: above and below from side to side, left and right."""
    x0, y0 = max(cut.x, whole.x), max(cut.y, whole.y)
    x1 = min(cut.x + cut.width, whole.x + whole.width)
    y1 = min(cut.y + cut.height, whole.y + whole.height)
    right, bottom = whole.x + whole.width, whole.y + whole.height
    return (
        Area(whole.x, whole.y, whole.width, y0 - whole.y),
        Area(whole.x, y1, whole.width, bottom - y1),
        Area(whole.x, y0, x0 - whole.x, y1 - y0),
        Area(x1, y0, right - x1, y1 - y0),
    )
