"""Shapes with exact truth: which points belong to them, and their areas, outlines and axes.

Coordinates are continuous as in `trainables.datasets.geometry`: in pixels, x to the right and y
down, the pixel in column i and row j covering [i, i + 1) x [j, j + 1) with its centre at
(i + 0.5, j + 0.5). A pixel belongs to a shape when its centre does. Angles are in radians, from +x
towards +y (clockwise on the screen).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ellipe

Floats = npt.NDArray[np.float64]


class Axes(NamedTuple):
    """Extent of a shape along two perpendicular directions.

    Attributes:
        major_px: Extent along the first direction, the longer one.
        minor_px: Extent across it.
        angle_rad: Direction of the first.
    """

    major_px: float
    minor_px: float
    angle_rad: float


class Box(NamedTuple):
    """Pixel rows and columns, half open."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of (rows, columns)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, rows: int, columns: int) -> "Box":
        """The box elsewhere."""
        top, left = self.top + rows, self.left + columns
        return Box(top, self.bottom + rows, left, self.right + columns)

    def cut(self, width: int, height: int) -> "Box":
        """The part in a picture of that size; no rows or columns where there is none."""
        top, left = min(max(self.top, 0), height), min(max(self.left, 0), width)
        bottom, right = min(max(self.bottom, top), height), min(max(self.right, left), width)
        return Box(top, bottom, left, right)


class Shape(Protocol):
    """A closed region of the plane.

    Attributes:
        cx: x of the centroid.
        cy: y of the centroid.
        area_px2: Exact area.
        perimeter_px: Exact length of all outlines, those of holes included.
        feret_px: Largest distance of two of its points.
    """

    @property
    def cx(self) -> float: ...  # noqa: D102 - see the class
    @property
    def cy(self) -> float: ...  # noqa: D102
    @property
    def area_px2(self) -> float: ...  # noqa: D102
    @property
    def perimeter_px(self) -> float: ...  # noqa: D102
    @property
    def feret_px(self) -> float: ...  # noqa: D102

    @property
    def axes(self) -> Axes:
        """Extents along the shape's own axis and across it."""
        ...

    def at(self, cx: float, cy: float) -> Self:
        """The same shape, its centroid moved."""
        ...

    def level(self, x: Floats, y: Floats) -> Floats:
        """Membership of points: >= 0 inside and on the outline, < 0 outside, at most 1."""
        ...

    def height(self, x: Floats, y: Floats) -> Floats:
        """Relief above the outline's plane in px, 0 outside: what the light falls on."""
        ...


@dataclass(frozen=True)
class Disc:
    """A filled circle.

    Attributes:
        r: Radius in px.
    """

    r: float
    cx: float = 0.0
    cy: float = 0.0

    @property
    def area_px2(self) -> float:
        """Area pi r^2."""
        return math.pi * self.r**2

    @property
    def perimeter_px(self) -> float:
        """Length 2 pi r."""
        return 2 * math.pi * self.r

    @property
    def feret_px(self) -> float:
        """The diameter."""
        return 2 * self.r

    @property
    def axes(self) -> Axes:
        """The diameter twice."""
        return Axes(2 * self.r, 2 * self.r, 0.0)

    def at(self, cx: float, cy: float) -> Self:
        """The same disc elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def level(self, x: Floats, y: Floats) -> Floats:
        """1 - (distance / r)^2."""
        return 1 - ((x - self.cx) ** 2 + (y - self.cy) ** 2) / self.r**2

    def height(self, x: Floats, y: Floats) -> Floats:
        """A half sphere."""
        return self.r * _root(self.level(x, y))


@dataclass(frozen=True)
class Ellipse:
    """A filled ellipse.

    Attributes:
        a: Longer half axis in px.
        b: Shorter half axis in px.
        angle: Direction of the longer axis.
    """

    a: float
    b: float
    angle: float = 0.0
    cx: float = 0.0
    cy: float = 0.0

    @property
    def area_px2(self) -> float:
        """Area pi a b."""
        return math.pi * self.a * self.b

    @property
    def perimeter_px(self) -> float:
        """Length 4 a E(e^2), E the complete elliptic integral of the second kind."""
        return 4 * self.a * float(ellipe(1 - (self.b / self.a) ** 2))

    @property
    def feret_px(self) -> float:
        """The longer axis."""
        return 2 * self.a

    @property
    def axes(self) -> Axes:
        """The two axes."""
        return Axes(2 * self.a, 2 * self.b, self.angle)

    def at(self, cx: float, cy: float) -> Self:
        """The same ellipse elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def level(self, x: Floats, y: Floats) -> Floats:
        """1 - (u / a)^2 - (v / b)^2 with u, v along the axes."""
        u, v = _turned(x - self.cx, y - self.cy, self.angle)
        return 1 - (u / self.a) ** 2 - (v / self.b) ** 2

    def height(self, x: Floats, y: Floats) -> Floats:
        """A half ellipsoid, as thick as it is wide."""
        return self.b * _root(self.level(x, y))


