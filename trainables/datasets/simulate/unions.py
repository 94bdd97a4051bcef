"""Unions of discs with exact truth: agglomerates, and objects of several parts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Self

import numpy as np

from trainables.datasets.simulate.shape import Axes, Floats, Shape
from trainables.datasets.simulate.shapes import Disc


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
    def reach_px(self) -> float:
        """Farthest point of a disc."""
        return max(math.hypot(x, y) + r for x, y, r in self.parts)

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


def discs(parts: Sequence[tuple[float, float, float]]) -> Discs:
    """Union of (x, y, r), moved so that its centroid is (0, 0)."""
    _, x, y = _union_moments(parts)
    return Discs(tuple((px - x, py - y, r) for px, py, r in parts))


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


if TYPE_CHECKING:  # the type checker proves that it fulfils the protocol
    _: Shape = Discs(())
