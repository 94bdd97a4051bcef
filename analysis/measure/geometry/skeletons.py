"""Skeletons of masks, and how long they are."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.runs import Floats, Ints
from analysis.measure.geometry.strips import Pixels, Strip
from analysis.measure.geometry.thinning import thinned

_THICK_PX: Final = 24
"""Distance from the middle to the edge up to which masks are thinned as they are."""

_STEEPEST: Final = 0.4
"""Along a spur the distance to the edge rises by more than this a pixel."""

_FIRST_STEPS_PX: Final = 4
"""Steps are too uneven to judge a shorter walk."""

_STRAIGHT_PX, _SLANTED_PX, _BEND_PX = 0.980, 1.406, -0.091
"""Mean lengths that steps along a row or column, diagonal ones, and changes between them stand for.

Source: Vossepoel and Smeulders 1982, "Vector code probability and metrication error in the
representation of straight lines of finite length". (1 and sqrt(2) would be 5 % too much.)
"""


def skeleton_lengths(strip: Strip, distance: npt.NDArray[np.float32]) -> Floats:
    """(K,) lengths of the masks' skeletons, from edge to edge, in pixels.

    Masks of more than `_THICK_PX` are thinned on a grid of larger pixels, without details that are
    small against them: thinning takes a step for every pixel of thickness.

    Args:
        strip: The masks.
        distance: (L, h) float32, from each pixel's centre to that of the nearest background pixel.
    """
    scale = np.ceil(strip.largest(distance) / _THICK_PX).astype(np.int64)
    if (scale == 1).all():
        return _lengths(strip, distance)
    coarse = _coarsened(strip, scale)
    return scale * _lengths(coarse, distances(coarse.pixels))


def distances(pixels: Pixels) -> npt.NDArray[np.float32]:
    """(L, h) float32, from each pixel's centre to that of the nearest background pixel, in pixels.

    Source: Felzenszwalb and Huttenlocher 2012, "Distance transforms of sampled functions".
    """
    found = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)


def _coarsened(strip: Strip, scale: Ints) -> Strip:
    """The masks on grids of pixels `scale` (K,) times as large: set where at least half is."""
    ends = np.append(strip.rows[1:] - 1, len(strip.pixels) - 1)
    crops = [
        _shrunk(strip.pixels[row:end, 1:-1], times)
        for row, end, times in zip(strip.rows.tolist(), ends.tolist(), scale.tolist(), strict=True)
    ]
    lengths = np.array([len(crop) for crop in crops])
    rows = np.cumsum(lengths + 1) - lengths
    shape = (int(rows[-1] + lengths[-1] + 1), max(crop.shape[1] for crop in crops) + 2)
    pixels = np.zeros(shape, np.uint8)
    for row, crop in zip(rows.tolist(), crops, strict=True):
        pixels[row : row + len(crop), 1 : 1 + crop.shape[1]] = crop
    return Strip(strip.masks, rows, pixels)


def _shrunk(pixels: Pixels, times: int) -> Pixels:
    rows, columns = (-side % times for side in pixels.shape)
    whole = np.pad(pixels, ((0, rows), (0, columns)))
    blocks = whole.reshape(len(whole) // times, times, -1, times)
    shrunk: Pixels = (2 * blocks.sum(axis=(1, 3)) >= times**2).astype(np.uint8)
    return shrunk


def _lengths(strip: Strip, distance: npt.NDArray[np.float32]) -> Floats:
    skeleton = np.pad(thinned(strip.pixels), 1)
    far = np.pad(distance, 1)
    ends = _prune(skeleton, far)
    beyond = _end_counts()[_codes_at(skeleton, ends)] * exact(far.reshape(-1)[ends])
    of = strip.mask_at(ends // skeleton.shape[1] - 1)
    steps = strip.total(_steps(skeleton)[1:-1, 1:-1])
    return steps + np.bincount(of, beyond, minlength=len(strip.rows))


def exact(distance: npt.NDArray[Any]) -> Floats:
    """Distances between pixels, which OpenCV rounds, as roots of whole numbers."""
    roots: Floats = np.sqrt(np.rint(np.square(distance, dtype=np.float64)))
    return roots


_ROWS: Final = np.array([-1, 0, 1, 1, 1, 0, -1, -1])
_COLUMNS: Final = np.array([-1, -1, -1, 0, 1, 1, 1, 0])
"""Where in a strip the neighbours are that are bits 0 to 7 of a code: clockwise from the upper left
one in the picture."""

_NEAREST_FIRST: Final = np.array([1, 2] * 4, np.uint8)
"""Of neighbours in that order those in the same row or column come first."""


def _neighbours() -> Pixels:
    """(256, 8) uint8 of 0 and 1, the neighbours of each code, clockwise from the upper left one."""
    bits: Pixels = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.uint8)
    return bits


@cache
def _end_counts() -> Pixels:
    """(256,) uint8, how many ends of a skeleton a pixel with these neighbours is: 2 if alone."""
    bits = _neighbours()
    n_set = bits.sum(axis=1)
    beside = (bits & np.roll(bits, 1, axis=1)).sum(axis=1)
    ends = (n_set == 1) | ((n_set == 2) & (beside == 1))
    return np.where(n_set == 0, 2, ends).astype(np.uint8)


def _prune(skeleton: Pixels, far: npt.NDArray[np.float32]) -> Ints:
    """Take the spurs into corners off a skeleton; returns the flat places of its ends.

    Args:
        skeleton: (L, h) uint8 of 0 and 1 with an empty frame; changed.
        far: (L, h) float32, distance of each pixel to the edge.
    """
    flat = skeleton.reshape(-1)
    places = np.flatnonzero(flat)
    ends = places[_end_counts()[_codes_at(skeleton, places)] > 0]
    n_before = -1
    while len(places) != n_before:
        n_before = len(places)
        flat[_spurs(skeleton, far, ends)] = 0
        places = places[flat[places] > 0]
        ends = places[_end_counts()[_codes_at(skeleton, places)] > 0]
    return ends


def _spurs(skeleton: Pixels, far: npt.NDArray[np.float32], tips: Ints) -> Ints:
    """Flat places of branches along which the distance to the edge falls steadily to their tips.

    One walks from every tip as long as the distance rises steeply. Whoever comes to a fork has
    walked along a spur; along the middle of a band, or of an ellipse, nobody comes far.
    """
    left, height = skeleton.reshape(-1).copy(), far.reshape(-1)
    walkers, at, length = np.arange(len(tips)), tips, np.zeros(len(tips))
    is_spur, trail = np.zeros(len(tips), bool), []
    while len(walkers):
        left[at] = 0
        trail.append((walkers, at))
        around = at[:, None] + _offsets(skeleton)
        step = (left[around] * _NEAREST_FIRST).argmax(axis=1)
        at = around[np.arange(len(at)), step]
        length = length + np.where(_NEAREST_FIRST[step] > 1, 1.0, 2**0.5)
        rise = height[at] - height[tips[walkers]]
        steep = rise > _STEEPEST * length
        fork = left[at[:, None] + _offsets(skeleton)].sum(axis=1) > 1
        is_spur[walkers[fork & steep & (left[at] > 0)]] = True
        goes_on = (left[at] > 0) & ~fork & (steep | (length < _FIRST_STEPS_PX))
        walkers, at, length = walkers[goes_on], at[goes_on], length[goes_on]
    spurs = [place[is_spur[walker]] for walker, place in trail]
    return np.concatenate([np.zeros(0, np.int64), *spurs])


def _codes_at(skeleton: Pixels, places: Ints) -> Ints:
    """Code of the neighbours at each flat place of a skeleton with an empty frame."""
    around = skeleton.reshape(-1)[places[:, None] + _offsets(skeleton)].astype(np.int64)
    codes: Ints = around @ (1 << np.arange(8))
    return codes


def _offsets(skeleton: Pixels) -> Ints:
    """(8,) steps to the neighbours in the flat picture, in the order of the bits of their code."""
    offsets: Ints = _ROWS * skeleton.shape[1] + _COLUMNS
    return offsets


def _steps(skeleton: Pixels) -> npt.NDArray[np.float32]:
    """(L, h) float32, half the length of the steps from each pixel of a skeleton to its neighbours.

    Args:
        skeleton: (L, h) uint8 of 0 and 1 with an empty frame.
    """
    lengths = np.zeros(skeleton.shape, np.float32)
    here = skeleton[1:-1, 1:-1]
    up, down = skeleton[:-2, 1:-1], skeleton[2:, 1:-1]
    left, right = skeleton[1:-1, :-2], skeleton[1:-1, 2:]
    straight = (up + down + left + right) * here
    slanted = (
        skeleton[:-2, :-2] * (1 - (up | left))
        + skeleton[:-2, 2:] * (1 - (up | right))
        + skeleton[2:, :-2] * (1 - (down | left))
        + skeleton[2:, 2:] * (1 - (down | right))
    ) * here
    bends = (straight == 1) & (slanted == 1)
    weights = np.array([_STRAIGHT_PX / 2, _SLANTED_PX / 2, _BEND_PX], np.float32)
    lengths[1:-1, 1:-1] = straight * weights[0] + slanted * weights[1] + bends * weights[2]
    return lengths