@dataclass(frozen=True)
class Rod:
    """A rod with round ends (all points within half a width of a segment).

    Attributes:
        length: From end to end in px, the round ends included.
        width: In px.
        angle: Direction of the long axis.
    """

    length: float
    width: float
    angle: float = 0.0
    cx: float = 0.0
    cy: float = 0.0

    @property
    def area_px2(self) -> float:
        """Rectangle and two half discs."""
        return self.width * (self.length - self.width) + math.pi * self.width**2 / 4

    @property
    def perimeter_px(self) -> float:
        """Two straight sides and two half circles."""
        return 2 * (self.length - self.width) + math.pi * self.width

    @property
    def feret_px(self) -> float:
        """The length."""
        return self.length

    @property
    def axes(self) -> Axes:
        """Length and width."""
        return Axes(self.length, self.width, self.angle)

    def at(self, cx: float, cy: float) -> Self:
        """The same rod elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def level(self, x: Floats, y: Floats) -> Floats:
        """1 - (distance from the segment / half width)^2."""
        u, v = _turned(x - self.cx, y - self.cy, self.angle)
        beyond = np.maximum(np.abs(u) - (self.length - self.width) / 2, 0)
        return 1 - (beyond**2 + v**2) / (self.width / 2) ** 2

    def height(self, x: Floats, y: Floats) -> Floats:
        """A half cylinder with round ends."""
        return self.width / 2 * _root(self.level(x, y))


@dataclass(frozen=True)
class Ring:
    """A disc with a round hole in its middle.

    Attributes:
        r: Outer radius in px.
        hole_r: Radius of the hole in px; its edge belongs to the ring.
    """

    r: float
    hole_r: float
    cx: float = 0.0
    cy: float = 0.0

    @property
    def area_px2(self) -> float:
        """Area pi (r^2 - hole_r^2)."""
        return math.pi * (self.r**2 - self.hole_r**2)

    @property
    def perimeter_px(self) -> float:
        """Both circles."""
        return 2 * math.pi * (self.r + self.hole_r)

    @property
    def feret_px(self) -> float:
        """The outer diameter."""
        return 2 * self.r

    @property
    def axes(self) -> Axes:
        """The outer diameter twice."""
        return Axes(2 * self.r, 2 * self.r, 0.0)

    def at(self, cx: float, cy: float) -> Self:
        """The same ring elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def level(self, x: Floats, y: Floats) -> Floats:
        """1 - (distance from the middle circle / half width)^2."""
        distance = np.hypot(x - self.cx, y - self.cy) - (self.r + self.hole_r) / 2
        return 1 - (distance / ((self.r - self.hole_r) / 2)) ** 2

    def height(self, x: Floats, y: Floats) -> Floats:
        """A half torus."""
        return (self.r - self.hole_r) / 2 * _root(self.level(x, y))


