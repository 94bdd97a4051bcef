"""Masks of shapes whose true measures are known: a pixel is set where its centre lies inside."""

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry

Mask = npt.NDArray[np.bool_]


def disc(radius: float, centre: tuple[float, float], side: int) -> Mask:
    return ellipse(radius, radius, 0, centre, side)


def ellipse(a: float, b: float, angle: float, centre: tuple[float, float], side: int) -> Mask:
    along, across = _turned(angle, centre, side)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def rod(length: float, width: float, angle: float, centre: tuple[float, float], side: int) -> Mask:
    along, across = _turned(angle, centre, side)
    return (abs(along) <= length / 2) & (abs(across) <= width / 2)


def _turned(
    angle: float, centre: tuple[float, float], side: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    y, x = np.mgrid[:side, :side] + 0.5
    dx, dy = x - centre[0], y - centre[1]
    return (
        dx * math.cos(angle) + dy * math.sin(angle),
        dy * math.cos(angle) - dx * math.sin(angle),
    )


@cache
def many(kind: str, radius: float, n: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """Encodings of a shape at random places and angles.

    Args:
        kind: "disc", "ellipse" (2:1), "square" or "rod" (4:1).
        radius: Radius of the disc of the same area, in pixels.
        n: How many.
        seed: Of places and angles.
    """
    rng = np.random.default_rng(seed)
    side = 2 * math.ceil(2.5 * radius) + 6
    masks = []
    for _ in range(n):
        centre = tuple((side / 2 + rng.uniform(-0.5, 0.5, 2)).tolist())
        angle = float(rng.uniform(0, math.pi))
        sides = true_sides(kind, radius)
        if kind in ("disc", "ellipse"):
            masks.append(ellipse(sides[0] / 2, sides[1] / 2, angle, centre, side))
        else:
            masks.append(rod(*sides, angle, centre, side))
    return [geometry.encode_mask(mask) for mask in masks]


def true_sides(kind: str, radius: float) -> tuple[float, float]:
    """Length and width of the shape with the area of a disc of this radius, in pixels."""
    ratio = {"disc": 1, "ellipse": 2, "square": 1, "rod": 4}[kind]
    unit = 2 * radius if kind in ("disc", "ellipse") else math.sqrt(math.pi) * radius
    return unit * math.sqrt(ratio), unit / math.sqrt(ratio)


def true_feret(kind: str, radius: float) -> tuple[float, float]:
    """Largest and least Feret diameter of the shape, in pixels."""
    length, width = true_sides(kind, radius)
    longest = length if kind in ("disc", "ellipse") else math.hypot(length, width)
    return longest, width
