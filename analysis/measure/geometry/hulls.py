"""Quantities of convex hulls: Feret diameters, rectangle, enclosing circle, solidity.

A mask says where its outline runs to half a pixel only. The hull of its pixels' centres lies inside
the true one, the hull of their corners outside; the mean of what both give is within 0.6 px of
the truth for discs, ellipses, squares and rods of any size, which neither is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import cv2
import numpy as np

from analysis.measure.geometry.runs import Floats, Ints, Runs, within

Feret = Literal["mean", "corner"]
"""Which hulls count: the mean of both, or that of the corners alone, as in ImageJ."""

_MOST_PAIRS: Final = 1 << 17
"""Pairs of vertices that are looked at at once."""

_CV2_ROUNDING_PX: Final = 1e-4
"""What OpenCV adds to the radius of an enclosing circle."""

_CORNERS: Final = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
_EDGE_MIDDLES: Final = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])


@dataclass(frozen=True, eq=False)
class Hulls:
    """Convex hulls of M sets of points.

    Attributes:
        points: (V, 2) int32, x y of the vertices of all hulls, in turn around each.
        sizes: (M,) int64, number of vertices of each.
    """

    points: np.ndarray
    sizes: Ints

    @property
    def ends(self) -> Ints:
        """(M,) int64, the vertex after the last of each hull."""
        return np.cumsum(self.sizes)


def hull_shapes(runs: Runs, feret: Feret = "mean") -> dict[str, Floats]:
    """(M,) float64 of the masks that have pixels, in pixels and degrees.

    Besides the named columns it holds `hull_area`, the pixels of the convex hull as scikit-image
    counts them, and `hull_perimeter`.

    Args:
        runs: The masks.
        feret: Which hulls count for lengths.
    """
    centres = _centre_hulls(runs)
    outer = _sum(centres, _CORNERS)
    kept = (_calipers(centres), _calipers(outer)) if feret == "mean" else (_calipers(outer),)
    table = {name: np.mean([found[name] for found in kept], axis=0) for name in kept[0]}
    point = kept[0]["feret_max"] == 0
    table["feret_angle_deg"] = np.where(point, np.nan, kept[0]["feret_angle_deg"])
    table["hull_area"] = _lattice_points(_sum(centres, _EDGE_MIDDLES, scale=2), len(runs.present))
    return table


def _centre_hulls(runs: Runs) -> Hulls:
    """Hulls of the pixels' centres, in pixels from the centre of the first pixel of each box."""
    begins = np.flatnonzero(
        np.diff(runs.mask, prepend=-1).astype(bool) | np.diff(runs.column, prepend=-1).astype(bool)
    )
    if not len(begins):
        return Hulls(np.zeros((0, 2), np.int32), np.zeros(0, np.int64))
    mask = runs.mask[begins]
    x = runs.column[begins] - runs.boxes[mask, 0]
    top = np.minimum.reduceat(runs.first, begins) - runs.boxes[mask, 1]
    bottom = np.maximum.reduceat(runs.end, begins) - 1 - runs.boxes[mask, 1]
    points = np.stack([x, top, x, bottom], axis=1).reshape(-1, 2)
    return _hulls(points, 2 * np.bincount(mask, minlength=len(runs.present)))


def _sum(hulls: Hulls, steps: np.ndarray, scale: int = 1) -> Hulls:
    """Hulls of the vertices, each moved by all of the steps, after scaling: Minkowski's sum."""
    moved = hulls.points[:, None].astype(np.int64) * scale + steps
    return _hulls(moved.reshape(-1, 2), hulls.sizes * len(steps))


def _hulls(points: np.ndarray, sizes: Ints) -> Hulls:
    whole = np.ascontiguousarray(points, dtype=np.int32)
    found = [cv2.convexHull(whole[a:b])[:, 0] for a, b in pairwise([0, *np.cumsum(sizes).tolist()])]
    if not found:
        return Hulls(whole, sizes)
    return Hulls(np.concatenate(found), np.array([len(hull) for hull in found], np.int64))


