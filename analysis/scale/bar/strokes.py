"""Bars that are drawn into a picture: straight strokes of one grey level, whatever is beside them.

A stroke is a thin run of equal grey levels, brighter or darker than what is above and below it. Its
ends may bear ticks or arrow heads. A stroke that goes on as a line of a table is none. Two strokes
on one line, with room for a text between them, are a bar that its own text interrupts; eight or
more equal marks at equal distances are a ruler, whose length goes from the first to the last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

MIN_BAR_PX: Final = 20

_MIN_PIECE_PX: Final = 10

_MIN_CONTRAST: Final = 45

_LARGEST_SPREAD: Final = 14.0  # standard deviation within a stroke: what JPEG makes of one level

_THICKEST: Final = 0.035  # of the picture's height

_LEAST_THICKEST_PX: Final = 15

_LONGEST: Final = 0.95  # of the picture's width

_LEAK_PX: Final = 6

_OWN: Final = 28
"""Grey levels below a bar's that are still its own."""

_SOFT_PX: Final = 3
"""Columns over which the end of a bar may fade."""

_FILLED: Final = 0.7

_THICK_PX: Final = 5
"""Rows from which on the ends of a stroke have a shape."""

_SHORT: Final = 0.3
"""Length, of the longest row's, below which a row is none of a stroke's."""

_ALIKE: Final = 0.9

_DRIFT: Final = 0.08
"""Sideways drift of the rows of a stroke, in its lengths, from which on it is no bar."""

_LEAST_DRIFT_PX: Final = 1.5

_FILLED_ROWS: Final = 0.6
"""Share of rows that are nearly as long as the longest; of an ellipse it is 0.44."""

_TALLEST: Final = 0.75
"""Height of a bar with its ticks, of its length."""

_LEAST_ROOM_PX: Final = 12

_LARGEST_ROOM: Final = 2.5
"""Room for a text between two pieces of a bar, in lengths of both."""

_MIN_MARKS: Final = 8

_MOST_MARKS: Final = 5000

_NOISY: Final = 0.02
"""Share of thin bright things in a picture from which on no ruler is looked for."""

_BAND_PX: Final = 2304

_OVERLAP_PX: Final = 512
"""Rows that two bands share: more than a bar with its ticks."""

_FULL: Final = 238
"""Grey level from which on ink is told from bright things in the picture."""

_MOST: Final = 200
"""Runs of ink that are looked at, the longest first."""


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; the last column and row belong to it."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0 + 1

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0 + 1

    def gap_x(self, other: "Box") -> int:
        """Columns between both, 0 where they share one."""
        return max(0, other.x0 - self.x1 - 1, self.x0 - other.x1 - 1)

    def gap_y(self, other: "Box") -> int:
        """Rows between both, 0 where they share one."""
        return max(0, other.y0 - self.y1 - 1, self.y0 - other.y1 - 1)

    def holds(self, other: "Box") -> bool:
        """Whether the other one lies within."""
        return (
            self.x0 <= other.x0
            and self.x1 >= other.x1
            and self.y0 <= other.y0
            and self.y1 >= other.y1
        )

    def grown(self, by: int) -> "Box":
        """The rectangle with a margin; it may reach beyond the picture."""
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def moved(self, x: int, y: int) -> "Box":
        """The rectangle `x` columns to the right and `y` rows down."""
        return Box(self.x0 + x, self.y0 + y, self.x1 + x, self.y1 + y)

    def with_(self, other: "Box") -> "Box":
        """The smallest rectangle around both."""
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )


@dataclass(frozen=True)
class Stroke:
    """A bar that may be a scale bar.

    Attributes:
        box: From its first to its last column, ticks included, and the rows of its line.
        extent: All of it with its ticks.
        bright: Whether it is brighter than what is beside it.
        level: Grey level of the bar.
        middle: Grey level halfway to what is beside it: from there on a pixel belongs to it.
        gap: The room between its two pieces, or None.
        spread: Standard deviation of its grey levels.
    """

    box: Box
    extent: Box
    bright: bool
    level: float
    middle: float
    gap: Box | None = None
    spread: float = 0.0

    @property
    def length_px(self) -> int:
        """Number of columns from outer edge to outer edge."""
        return self.box.width

    def moved(self, x: int, y: int) -> "Stroke":
        """The bar `x` columns to the right and `y` rows down."""
        gap = self.gap.moved(x, y) if self.gap else None
        return replace(self, box=self.box.moved(x, y), extent=self.extent.moved(x, y), gap=gap)


