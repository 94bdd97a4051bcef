"""Particles on the seams of windows: each found once, with its whole area.

Neighbouring windows show the same pixels where they overlap. Two instances of two windows are the
same particle if they agree there, one to one: each is taken for at most one of the other window, so
that touching neighbours and a small particle on a big one stay apart. Of the instances of one
particle a whole one wins; where all are cut by inner edges of their windows, each pixel is taken
from the window that shows the most around it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.finding.overlaps import Floats, Overlaps, overlaps
from analysis.finding.pool import Bools, Pool, pool_of, together
from analysis.finding.windows import Window
from trainables.datasets import geometry

AGREEMENT: Final = 0.35
"""Least intersection over union, where two windows overlap, of two views of one particle."""

EDGE_PX: Final = 3
"""Distance from an inner edge below which an instance counts as cut by it."""

_LEAST_SHARED: Final = 4
"""Pixels that two cut instances must share at least, in squares of the distance from an edge: of a
few pixels agreement says nothing."""

_MOVED_PX: Final = 2
"""Most pixels, across and down, by which a part is moved to fit to another one."""

_STEPS: Final = range(-_MOVED_PX, _MOVED_PX + 1)

_MOVES: Final = sorted(product(_STEPS, _STEPS), key=lambda move: (math.hypot(*move), move))
"""All moves, down and across, the least first."""


@dataclass(frozen=True)
class Tiling:
    """Windows that cover a region, and how exactly outlines are known in them.

    Attributes:
        windows: The windows.
        region: Rectangle that they cover; its borders cut nothing.
        edge_px: Distance from an inner edge below which an instance counts as cut by it.
    """

    windows: Sequence[Window]
    region: Window
    edge_px: float = EDGE_PX


def join(pool: Pool, tiling: Tiling) -> Pool:
    """Join what was found in overlapping windows.

    An instance that is cut by its window, though another window shows all of its pixels and what
    lies beyond the cut, is left to the other window: where that one found no such particle, there
    is none.

    Args:
        pool: Instances in pixels of the picture; their sources are indices of windows.
        tiling: The windows.

    Returns:
        The particles, each once; `cut` are those of which only a part was seen.
    """
    if len(tiling.windows) < 2 or not len(pool):
        return pool
    cut = _cut(pool, tiling)
    groups = _groups(pool, tiling, cut)
    rank = np.empty(len(pool), np.int64)
    rank[pool.ranked()] = np.arange(len(pool))
    alone: list[int] = []
    merged: list[Pool] = []
    for group in groups:
        members = sorted(group, key=rank.__getitem__)
        complete = [i for i in members if not cut[i]]
        if complete:
            alone.append(complete[0])
        elif len(members) > 1:
            merged.append(_merged(pool, members, tiling))
        elif not _seen_better(pool, members[0], tiling):
            alone.append(members[0])
    kept = np.array(alone, np.int64)
    lone = replace(pool.take(kept), cut=cut[kept])
    return together([lone, *merged])


def _cut(pool: Pool, tiling: Tiling) -> Bools:
    """Whether each instance touches an inner edge of its window."""
    frames = np.array([_inner(window, tiling) for window in tiling.windows])[pool.sources]
    low = pool.boxes[:, :2] < frames[:, :2]
    high = pool.boxes[:, 2:] > frames[:, 2:]
    return np.asarray((low | high).any(axis=1))


def _inner(window: Window, tiling: Tiling) -> list[float]:
    """The rectangle in which an instance is whole; without end at the region's borders."""
    region, edge = tiling.region, tiling.edge_px
    low = [
        at + edge if at > first else -np.inf
        for at, first in zip(window[:2], region[:2], strict=True)
    ]
    high = [
        at - edge if at < end else np.inf for at, end in zip(window[2:], region[2:], strict=True)
    ]
    return [*low, *high]


