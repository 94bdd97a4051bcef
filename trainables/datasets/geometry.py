"""Outlines to run-length encoded masks.

One convention for every format: coordinates are continuous, x to the right and y down, and the
pixel in column i and row j covers [i, i + 1) x [j, j + 1). So the outline (0, 0) (4, 0) (4, 3)
(0, 3) covers exactly 4 x 3 pixels, and nothing is ever shifted by half a pixel. (Outlines made of
pixel indices, as OpenCV's contours are, therefore lose their last row and column.)

An outline that crosses itself is filled by the even-odd rule; several parts are united.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

Polygon = npt.NDArray[np.float64]
"""(N, 2) float64, x y in pixels."""

Rle = dict[str, Any]
"""COCO run-length encoding: {"size": [height, width], "counts": bytes}."""

MIN_POINTS: Final = 3

_CORNERS: Final = 4

_CORNER_SLACK: Final = 0.02

_SEGMENT_PX: Final = 1.0

_MARGIN_PX: Final = 1e4

_LONGEST_PX: Final = 1e7

_MOST_PIXELS: Final = 1 << 31

_TWIN_SLACK: Final = 0.25

_WIDEST_SHARE: Final = 2 / 3
"""Share of their box that regions further apart than they are large cover at the most."""

_SPECK: Final = 0.1
"""Regions with less than this share of the largest one are specks."""

_BY_CHANCE: Final = 1e-6

_FARTHEST_PX: Final = 1e12
"""Coordinates beyond are no pixels, and sums of them are no numbers."""


def polygon(points: Sequence[Any]) -> Polygon:
    """Points as an (N, 2) array, from pairs or from a flat list x0 y0 x1 y1 and so on.

    Raises:
        ValueError: The numbers do not pair up, or one is not finite.
        TypeError: Something is no number.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim == 1 and array.size % 2 == 0:
        array = array.reshape(-1, 2)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"expected pairs x y, got numbers of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("expected finite coordinates, got NaN or infinity")
    if (farthest := np.abs(array).max()) > _FARTHEST_PX:
        raise ValueError(f"expected coordinates in pixels, got {farthest:.3g}")
    return array


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """The rectangle between two opposite corners."""
    return polygon([x0, y0, x1, y0, x1, y1, x0, y1])


