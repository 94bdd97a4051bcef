"""Quantities that need neighbouring pixels: perimeter, holes, inscribed circle, skeleton."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.runs import Floats, Runs
from analysis.measure.geometry.skeletons import distances, exact, skeleton_lengths
from analysis.measure.geometry.strips import Pixels, Strip, strips_of

_OUTSIDE: Final = 1
"""Label of the background around all masks: that of the first pixel; 0 is the masks."""

NAMES: Final = (
    "perimeter",
    "n_holes",
    "holes_area",
    "inscribed_diameter",
    "skeleton_length",
)


def raster_shapes(runs: Runs) -> dict[str, Floats]:
    """(M,) float64 values of `NAMES`, in pixels, of the masks that have pixels."""
    table = {name: np.zeros(len(runs.present)) for name in NAMES}
    for strip in strips_of(runs):
        distance = distances(strip.pixels)
        n_holes, holes_area = _holes(strip)
        inscribed = 2 * exact(strip.largest(distance))
        found = {
            "perimeter": strip.total(cv2.LUT(_quads(strip.pixels), _crofton_weights())),
            "n_holes": n_holes,
            "holes_area": holes_area,
            "inscribed_diameter": inscribed,
            "skeleton_length": np.maximum(skeleton_lengths(strip, distance), inscribed),
        }
        for name, values in found.items():
            table[name][strip.masks] = values
    return table


def _quads(pixels: Pixels) -> Pixels:
    """Of each pixel 1 if it is set, + 4 its left, + 2 its upper and + 8 its upper left neighbour.

    Left and up are meant in the picture, of which `pixels` is a turned part.
    """
    weights = np.array([[8, 4, 0], [2, 1, 0], [0, 0, 0]], np.float32)
    return np.asarray(cv2.filter2D(pixels, -1, weights, borderType=cv2.BORDER_CONSTANT), np.uint8)


@cache
def _crofton_weights() -> npt.NDArray[np.float32]:
    """(256,) float32, what each code of `_quads` adds to the perimeter, in pixels.

    Source: Crofton's formula with lines in four directions, as in Rivollier 2010 and in
    `skimage.measure.perimeter_crofton`: a pixel without its left neighbour is where a horizontal
    line enters the mask, and so on; the four directions are weighted by their spacing.
    """
    codes = np.arange(256)
    here, left, up, corner = ((codes & bit) > 0 for bit in (1, 4, 2, 8))
    straight = (here & ~left).astype(np.float64) + (here & ~up)
    slanted = (here & ~corner).astype(np.float64) + (up & ~left)
    weights = math.pi / 4 * (straight + slanted / math.sqrt(2))
    return weights.astype(np.float32)


def _holes(strip: Strip) -> tuple[Floats, Floats]:
    """Number and pixels of the holes of each mask: background that nothing joins to the rest."""
    n = len(strip.rows)
    n_labels, labels = cv2.connectedComponents(1 - strip.pixels, connectivity=8)
    if n_labels <= _OUTSIDE + 1:
        return np.zeros(n), np.zeros(n)
    places = np.flatnonzero(labels > _OUTSIDE)
    owner = strip.mask_at(places // labels.shape[1])
    first = np.unique(labels.reshape(-1)[places], return_index=True)[1]
    counts = np.bincount(owner[first], minlength=n).astype(np.float64)
    return counts, np.bincount(owner, minlength=n).astype(np.float64)
