"""Single shapes: disc, ellipse, rod, ring and convex polygon, each with exact truth."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.special import ellipe

from trainables.datasets.simulate.shape import Axes, Floats, Shape


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
    def reach_px(self) -> float:
        """The radius."""
        return self.r

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
    def reach_px(self) -> float:
        """The longer half axis."""
        return self.a

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
        width: Width in px.
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
    def reach_px(self) -> float:
        """Half the length."""
        return self.length / 2

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
    def reach_px(self) -> float:
        """The outer radius."""
        return self.r

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
    def reach_px(self) -> float:
        """Distance of the farthest corner."""
        return max(math.hypot(x, y) for x, y in self.corners)

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


def facets(corners: Floats) -> Facets:
    """Convex polygon of (N, 2) corners on an ellipse, moved so that its centroid is (0, 0)."""
    _, x, y = _polygon_moments(corners)
    return Facets(tuple((float(px - x), float(py - y)) for px, py in corners))


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


if TYPE_CHECKING:  # the type checker proves that each fulfils the protocol
    _: list[Shape] = [Disc(1), Ellipse(2, 1), Rod(2, 1), Ring(2, 1), Facets(())]