def find_strokes(grey: Grey) -> list[Stroke]:
    """Bars that may be scale bars, dark and bright ones.

    Args:
        grey: (H, W) uint8.
    """
    height, width = grey.shape
    found = [
        stroke.moved(0, top)
        for top in range(0, max(height - _OVERLAP_PX, 1), _BAND_PX - _OVERLAP_PX)
        for stroke in _in_band(grey[top : top + _BAND_PX], thickest_px(height))
    ]
    found = [stroke for stroke in dict.fromkeys(found) if stroke.length_px <= _LONGEST * width]
    return [stroke for stroke in found if not any(_outlines(stroke, bar) for bar in found)]


def _in_band(grey: Grey, thickest: int) -> Iterator[Stroke]:
    """Bars in some rows of a picture, so that memory does not grow with it."""
    for bright in (True, False):
        levels = grey if bright else 255 - grey
        pieces = list(_pieces(levels, bright, thickest))
        yield from _joined(pieces)
        yield from (piece for piece in pieces if piece.length_px >= MIN_BAR_PX)
        yield from _rulers(levels, bright, thickest)


def _outlines(stroke: Stroke, bar: Stroke) -> bool:
    """Whether a stroke is the line around a bar of the other brightness."""
    a, b = stroke.box, bar.box
    around = a.x0 <= b.x0 and b.x1 <= a.x1 and 0 < a.width - b.width <= 2 * _LEAK_PX
    return stroke.bright is not bar.bright and around and a.gap_y(b) <= 2


def thickest_px(height: int) -> int:
    """Rows of the thickest bar in a picture of this height."""
    return max(_LEAST_THICKEST_PX, round(_THICKEST * height))


def _pieces(levels: Grey, bright: bool, thickest: int) -> Iterator[Stroke]:
    """Strokes that are brighter than what is beside them."""
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (1, thickest + 2))
    # a row beyond the picture counts as dark: a bar may touch its edge
    hat = cv2.morphologyEx(
        levels, cv2.MORPH_TOPHAT, around, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    seen: set[Box] = set()
    for mask in (hat >= _MIN_CONTRAST, (hat >= _MIN_CONTRAST) & (levels >= _FULL)):
        for rough in _thin_runs(mask, thickest):
            stroke = _measured(levels, rough, bright)
            if stroke is not None and stroke.box not in seen:
                seen.add(stroke.box)
                yield stroke


def _thin_runs(mask: npt.NDArray[np.bool_], thickest: int) -> Iterator[Box]:
    """Rectangles of ink that are longer than thick, the longest first."""
    along = cv2.getStructuringElement(cv2.MORPH_RECT, (_MIN_PIECE_PX, 1))
    opened = np.asarray(cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, along), np.uint8)
    stats = _parts(opened, connectivity=4)
    order = np.argsort(-stats[:, cv2.CC_STAT_WIDTH], kind="stable")[:_MOST]
    for x, y, width, height, area in stats[order].tolist():
        if height <= thickest and area >= _FILLED * width * height and width >= height:
            yield Box(x, y, x + width - 1, y + height - 1)


def _parts(ink: npt.NDArray[np.uint8], connectivity: int) -> npt.NDArray[np.int64]:
    """Box and pixels of each part of ink that hangs together: (N, 5) x, y, width, height, pixels.

    Only rows with ink are looked at, and one without between those that are no neighbours: a search
    of all pixels took most of the time, and most rows of most pictures have none.
    """
    rows = np.flatnonzero(ink.any(axis=1))
    if not len(rows):
        return np.zeros((0, 5), np.int64)
    place = np.cumsum(np.diff(rows, prepend=rows[0] - 1) > 1) + np.arange(len(rows))
    packed = np.zeros((int(place[-1]) + 1, ink.shape[1]), np.uint8)
    packed[place] = ink[rows]
    _, _, stats, _ = cv2.connectedComponentsWithStats(packed, connectivity=connectivity)
    found = stats[1:].astype(np.int64)
    found[:, cv2.CC_STAT_TOP] = rows[np.searchsorted(place, found[:, cv2.CC_STAT_TOP])]
    return found