def _calipers(hulls: Hulls) -> dict[str, Floats]:
    """Lengths of each hull, measured between parallel lines, around it and along it."""
    n = len(hulls.sizes)
    names = ("feret_max", "feret_min", "feret_angle_deg", "rectangle_length", "rectangle_width")
    table = {name: np.zeros(n) for name in (*names, "hull_perimeter", "enclosing_diameter")}
    order = np.argsort(hulls.sizes, kind="stable")
    begin = 0
    while begin < n:
        most = max(1, _MOST_PAIRS // int(hulls.sizes[order[begin]] + 4) ** 2)
        few = order[begin : begin + most]
        few = few[hulls.sizes[few] <= hulls.sizes[few[0]] + 4]
        for name, values in _calipers_of(_padded(hulls, few)).items():
            table[name][few] = values
        begin += len(few)
    for i, (a, b) in enumerate(pairwise([0, *hulls.ends.tolist()])):
        table["enclosing_diameter"][i] = cv2.minEnclosingCircle(hulls.points[a:b])[1]
    table["enclosing_diameter"] = 2 * (table["enclosing_diameter"] - _CV2_ROUNDING_PX)
    return table


def _padded(hulls: Hulls, few: Ints) -> Floats:
    """(K, V, 2) float64 vertices of some hulls, their last ones repeated."""
    sizes = hulls.sizes[few]
    places = np.minimum(np.arange(sizes.max()), sizes[:, None] - 1)
    points: Floats = hulls.points[(hulls.ends[few] - sizes)[:, None] + places].astype(np.float64)
    return points


def _calipers_of(points: Floats) -> dict[str, Floats]:
    """Lengths of hulls of (K, V, 2) vertices.

    The least distance of two parallel lines around a polygon, and its rectangle of least area,
    have a side along an edge (Freeman and Shapira 1975).
    """
    edges = np.roll(points, -1, axis=1) - points
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    units = edges / np.where(lengths > 0, lengths, 1)[..., None]
    x, y = points[..., 0], points[..., 1]
    ux, uy = units[..., 0, None], units[..., 1, None]
    across = np.ptp(y[:, None] * ux - x[:, None] * uy, axis=2)
    along = np.ptp(x[:, None] * ux + y[:, None] * uy, axis=2)
    never = lengths == 0
    areas = np.where(never, np.inf, across * along)
    rows, best = np.arange(len(points)), areas.argmin(axis=1)
    sides = np.sort(np.stack([across[rows, best], along[rows, best]]), axis=0)
    width = np.where(never, np.inf, across).min(axis=1)
    far = np.square(x[:, :, None] - x[:, None]) + np.square(y[:, :, None] - y[:, None])
    a, b = np.unravel_index(far.reshape(len(points), -1).argmax(axis=1), far.shape[1:])
    angle = np.arctan2(y[rows, a] - y[rows, b], x[rows, b] - x[rows, a])
    return {
        "feret_max": np.sqrt(far[rows, a, b]),
        "feret_min": np.where(np.isinf(width), 0, width),
        "feret_angle_deg": np.degrees(angle) % 180,
        "rectangle_length": sides[1],
        "rectangle_width": sides[0],
        "hull_perimeter": lengths.sum(axis=1),
    }


def _lattice_points(hulls: Hulls, n: int) -> Floats:
    """(n,) float64, pixels whose centres lie in or on each hull, given in half pixels.

    Exact, in whole numbers: down each column the pixels between the hull's lower and upper edge.
    """
    owner = np.repeat(np.arange(n), hulls.sizes)
    after = np.arange(len(owner)) + 1
    after[hulls.ends - 1] = hulls.ends - hulls.sizes
    here, there = hulls.points.astype(np.int64), hulls.points[after].astype(np.int64)
    rising = there[:, 0] > here[:, 0]
    left, right = np.where(rising[:, None], here, there), np.where(rising[:, None], there, here)
    first = -(-left[:, 0] // 2)
    columns = np.maximum(-(-right[:, 0] // 2) - first, 0)
    edge = np.repeat(np.arange(len(owner)), columns)
    run = right[edge, 0] - left[edge, 0]
    x = 2 * (first[edge] + within(columns))
    rise = left[edge, 1] * run + (right[edge, 1] - left[edge, 1]) * (x - left[edge, 0])
    floor, ceiling = rise // (2 * run), -(-rise // (2 * run))
    # cv2 goes round every hull so that x grows along the side of small y
    counted = np.where(rising[edge], -ceiling, floor + 1)
    counts = np.bincount(owner[edge], counted.astype(np.float64), minlength=n)
    return counts.astype(np.float64)