@dataclass(frozen=True)
class Facets:
    """A convex polygon: a crystal seen from above.

    Attributes:
        corners: Corners relative to the centroid, in order of rising angle (as `facets` makes
            them).
    """

    corners: tuple[tuple[float, float], ...]
    cx: float = 0.0
    cy: float = 0.0

    @cached_property
    def _edges(self) -> tuple[Floats, Floats]:
        """Unit outward normals (N, 2), and the distance of each side from the centroid (N,)."""
        corners = np.array(self.corners)
        along = np.roll(corners, -1, axis=0) - corners
        outward = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
        return outward, (outward * corners).sum(axis=1)

    @property
    def area_px2(self) -> float:
        """Shoelace formula."""
        return _polygon_moments(np.array(self.corners))[0]

    @property
    def perimeter_px(self) -> float:
        """Sum of the sides."""
        corners = np.array(self.corners)
        return float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).sum())

    @property
    def feret_px(self) -> float:
        """Longest distance between corners."""
        return self.axes.major_px

    @property
    def axes(self) -> Axes:
        """Along the two corners farthest apart, and across."""
        first, last = max(combinations(self.corners, 2), key=lambda pair: math.dist(*pair))
        angle = math.atan2(last[1] - first[1], last[0] - first[0])
        across = np.array(self.corners) @ np.array([-math.sin(angle), math.cos(angle)])
        return Axes(math.dist(first, last), float(np.ptp(across)), angle)

    def at(self, cx: float, cy: float) -> Self:
        """The same polygon elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def _depth(self, x: Floats, y: Floats) -> Floats:
        """Distance from the nearest side's line in px, negative outside."""
        outward, offset = self._edges
        depth = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf)
        for (nx, ny), distance in zip(outward, offset, strict=True):
            depth = np.minimum(depth, distance - nx * (x - self.cx) - ny * (y - self.cy))
        return depth

    def level(self, x: Floats, y: Floats) -> Floats:
        """Depth in units of the depth of the centroid, at most 1."""
        level: Floats = np.minimum(self._depth(x, y) / self._edges[1].min(), 1)
        return level

    def height(self, x: Floats, y: Floats) -> Floats:
        """A flat top with bevelled sides."""
        bevel = 0.4 * self._edges[1].min()
        return 1.2 * np.clip(self._depth(x, y), 0, bevel)


@dataclass(frozen=True)
class Discs:
    """A union of discs, touching or apart: agglomerates, and objects of several parts.

    Attributes:
        parts: Centre x, centre y (relative to the centroid) and radius of each, in px.
    """

    parts: tuple[tuple[float, float, float], ...]
    cx: float = 0.0
    cy: float = 0.0

    @property
    def area_px2(self) -> float:
        """Exact, overlaps counted once."""
        return _union_moments(self.parts)[0]

    @property
    def perimeter_px(self) -> float:
        """Arcs that no other disc covers."""
        return sum(r * (stop - start) for (_, _, r), start, stop in _free_arcs(self.parts))

    @property
    def feret_px(self) -> float:
        """Largest extent."""
        return self.axes.major_px

    @property
    def axes(self) -> Axes:
        """Along the line of the largest extent, and across."""
        pairs = [
            (math.hypot(q[0] - p[0], q[1] - p[1]) + p[2] + q[2], p, q)
            for p, q in combinations(self.parts, 2)
        ]
        longest, first, last = max(pairs)
        widest = max(self.parts, key=lambda part: part[2])
        if 2 * widest[2] >= longest:
            longest, first, last = 2 * widest[2], widest, widest
        angle = math.atan2(last[1] - first[1], last[0] - first[0])
        across = [y * math.cos(angle) - x * math.sin(angle) for x, y, _ in self.parts]
        radii = [r for _, _, r in self.parts]
        top = max(position + r for position, r in zip(across, radii, strict=True))
        bottom = min(position - r for position, r in zip(across, radii, strict=True))
        return Axes(longest, top - bottom, angle)

    def at(self, cx: float, cy: float) -> Self:
        """The same discs elsewhere."""
        return replace(self, cx=cx, cy=cy)

    def _placed(self) -> list[Disc]:
        return [Disc(r, self.cx + x, self.cy + y) for x, y, r in self.parts]

    def level(self, x: Floats, y: Floats) -> Floats:
        """The highest level of any disc."""
        level: Floats = np.maximum.reduce([disc.level(x, y) for disc in self._placed()])
        return level

    def height(self, x: Floats, y: Floats) -> Floats:
        """The highest of the half spheres."""
        height: Floats = np.maximum.reduce([disc.height(x, y) for disc in self._placed()])
        return height


def facets(corners: Floats) -> Facets:
    """Convex polygon of (N, 2) corners on an ellipse, moved so that its centroid is (0, 0)."""
    _, x, y = _polygon_moments(corners)
    return Facets(tuple((float(px - x), float(py - y)) for px, py in corners))


def discs(parts: Sequence[tuple[float, float, float]]) -> Discs:
    """Union of (x, y, r), moved so that its centroid is (0, 0)."""
    _, x, y = _union_moments(parts)
    return Discs(tuple((px - x, py - y, r) for px, py, r in parts))


def pixels(shape: Shape) -> tuple[Box, npt.NDArray[np.bool_]]:
    """Pixels whose centre lies in a shape, wherever it is.

    Returns:
        A box with all of them (it may reach outside the picture), and the mask (rows, columns)
        inside it.
    """
    box = box_around(shape)
    y, x = np.ogrid[box.top : box.bottom, box.left : box.right]
    return box, shape.level(x + 0.5, y + 0.5) >= 0


