"""Outlines of masks along the edges of their pixels: filled again, they are the same masks.

A vertex is the corner of a pixel, (0, 0) the upper left corner of the picture's first one. ImageJ's
traced regions are such outlines. Pixels that touch at a corner alone are apart, as in a mask's
holes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.runs import Ints, Runs
from analysis.measure.geometry.strips import Pixels, strips_of

Rim = npt.NDArray[np.int64]
"""(N, 2) x y of the corners of a closed outline."""

Rims = tuple[list[Rim], list[Rim]]
"""Outlines of a mask's parts, clockwise on the screen, and of its holes, the other way round."""

_STEPS: Final = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""Steps x y along an edge: right, down, left, up."""


def rims(runs: Runs) -> list[Rims]:
    """The outlines of each mask of a picture, in pixels of the picture; none of an empty one.

    Args:
        runs: The masks.
    """
    found: list[Rims] = [([], []) for _ in range(runs.n_masks)]
    for strip in strips_of(runs):
        edges = _edges(strip.pixels)
        order, lengths = _ways(edges)
        mask = strip.mask_at(edges.column[order])
        shift = runs.boxes[strip.masks, :2] - np.stack([strip.rows, np.ones_like(strip.rows)], 1)
        corners = edges.begin[order] + shift[mask]
        ends = np.cumsum(lengths)
        areas = np.add.reduceat(_doubled_areas(corners, ends - lengths, ends), ends - lengths)
        owners = runs.present[strip.masks[mask[ends - 1]]].tolist()
        turns = edges.turns[order]
        kept, bounds = corners[turns], [0, *np.cumsum(turns)[ends - 1].tolist()]
        for owner, area, (a, b) in zip(owners, areas.tolist(), pairwise(bounds), strict=True):
            found[owner][0 if area > 0 else 1].append(kept[a:b])
    return found


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges between pixels of masks and others; each has a mask on its right.

    Attributes:
        begin: (E, 2) x y of the corner where each begins, in the strip.
        column: (E,) column of its pixel, which is a row of the strip.
        after: (E,) the edge that follows each.
        turns: (E,) whether it has another direction than the one before.
    """

    begin: Ints
    column: Ints
    after: Ints
    turns: npt.NDArray[np.bool_]


def _edges(pixels: Pixels) -> _Edges:
    """The edges of a strip's masks.

    Where two outlines cross at a corner, each turns right, so that what touches there stays apart.

    Args:
        pixels: (L, h) uint8 of 0 and 1 with a frame of background, a turned part of the picture.
    """
    ink = pixels > 0
    here = ink[1:-1, 1:-1]
    free = (ink[1:-1, :-2], ink[2:, 1:-1], ink[1:-1, 2:], ink[:-2, 1:-1])
    places = [np.nonzero(here & ~other) for other in free]  # above, right, below, left of a pixel
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))  # of an upper edge it begins at the left, and so on
    columns = [x + 1 for x, _ in places]
    begin = np.concatenate(
        [
            np.stack([x + 1 + dx, y + 1 + dy], axis=1)
            for (x, y), (dx, dy) in zip(places, corners, strict=True)
        ]
    )
    direction = np.repeat(np.arange(4), [len(column) for column in columns])
    across = pixels.shape[1] + 1
    at = begin[:, 0] * across + begin[:, 1]
    known, number = np.unique(at, return_inverse=True)  # corners; every way ends where one begins
    edge_at = np.full((len(known), 4), -1, np.int64)
    edge_at[number, direction] = np.arange(len(at))
    end = np.searchsorted(known, at + (_STEPS @ (across, 1))[direction])
    after = np.full(len(at), -1, np.int64)
    for turn in (3, 0, 1):  # the last one that is there holds: right, straight on, left
        following = edge_at[end, (direction + turn) % 4]
        after = np.where(following >= 0, following, after)
    turns = np.zeros(len(at), np.bool_)
    turns[after] = direction[after] != direction
    return _Edges(begin, np.concatenate(columns), after, turns)


def _ways(edges: _Edges) -> tuple[Ints, Ints]:
    """All edges in the order in which they follow each other, and the length of each closed way."""
    after = edges.after.tolist()
    left = [True] * len(after)
    order: list[int] = []
    lengths: list[int] = []
    for start in range(len(after)):
        if not left[start]:
            continue
        before, edge = len(order), start
        while left[edge]:
            left[edge] = False
            order.append(edge)
            edge = after[edge]
        lengths.append(len(order) - before)
    return np.array(order, np.int64), np.array(lengths, np.int64)


def _doubled_areas(corners: Ints, begins: Ints, ends: Ints) -> Ints:
    """(E,) what each edge adds to twice the area inside its way, clockwise on the screen."""
    following = np.arange(len(corners)) + 1
    following[ends - 1] = begins
    x, y = corners.T
    return np.asarray(x * y[following] - y * x[following])
