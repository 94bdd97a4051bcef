"""A shape with exact truth: which points belong to it, and its area, outline and axes.

Coordinates are continuous as in `trainables.datasets.geometry`: in pixels, x to the right and y
down, the pixel in column i and row j covering [i, i + 1) x [j, j + 1) with its centre at
(i + 0.5, j + 0.5). A pixel belongs to a shape when its centre does. Angles are in radians, from +x
towards +y (clockwise on the screen).
"""

import math
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

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
        reach_px: Largest distance of its points from the centroid, or a little more.
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
    def reach_px(self) -> float: ...  # noqa: D102

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
    reach = shape.reach_px + margin
    return Box(
        math.floor(shape.cy - reach),
        math.ceil(shape.cy + reach) + 1,
        math.floor(shape.cx - reach),
        math.ceil(shape.cx + reach) + 1,
    )
