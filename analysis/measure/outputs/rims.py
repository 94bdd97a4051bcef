"""Outlines of masks along the edges of their pixels: filled again, they are the same masks.

A vertex is the corner of a pixel, (0, 0) the upper left corner of the picture's first one. ImageJ's
traced regions are such outlines. Pixels that touch at a corner alone are apart, as in a mask's
holes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry

Rim = npt.NDArray[np.int64]
"""(N, 2) x y of the corners of a closed outline."""

_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])  # right, down, left, up


def rims(rle: Mapping[str, Any]) -> tuple[list[Rim], list[Rim]]:
    """Outlines of a mask's parts and of its holes.

    Args:
        rle: Run-length encoding of the mask.

    Returns:
        Outlines of the parts, clockwise on the screen, and of the holes, the other way round; all
        in pixels of the picture.
    """
    mask, origin = geometry.crop(dict(rle))
    if not mask.any():
        return [], []
    closed = [_straight(rim) + np.array(origin) for rim in _closed(np.pad(mask != 0, 1))]
    outer = [rim for rim in closed if _area(rim) > 0]
    holes = [rim for rim in closed if _area(rim) < 0]
    return outer, holes


def _closed(framed: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Every closed way along the edges of a mask that has a frame of background.

    Each edge has a direction, with the mask on its right. Where two ways cross at a corner, one
    turns right, so that what touches there stays apart.
    """
    leaving: dict[tuple[int, int], list[int]] = {}
    for direction, (rows, columns) in enumerate(_edges(framed)):
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
            leaving.setdefault((x, y), []).append(direction)
    found = []
    while leaving:
        start = next(iter(leaving))
        way, place, came = [start], start, None
        while True:
            direction = _next(leaving, place, came)
            dx, dy = _STEPS[direction]
            place, came = (place[0] + int(dx), place[1] + int(dy)), direction
            if place == start and _is_closed(leaving, start, direction):
                break
            way.append(place)
        found.append(np.array(way) - 1)
    return found


def _edges(
    framed: npt.NDArray[np.bool_],
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Rows and columns of the corners where edges begin, for each of the four directions."""
    inner = framed[1:-1, 1:-1]
    top = np.nonzero(inner & ~framed[:-2, 1:-1])
    right = np.nonzero(inner & ~framed[1:-1, 2:])
    bottom = np.nonzero(inner & ~framed[2:, 1:-1])
    left = np.nonzero(inner & ~framed[1:-1, :-2])
    starts = ((0, 0), (0, 1), (1, 1), (1, 0))  # of an upper edge the left corner, and so on
    return [
        (rows + 1 + down, columns + 1 + across)
        for (rows, columns), (down, across) in zip((top, right, bottom, left), starts, strict=True)
    ]


def _next(
    leaving: dict[tuple[int, int], list[int]], place: tuple[int, int], came: int | None
) -> int:
    """The edge to follow from a corner; it is taken out of those that are left."""
    ways = leaving[place]
    direction = ways[0] if came is None or (came + 1) % 4 not in ways else (came + 1) % 4
    ways.remove(direction)
    if not ways:
        del leaving[place]
    return direction


def _is_closed(
    leaving: dict[tuple[int, int], list[int]], start: tuple[int, int], came: int
) -> bool:
    """Whether a way that is back at its beginning ends there, and does not cross itself."""
    return (came + 1) % 4 not in leaving.get(start, [])


def _straight(way: npt.NDArray[np.int64]) -> Rim:
    """A way without the corners at which it goes straight on."""
    before, after = way - np.roll(way, 1, axis=0), np.roll(way, -1, axis=0) - way
    return np.asarray(way[(before != after).any(axis=1)])


def _area(rim: Rim) -> float:
    """Area inside an outline, positive where it runs clockwise on the screen."""
    x, y = rim.T.astype(np.float64)
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