def ellipse(
    center: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> Polygon:
    """An ellipse as a polygon whose sides are about a pixel long.

    Args:
        center: x, y in pixels.
        radii: Half axes along x and y before turning, in pixels.
        degrees: Turned by this angle, from x towards y (clockwise as seen on a screen).
    """
    n = int(np.clip(math.tau * max(map(abs, radii)) / _SEGMENT_PX, 32, 2000))
    t = np.arange(n) * (math.tau / n)
    # A polygon inscribed in an ellipse is smaller; this factor gives it the ellipse's area.
    fair = math.sqrt(t[1] / math.sin(t[1]))
    along = np.stack([radii[0] * np.cos(t), radii[1] * np.sin(t)], axis=1) * fair
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return polygon(along @ turn + np.asarray(center))


def disc(x: float, y: float, radius: float, width: int, height: int) -> Rle:
    """The pixels of a picture whose centres lie within `radius` of a point.

    Args:
        x: Column of the point, in pixels.
        y: Row of the point, in pixels.
        radius: Radius in pixels, at least 1.
        width: Columns of the picture.
        height: Rows of the picture.
    """
    columns = np.arange(max(math.floor(x - radius), 0), min(math.ceil(x + radius), width))
    columns = columns[np.abs(columns + 0.5 - x) <= radius]
    half = np.sqrt(radius**2 - (columns + 0.5 - x) ** 2)
    first = np.clip(np.ceil(y - half - 0.5), 0, height).astype(np.intp)
    end = np.clip(np.floor(y + half - 0.5) + 1, 0, height).astype(np.intp)
    kept = end > first
    starts = columns * height
    return _encode_runs((starts + first)[kept], (starts + end)[kept], height, width)


def distinct_points(outline: Polygon) -> int:
    """Number of different points of an outline; a closing point counts once."""
    return len(set(map(tuple, outline.tolist())))


def is_rectangle(outlines: Sequence[Polygon]) -> bool:
    """Whether the only outline is a rectangle, turned or not, a fiftieth of its sides aside."""
    if len(outlines) != 1:
        return False
    corners = outlines[0]
    closed = len(corners) == _CORNERS + 1 and bool((corners[0] == corners[-1]).all())
    if len(corners) - closed != _CORNERS:
        return False
    a, b, c, d = corners[:_CORNERS]
    slack = np.abs(np.ptp(corners, axis=0)).max() * _CORNER_SLACK
    middles, diagonals = (a + c) - (b + d), np.hypot(*(a - c)) - np.hypot(*(b - d))
    return bool(np.hypot(*middles) <= 2 * slack and abs(diagonals) <= 2 * slack)


def overshoot(outlines: Sequence[Polygon], width: int, height: int) -> float:
    """Distance that the outlines reach beyond the picture, in pixels (0 when inside)."""
    points = np.concatenate(outlines)
    beyond = np.maximum(-points, points - np.array([width, height]))
    return max(0.0, float(beyond.max()))


def touches(outlines: Sequence[Polygon], width: int, height: int) -> bool:
    """Whether the box around the outlines shares an area with the picture."""
    points = np.concatenate(outlines)
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((high > 0).all() and (low < np.array([width, height])).all())


def encode_polygons(
    parts: Sequence[Polygon], holes: Sequence[Polygon], width: int, height: int
) -> Rle:
    """The union of `parts` without `holes`, cut at the picture's edges."""
    union = _union(parts, width, height)
    if not holes:
        return union
    solid = coco_mask.decode(union) & (1 - coco_mask.decode(_union(holes, width, height)))
    return encode_mask(solid)


def encode_mask(mask: npt.NDArray[Any]) -> Rle:
    """Encode a (H, W) mask: 0 is background."""
    rle: Rle = coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return rle


def encode_labels(labels: npt.NDArray[Any]) -> dict[int, Rle]:
    """Encode every object of a label picture in one pass over its pixels.

    Args:
        labels: (H, W) integers: 0 is background, any other number an object, which may have holes
            and several parts.

    Returns:
        Number to mask, in order of the numbers.
    """
    height, width = labels.shape
    flat = labels.ravel(order="F")
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    numbers, first = np.unique(values[order], return_index=True)
    runs = np.split(order, first[1:])
    return {
        int(number): _encode_runs(starts[run], ends[run], height, width)
        for number, run in zip(numbers, runs, strict=True)
        if number != 0
    }


def compress(rle: Rle) -> Rle:
    """A COCO encoding with counts as text, bytes or a list of numbers, as bytes.

    Raises:
        ValueError: The counts do not fill the picture.
        TypeError: `rle` is no encoding.
    """
    height, width = (int(side) for side in rle["size"])
    if min(height, width) < 0 or height * width > _MOST_PIXELS:
        raise ValueError(f"expected the size of a picture, got {height} x {width}")
    counts = rle["counts"]
    if isinstance(counts, list):
        if not all(isinstance(count, int) for count in counts):
            raise TypeError("expected whole numbers as run lengths")
        if sum(counts) != height * width or min(counts, default=0) < 0:
            raise ValueError(
                f"expected run lengths that add up to {height} x {width} = {height * width}, "
                f"got {sum(counts)}"
            )
        packed: Rle = coco_mask.frPyObjects(
            {"size": [height, width], "counts": counts}, height, width
        )
        return packed
    if not isinstance(counts, str | bytes):
        raise TypeError(f"expected run lengths as text or a list, got {type(counts).__name__}")
    data = counts.encode("ascii") if isinstance(counts, str) else counts
    if sum(_run_lengths(data)) != height * width:
        raise ValueError(f"expected run lengths that fill {height} x {width} pixels")
    return {"size": [height, width], "counts": data}


def merge(rles: Sequence[Rle]) -> Rle:
    """The union of masks of one picture."""
    if len(rles) == 1:
        return rles[0]
    merged: Rle = coco_mask.merge(list(rles))
    return merged


def area(rle: Rle) -> int:
    """Pixels in a mask."""
    return int(coco_mask.area(rle))


def box(rle: Rle) -> tuple[float, float, float, float]:
    """Tight box of a mask: x, y, width, height in pixels."""
    x, y, width, height = (float(value) for value in coco_mask.toBbox(rle))
    return x, y, width, height


def twins(rles: Sequence[Rle], least_iou: float) -> dict[int, tuple[int, float]]:
    """Masks that have nearly the pixels of an earlier one, which is no twin itself.

    Args:
        rles: Masks of one picture.
        least_iou: Least intersection over union of twins, above 0.5; their boxes differ by at most
            a quarter of the sides.

    Returns:
        Index of a twin to the index of the earlier one and their intersection over union.
    """
    if not rles:
        return {}
    boxes = np.asarray(coco_mask.toBbox(list(rles)))
    slack = boxes[:, [2, 3, 2, 3]] * _TWIN_SLACK + 1
    order = np.argsort(boxes[:, 0], kind="stable")
    left = boxes[order, 0]
    low = np.searchsorted(left, boxes[:, 0] - slack[:, 0], "left")
    high = np.searchsorted(left, boxes[:, 0] + slack[:, 0], "right")
    found: dict[int, tuple[int, float]] = {}
    for index in range(len(rles)):
        near = order[low[index] : high[index]]
        near = near[(np.abs(boxes[near] - boxes[index]) <= slack[index]).all(axis=1)]
        for earlier in sorted(set(near[near < index].tolist()) - found.keys()):
            iou = float(coco_mask.iou([rles[index]], [rles[earlier]], [0])[0, 0])
            if iou >= least_iou:
                found[index] = earlier, iou
                break
    return found


def crop(rle: Rle) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The part of a mask inside its box.

    Only the columns of the box are decoded: thousands of small objects in a large picture cost
    milliseconds, not minutes.

    Returns:
        (h, w) uint8 of 0 and 1, and x, y of its first pixel in the picture.
    """
    x, y, width, height = (int(value) for value in box(rle))
    rows = int(rle["size"][0])
    edges = np.cumsum(_run_lengths(rle["counts"]))
    runs = np.diff(np.clip(edges, x * rows, (x + width) * rows), prepend=x * rows)
    columns = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs).reshape(width, rows)
    return np.ascontiguousarray(columns.T[y : y + height]), (x, y)


def n_parts(rle: Rle, gap: float = 0.0) -> int:
    """Number of regions of a mask that lie apart; specks do not count.

    Args:
        rle: The mask.
        gap: Least distance between them, as a share of the longest side of the largest one.
    """
    _, _, width, height = box(rle)
    if gap >= 1 and area(rle) > _WIDEST_SHARE * width * height:
        return 1
    pixels, _ = crop(rle)
    _, _, stats, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    low = stats[1:, :2][sizes >= _SPECK * sizes.max()]
    sides = stats[1:, 2:4][sizes >= _SPECK * sizes.max()]
    if gap == 0:
        return len(low)
    gaps = np.maximum(low[:, None] - (low + sides)[None], low[None] - (low + sides)[:, None])
    near = gaps.max(axis=2) <= gap * sides.max()
    from scipy.sparse.csgraph import connected_components  # slow to import, and few ask

    return int(connected_components(near, directed=False)[0])


def reach_of_first_part(spots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """How far along both sides spots reach, where all lie in the first part of pictures; or None.

    Args:
        spots: (N, 2) as shares of the pictures' sides; evenly spread ones would leave the rest
            empty once in a million times.
    """
    spots = spots[np.isfinite(spots).all(axis=1)]
    if len(spots) == 0:
        return None
    reach, low = spots.max(axis=0), spots.min(axis=0)
    if reach.prod() ** len(spots) > _BY_CHANCE or (low > 1 - reach).any():
        return None
    return np.asarray(reach)


def encode_crop(mask: npt.NDArray[Any], origin: tuple[int, int], height: int, width: int) -> Rle:
    """Encode a part of a picture, all else being background; the reverse of `crop`.

    Args:
        mask: (h, w): 0 is background.
        origin: x, y of its first pixel in the picture.
        height: Rows of the picture.
        width: Columns of the picture.
    """
    framed = np.pad(mask.T != 0, ((0, 0), (1, 1)))
    column, row = np.nonzero(framed[:, 1:] != framed[:, :-1])
    edges = (column + origin[0]) * height + row + origin[1]
    starts, ends = edges[0::2], edges[1::2]
    apart = starts[1:] != ends[:-1]  # a run down to the last row may go on in the next column
    first, last = np.append(True, apart), np.append(apart, True)
    if not len(starts):
        return _encode_runs(starts, ends, height, width)
    return _encode_runs(starts[first], ends[last], height, width)


def _union(outlines: Sequence[Polygon], width: int, height: int) -> Rle:
    near = [_near(outline, width, height) for outline in outlines]
    flat = [outline.ravel().tolist() for outline in near if len(outline) >= MIN_POINTS]
    if not flat:
        return encode_mask(np.zeros((height, width), dtype=bool))
    return merge(coco_mask.frPyObjects(flat, height, width))


def _near(outline: Polygon, width: int, height: int) -> Polygon:
    """An outline without what lies far beyond the picture: pycocotools walks along all of it.

    Raises:
        ValueError: It is too long even so.
    """
    low, high = np.full(2, -_MARGIN_PX), np.array([width, height]) + _MARGIN_PX
    if (outline < low).any() or (outline > high).any():
        for axis in (0, 1):
            outline = _cut(outline, outline[:, axis] - low[axis])
            outline = _cut(outline, high[axis] - outline[:, axis])
    length = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T).sum()
    if length > _LONGEST_PX:
        raise ValueError(f"its outline is {length:.3g} pixels long, more than {_LONGEST_PX:.0e}")
    return outline


def _cut(outline: Polygon, inside: npt.NDArray[np.float64]) -> Polygon:
    """An outline cut along a line (Sutherland and Hodgman 1974).

    Args:
        outline: (N, 2) float64, x y.
        inside: (N,) float64 distance of each point from the line, at least 0 for those to keep.
    """
    after, beyond = np.roll(outline, -1, axis=0), np.roll(inside, -1)
    crosses = (inside >= 0) != (beyond >= 0)
    share = np.divide(inside, inside - beyond, out=np.zeros_like(inside), where=crosses)
    between = outline + share[:, None] * (after - outline)
    pairs = np.stack([outline, between], axis=1)
    kept = np.stack([inside >= 0, crosses], axis=1)
    return np.asarray(pairs[kept])


def _encode_runs(
    starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp], height: int, width: int
) -> Rle:
    """Encode pixels `starts[i]` up to, not including, `ends[i]` of the column-wise picture."""
    edges = np.empty(2 * len(starts), dtype=np.int64)
    edges[0::2], edges[1::2] = starts, ends
    counts = np.diff(edges, prepend=0, append=height * width)
    rle: Rle = coco_mask.frPyObjects(
        {"size": [height, width], "counts": counts.tolist()}, height, width
    )
    return rle


def _run_lengths(counts: bytes) -> list[int]:
    """Lengths of the runs, background first: pycocotools neither checks nor gives them.

    The encoding is COCO's: 5 bits a character from 48 on, bit 5 says that more follow, bit 4 of
    the last one is the sign, and from the third count on the difference to the last but one stands.

    Raises:
        ValueError: It is no such encoding.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        digit = byte - 48
        if not 0 <= digit < 64:
            raise ValueError(f"expected a compressed run-length encoding, got the byte {byte}")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
        if runs[-1] < 0:
            raise ValueError("expected run lengths of at least 0")
    if shift:  # pycocotools would read on behind the end
        raise ValueError("expected a compressed run-length encoding, got one that ends early")
    return runs