def _measured(levels: Grey, rough: Box, bright: bool) -> Stroke | None:
    """A stroke with its exact ends; None where it is no bar."""
    inside = levels[rough.y0 : rough.y1 + 1, rough.x0 : rough.x1 + 1]
    level = _median(inside)
    core = inside[inside >= level - _MIN_CONTRAST]
    spread = float(core.std())
    beside = _beside(levels, rough)
    if spread > _LARGEST_SPREAD or level - beside < _MIN_CONTRAST:
        return None
    middle = (level + beside) / 2
    own = level - max(_OWN, 3 * spread)
    runs = [
        _ends(_run(row >= middle, rough), _run(_bridged(row >= own, row >= middle), rough))
        for row in levels[rough.y0 : rough.y1 + 1]
    ]
    lengths = [x1 - x0 + 1 for x0, x1 in runs]
    longest = max(lengths)
    if _tapers(lengths) or _leans(runs):
        return None  # a particle, or the head of an arrow
    rows = [rough.y0 + i for i, n in enumerate(lengths) if n >= 0.9 * longest]
    x0, x1 = runs[int(np.argmax(lengths))]
    box = Box(x0, min(rows), x1, max(rows))
    extent = _extent(levels, own, box)
    if box.x0 - extent.x0 > _LEAK_PX or extent.x1 - box.x1 > _LEAK_PX:
        return None  # it goes on: a line of a table, or something in the picture
    if extent.height > _TALLEST * extent.width:
        return None  # a part of a letter
    return Stroke(box, extent, bright, level, middle, spread=spread)


def _tapers(lengths: Sequence[int]) -> bool:
    """Whether the rows of a stroke are of many lengths; those of a bar are as long as each other.

    Of a thin one nothing can be said: its first and last row may be half a row.
    """
    tall = [n for n in lengths if n >= _SHORT * max(lengths)]
    alike = sum(n >= _ALIKE * max(lengths) for n in tall)
    return len(tall) >= _THICK_PX and alike < _FILLED_ROWS * len(tall)


def _leans(runs: Sequence[tuple[int, int]]) -> bool:
    """Whether the rows of a stroke drift sideways, as those of a particle that lies aslant."""
    longest = max(x1 - x0 + 1 for x0, x1 in runs)
    middles = [(x0 + x1) / 2 for x0, x1 in runs if x1 - x0 + 1 >= _ALIKE * longest]
    return max(middles) - min(middles) > max(_LEAST_DRIFT_PX, _DRIFT * longest)