def _seen_better(pool: Pool, index: int, tiling: Tiling) -> bool:
    """Whether another window shows all of a cut instance, away from its own inner edges."""
    box = pool.boxes[index]
    for number, window in enumerate(tiling.windows):
        if number == pool.sources[index]:
            continue
        x1, y1, x2, y2 = _inner(window, tiling)
        inside = box[0] >= max(x1, window.left) and box[1] >= max(y1, window.top)
        if inside and box[2] <= min(x2, window.right) and box[3] <= min(y2, window.bottom):
            return True
    return False


# --- which instances are one particle


def _groups(pool: Pool, tiling: Tiling, cut: Bools) -> list[list[int]]:
    """The instances of each particle, at most one of a window."""
    groups: dict[int, list[int]] = {i: [i] for i in range(len(pool))}
    group_of = list(range(len(pool)))
    taken: set[tuple[int, int]] = set()
    for one, other in _links(pool, tiling, cut):
        source, its = int(pool.sources[one]), int(pool.sources[other])
        if (one, its) in taken or (other, source) in taken:
            continue
        a, b = group_of[one], group_of[other]
        if a != b and _same_window(pool, groups[a], groups[b]):
            continue
        taken |= {(one, its), (other, source)}
        if a != b:
            groups[a] += groups.pop(b)
            for member in groups[a]:
                group_of[member] = a
    return list(groups.values())


def _same_window(pool: Pool, one: list[int], other: list[int]) -> bool:
    return not set(pool.sources[one].tolist()).isdisjoint(pool.sources[other].tolist())


def _links(pool: Pool, tiling: Tiling, cut: Bools) -> list[tuple[int, int]]:
    """Pairs of instances that may be one particle: of one class first, the best agreement first."""
    pairs = overlaps(pool.boxes, pool.masks)
    apart = pool.sources[pairs.first] != pool.sources[pairs.second]
    pairs = Overlaps(pairs.first[apart], pairs.second[apart], pairs.iou[apart])
    agreement = _agreement(pool, tiling, cut, pairs)
    rank = np.empty(len(pool), np.int64)
    rank[pool.ranked()] = np.arange(len(pool))
    best, worst = np.sort(np.stack([rank[pairs.first], rank[pairs.second]]), axis=0)
    unlike = pool.classes[pairs.first] != pool.classes[pairs.second]
    order = np.lexsort([worst, best, -agreement, unlike])
    order = order[agreement[order] >= AGREEMENT]
    return list(zip(pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True))


def _agreement(pool: Pool, tiling: Tiling, cut: Bools, pairs: Overlaps) -> Floats:
    """Intersection over union of each pair where its two windows overlap."""
    shared = pairs.shared(pool.areas)
    found = np.array(pairs.iou)
    windows, least = tiling.windows, _LEAST_SHARED * tiling.edge_px**2
    for i, (one, other) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        both = windows[pool.sources[one]].meets(windows[pool.sources[other]])
        a, b = _area_in(pool, int(one), both), _area_in(pool, int(other), both)
        found[i] = shared[i] / max(a + b - shared[i], 1)
        if cut[one] and cut[other] and shared[i] < least:
            found[i] = 0
    return found


def _area_in(pool: Pool, index: int, part: Window) -> float:
    """Pixels of an instance inside a rectangle."""
    x1, y1, x2, y2 = pool.boxes[index]
    if x1 >= part.left and y1 >= part.top and x2 <= part.right and y2 <= part.bottom:
        return float(pool.areas[index])
    if pool.masks is None:
        width = max(0.0, min(x2, part.right) - max(x1, part.left))
        return float(width * max(0.0, min(y2, part.bottom) - max(y1, part.top)))
    crop, (x, y) = geometry.crop(dict(pool.masks[index]))
    rows = slice(max(0, part.top - y), max(0, part.bottom - y))
    return float(crop[rows, max(0, part.left - x) : max(0, part.right - x)].sum())


# --- a particle that no window shows whole