def box_around(shape: Shape, margin: float = 0.0) -> Box:
    """Pixels within a distance of `margin` px from a shape, and a few more."""
    reach = _reach(shape) + margin
    return Box(
        math.floor(shape.cy - reach),
        math.ceil(shape.cy + reach) + 1,
        math.floor(shape.cx - reach),
        math.ceil(shape.cx + reach) + 1,
    )


def _reach(shape: Shape) -> float:
    """Largest distance of a point of the shape from its centroid, in px, or a little more."""
    if isinstance(shape, Discs):
        return max(math.hypot(x, y) + r for x, y, r in shape.parts)
    if isinstance(shape, Facets):
        return max(math.hypot(x, y) for x, y in shape.corners)
    return shape.feret_px / 2


def _root(level: Floats) -> Floats:
    root: Floats = np.sqrt(np.maximum(level, 0))
    return root


def _turned(dx: Floats, dy: Floats, angle: float) -> tuple[Floats, Floats]:
    cos, sin = math.cos(angle), math.sin(angle)
    return dx * cos + dy * sin, dy * cos - dx * sin


def _polygon_moments(corners: Floats) -> tuple[float, float, float]:
    """Area and centroid x, y of a simple polygon in order of rising angle."""
    x, y = corners.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    area = cross.sum() / 2
    centre_x = ((x + next_x) * cross).sum() / (6 * area)
    centre_y = ((y + next_y) * cross).sum() / (6 * area)
    return float(area), float(centre_x), float(centre_y)


def _union_moments(parts: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Area and centroid x, y of a union of discs: Green's theorem over its free arcs."""
    area = moment_x = moment_y = 0.0
    for (cx, cy, r), start, stop in _free_arcs(parts):
        turn = stop - start
        sin, cos = math.sin(stop) - math.sin(start), math.cos(stop) - math.cos(start)
        double = (math.sin(2 * stop) - math.sin(2 * start)) / 4
        area += r * (r * turn + cx * sin - cy * cos) / 2
        sin3 = math.sin(stop) ** 3 - math.sin(start) ** 3
        cos3 = math.cos(stop) ** 3 - math.cos(start) ** 3
        squares_x = cx**2 * sin + 2 * cx * r * (turn / 2 + double) + r**2 * (sin - sin3 / 3)
        squares_y = -(cy**2) * cos + 2 * cy * r * (turn / 2 - double) + r**2 * (cos3 / 3 - cos)
        moment_x += r * squares_x / 2
        moment_y += r * squares_y / 2
    return area, moment_x / area, moment_y / area


def _free_arcs(
    parts: Sequence[tuple[float, float, float]],
) -> Iterator[tuple[tuple[float, float, float], float, float]]:
    """Arcs of the circles that lie in no other disc, as (disc, start, stop), start < stop."""
    for index, part in enumerate(parts):
        position = 0.0
        for start, stop in sorted(_covered(part, index, parts)):
            if start > position:
                yield part, position, start
            position = max(position, stop)
        if position < 2 * math.pi:
            yield part, position, 2 * math.pi


def _covered(
    part: tuple[float, float, float], index: int, parts: Sequence[tuple[float, float, float]]
) -> Iterator[tuple[float, float]]:
    """Intervals in [0, 2 pi] of a circle that the other discs cover; of equal discs, one stays."""
    x, y, r = part
    for other, (ox, oy, o_r) in enumerate(parts):
        distance = math.hypot(ox - x, oy - y)
        if other == index or distance >= r + o_r or distance < r - o_r:
            continue
        if distance <= o_r - r:
            if distance > 0 or o_r > r or other < index:
                yield 0.0, 2 * math.pi
            continue
        cosine = (distance**2 + r**2 - o_r**2) / (2 * distance * r)
        half = math.acos(min(max(cosine, -1.0), 1.0))
        start = (math.atan2(oy - y, ox - x) - half) % (2 * math.pi)
        yield start, min(start + 2 * half, 2 * math.pi)
        yield 0.0, max(start + 2 * half - 2 * math.pi, 0.0)


if TYPE_CHECKING:  # the type checker proves that each fulfils the protocol
    _: list[Shape] = [Disc(1), Ellipse(2, 1), Rod(2, 1), Ring(2, 1), Facets(()), Discs(())]
