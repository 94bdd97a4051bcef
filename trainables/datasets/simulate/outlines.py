"""Outlines of masks along the pixels' edges, which give back exactly the mask they came from.

Corners of pixels have whole coordinates, as in `trainables.datasets.geometry`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Point = tuple[int, int]

Loop = list[Point]


class Part(NamedTuple):
    """One connected piece of a mask.

    Attributes:
        outer: Corners x, y of its outer outline, clockwise on the screen.
        holes: Outlines of its holes, counter-clockwise.
    """

    outer: Loop
    holes: list[Loop]


def parts(mask: npt.NDArray[np.bool_], left: int = 0, top: int = 0) -> list[Part]:
    """Pieces of a mask, largest outline first.

    Pixels that share only a corner belong to different pieces.

    Args:
        mask: (rows, columns).
        left: Column of the mask's first column in the picture.
        top: Row of its first row.
    """
    labels, n = ndimage.label(mask)
    found = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels, n), start=1):
        loops = _loops(labels[rows, columns] == label)
        moved = [[(x + columns.start + left, y + rows.start + top) for x, y in o] for o in loops]
        outer, *holes = sorted(moved, key=_area, reverse=True)
        found.append(Part(outer, holes))
    return sorted(found, key=lambda part: _area(part.outer), reverse=True)


def joined(pieces: Sequence[Part]) -> Loop:
    """One polygon of all outlines, joined by cuts of no width, there and back."""
    result, *others = [loop for part in pieces for loop in (part.outer, *part.holes)]
    for loop in others:
        distance = np.abs(np.array(result)[:, None] - np.array(loop)[None]).sum(axis=2)
        here, there = (int(index) for index in np.unravel_index(distance.argmin(), distance.shape))
        detour = loop[there:] + loop[: there + 1]
        result = result[: here + 1] + detour + result[here:]
    return result


def _loops(mask: npt.NDArray[np.bool_]) -> list[Loop]:
    """Closed outlines: outer ones with positive area, holes with negative (see `_area`)."""
    steps = _steps(mask)
    loops = []
    for start in list(steps):
        while steps[start]:
            loops.append(_walk(steps, start, steps[start][0]))
    return loops


def _walk(steps: dict[Point, list[Point]], start: Point, first: Point) -> Loop:
    """Follow the edges from one of them until it comes round again; they are taken out."""
    loop: Loop = []
    point, step, came = start, first, (0, 0)
    while True:
        if step != came:
            loop.append(point)
        came, point = step, (point[0] + step[0], point[1] + step[1])
        turns = ((-came[1], came[0]), came, (came[1], -came[0]))  # right first: stay at the pixel
        step = next(turn for turn in turns if turn in steps[point])
        steps[point].remove(step)
        if (point, step) == (start, first):
            return loop[1:] if came == first else loop


def _steps(mask: npt.NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Pixel edges between in and out by starting point, as steps with the inside on the right."""
    padded = np.pad(mask, 1)
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    found: dict[Point, list[Point]] = defaultdict(list)
    for neighbour, (x0, y0), step in sides:
        for y, x in np.argwhere(mask & ~neighbour).tolist():
            found[x + x0, y + y0].append(step)
    return found


def _area(loop: Loop) -> float:
    """Shoelace formula, positive for clockwise on the screen."""
    x, y = np.array(loop).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