def _merged(pool: Pool, members: list[int], tiling: Tiling) -> Pool:
    """One instance from its parts: score and class of the best, pixels of whoever sees them best.

    Args:
        pool: The instances.
        members: Indices of the parts, best first.
        tiling: The windows.
    """
    first = np.array(members[:1])
    low, high = pool.boxes[members, :2].min(axis=0), pool.boxes[members, 2:].max(axis=0)
    score, one = pool.scores[first], pool.classes[first]
    if pool.masks is None:
        return pool_of(np.concatenate([low, high])[None], score, one, None)
    left, top = (np.floor(low).astype(int) - _MOVED_PX).tolist()
    right, bottom = (np.ceil(high).astype(int) + _MOVED_PX).tolist()
    frame = Window(left, top, right, bottom).meets(tiling.region)
    deepest = np.full((frame.height, frame.width), -np.inf, np.float32)
    mask = np.zeros(deepest.shape, np.uint8)
    for i in members:
        depth = _depth(tiling.windows[pool.sources[i]], tiling.region, frame)
        both = np.minimum(depth, deepest) >= _MOVED_PX
        part = _aligned(_in_frame(dict(pool.masks[i]), frame), mask, both)
        better = depth > deepest
        mask[better] = part[better]
        deepest[better] = depth[better]
    height, width = pool.masks[members[0]]["size"]
    rle = geometry.encode_crop(mask, (frame.left, frame.top), height, width)
    return pool_of(np.zeros((1, 4)), score, one, (rle,))


def _aligned(
    part: npt.NDArray[np.uint8], known: npt.NDArray[np.uint8], both: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """A part moved by whole pixels to where it agrees with what is known, if that explains much.

    Two windows may show a particle a pixel apart; put together as they are, its parts would be so
    much longer or shorter than the particle.

    Args:
        part: (h, w) mask of the part, 0 or 1.
        known: (h, w) mask so far.
        both: (h, w) where either is known, however it is moved.

    Returns:
        The part, moved where that at least halves the number of pixels that differ.
    """
    rows, columns = np.flatnonzero(both.any(axis=1)), np.flatnonzero(both.any(axis=0))
    if not len(rows):
        return part
    top, left = int(rows[0]), int(columns[0])
    here = slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1)
    padded = np.pad(part, _MOVED_PX, mode="edge")  # beyond the picture's border it goes on
    height, width = part.shape

    def differing(move: tuple[int, int]) -> int:
        """Number of pixels, known to both, that differ after a move by so many rows and columns."""
        down, across = move[0] + _MOVED_PX, move[1] + _MOVED_PX
        moved = padded[down : down + height, across : across + width]
        return int(((moved[here] != known[here]) & both[here]).sum())

    before = differing((0, 0))
    move = min(_MOVES, key=differing)  # the first of equal ones: the least move
    if 2 * differing(move) > before:
        return part
    down, across = move[0] + _MOVED_PX, move[1] + _MOVED_PX
    return padded[down : down + height, across : across + width]


def _depth(window: Window, region: Window, frame: Window) -> npt.NDArray[np.float32]:
    """Distance of a frame's pixels from the window's nearest inner edge; below 0 outside of it."""
    sides = []
    for axis in (0, 1):
        at = np.arange(frame[axis], frame[axis + 2], dtype=np.float32) + 0.5
        low, high = at - window[axis], window[axis + 2] - at
        inside = (low > 0) & (high > 0)
        low[:] = low if window[axis] > region[axis] else np.float32(1e9)
        high[:] = high if window[axis + 2] < region[axis + 2] else np.float32(1e9)
        sides.append(np.where(inside, np.minimum(low, high), -np.inf))
    across, down = sides
    return np.minimum(down[:, None], across[None, :]).astype(np.float32)


def _in_frame(rle: geometry.Rle, frame: Window) -> npt.NDArray[np.uint8]:
    """A mask's pixels in a frame that holds it."""
    crop, (x, y) = geometry.crop(rle)
    pixels = np.zeros((frame.height, frame.width), np.uint8)
    top, left = y - frame.top, x - frame.left
    pixels[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return pixels