def _bridged(own: npt.NDArray[np.bool_], half: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A row's ink with what JPEG made a little too dim: a column or two between columns of ink."""
    line = own.astype(np.uint8)[None]
    closed = cv2.morphologyEx(line, cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
    return np.asarray(own | ((closed[0] > 0) & half))


def _beside(levels: Grey, rough: Box) -> float:
    """Grey level of the rows just above and below, the brighter of the two."""
    columns = slice(rough.x0, rough.x1 + 1)
    above = levels[max(rough.y0 - 3, 0) : max(rough.y0 - 1, 0), columns]
    below = levels[rough.y1 + 2 : rough.y1 + 4, columns]
    return max((_median(part) for part in (above, below) if part.size), default=0.0)


def _median(levels: Grey) -> float:
    """As `numpy.median`, which takes ten times as long for as few numbers."""
    ordered = np.sort(levels, axis=None, kind="stable")
    return (int(ordered[(len(ordered) - 1) // 2]) + int(ordered[len(ordered) // 2])) / 2


def _ends(half: tuple[int, int], own: tuple[int, int]) -> tuple[int, int]:
    """Ends of a bar: halfway to what is beside it, unless something bright goes on there."""
    if own[1] < own[0]:
        return half
    first = half[0] if own[0] - half[0] <= _SOFT_PX else own[0]
    last = half[1] if half[1] - own[1] <= _SOFT_PX else own[1]
    return first, last


def _run(ink: npt.NDArray[np.bool_], rough: Box) -> tuple[int, int]:
    """First and last column of the ink that goes through the middle of a stroke."""
    middle = (rough.x0 + rough.x1) // 2
    if not ink[middle]:
        return middle, middle - 1
    gaps = np.flatnonzero(~ink)
    after = np.searchsorted(gaps, middle)
    first = int(gaps[after - 1]) + 1 if after else 0
    last = int(gaps[after]) - 1 if after < len(gaps) else len(ink) - 1
    return first, last


def _extent(levels: Grey, least: float, box: Box) -> Box:
    """The rectangle of all ink that hangs together with a bar, looked for not far from it.

    Args:
        levels: (H, W) grey levels.
        least: Least level of ink.
        box: The bar.
    """
    reach = max(4 * _LEAK_PX, 2 * box.width // 3, 60)
    top, left = max(box.y0 - reach, 0), max(box.x0 - 4 * _LEAK_PX, 0)
    near = levels[top : box.y1 + reach + 1, left : box.x1 + 4 * _LEAK_PX + 1]
    part = (near >= least).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
    row = labels[box.y0 - top : box.y1 + 1 - top, (box.x0 + box.x1) // 2 - left]
    label = int(row.max(initial=0))
    if not label:
        return box
    x, y, width, height, _ = stats[label].tolist()
    return Box(left + x, top + y, left + x + width - 1, top + y + height - 1)


def _joined(pieces: Sequence[Stroke]) -> Iterator[Stroke]:
    """Two pieces on one line with room for a text between them."""
    ordered = sorted(pieces, key=lambda piece: piece.box.x0)
    for left, right in combinations(ordered, 2):
        a, b = left.box, right.box
        room = b.x0 - a.x1 - 1
        same_rows = abs(a.y0 - b.y0) <= 1 and abs(a.y1 - b.y1) <= 1
        alike = min(a.width, b.width) >= 0.6 * max(a.width, b.width)
        fits = _LEAST_ROOM_PX <= room <= _LARGEST_ROOM * (a.width + b.width)
        if same_rows and alike and fits and abs(left.level - right.level) < _MIN_CONTRAST / 2:
            box = Box(a.x0, min(a.y0, b.y0), b.x1, max(a.y1, b.y1))
            gap = Box(a.x1 + 1, box.y0, b.x0 - 1, box.y1)
            extent = left.extent.with_(right.extent)
            middle = (left.middle + right.middle) / 2
            spread = max(left.spread, right.spread)
            yield Stroke(box, extent, left.bright, left.level, middle, gap, spread)


def _rulers(levels: Grey, bright: bool, thickest: int) -> Iterator[Stroke]:
    """Rows of equal marks at equal distances."""
    across = cv2.getStructuringElement(cv2.MORPH_RECT, (11, 1))
    hat = cv2.morphologyEx(levels, cv2.MORPH_TOPHAT, across)
    mask = (hat >= 2 * _MIN_CONTRAST).view(np.uint8)
    if cv2.countNonZero(mask) > _NOISY * mask.size:
        return
    stats = _parts(mask, connectivity=8)
    small = (stats[:, cv2.CC_STAT_WIDTH] <= 5) & (stats[:, cv2.CC_STAT_HEIGHT] >= 2)
    small &= stats[:, cv2.CC_STAT_HEIGHT] <= 2 * thickest
    small &= stats[:, cv2.CC_STAT_AREA] >= 0.85 * stats[:, 2] * stats[:, 3]
    if small.sum() > _MOST_MARKS:
        return  # noise
    marks = [Box(x, y, x + w - 1, y + h - 1) for x, y, w, h, _ in stats[small].tolist()]
    for row in _rows_of_marks(marks):
        for chain in _chains(row):
            box = chain[0].with_(chain[-1])
            extent = box
            for mark in chain:
                extent = extent.with_(mark)
            level = float(np.median([levels[m.y0, m.x0] for m in chain]))
            yield Stroke(box, extent, bright, level, level / 2)


def _rows_of_marks(marks: Sequence[Box]) -> Iterator[list[Box]]:
    """Marks that stand on one row or hang from one."""
    for edge in ("y0", "y1"):
        rows: dict[int, list[Box]] = {}
        for mark in marks:
            rows.setdefault(getattr(mark, edge), []).append(mark)
        yield from (
            sorted(row, key=lambda m: m.x0) for row in rows.values() if len(row) >= _MIN_MARKS
        )


def _chains(row: Sequence[Box]) -> Iterator[list[Box]]:
    """The longest runs of marks at equal distances."""
    centers = np.array([(mark.x0 + mark.x1) / 2 for mark in row])
    start = 0
    while start + _MIN_MARKS <= len(row):
        step = centers[start + 1] - centers[start]
        stop = start + 1
        while stop < len(row) and abs(
            centers[stop] - centers[start] - step * (stop - start)
        ) <= max(1.5, 0.04 * step * (stop - start)):
            stop += 1
        if stop - start >= _MIN_MARKS and step >= 4:
            yield list(row[start:stop])
            start = stop - 1
        else:
            start += 1
