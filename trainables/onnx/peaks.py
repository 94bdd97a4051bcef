"""Particles of a map of probabilities: one pick a peak, with its confidence.

A threshold and connected regions would make one pick of two touching particles. Here the map is
smoothed by a Gaussian of a third of the radius, which leaves each disc one peak in its middle,
also where discs touch, and each local maximum is a pick. Of maxima nearer than the least distance
the more confident one stays.
"""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from trainables.datasets import geometry
from trainables.metrics.particles import MIN_CONFIDENCE
from trainables.results import Instances, Picks

Map = npt.NDArray[np.float32]

Floats = npt.NDArray[np.float64]

_SMOOTHING: Final = 1 / 3  # standard deviation in radii: 99 % of the weight lies in the disc


def pick_particles(
    probability: Map,
    radius_px: float,
    *,
    min_distance_px: float | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> Picks:
    """Find the particles of a micrograph, most confident first.

    Args:
        probability: (H, W) float32 in [0, 1], probability that a pixel belongs to a particle.
        radius_px: Radius of a particle as the network draws it: where it learned discs of 0.6 of a
            particle's radius, that much.
        min_distance_px: Least distance of two particles' centres; by default the radius.
        min_confidence: Least confidence of a pick. The confidence is the weighted mean of the
            probability around the pick, of what lies in the picture.

    Raises:
        ValueError: The radius or the distance is not above 0, or the map has no two axes.
    """
    distance = radius_px if min_distance_px is None else min_distance_px
    if probability.ndim != 2 or not (radius_px > 0 and distance > 0):
        raise ValueError(
            f"expected a map (H, W), a radius and a least distance above 0, got "
            f"{probability.shape}, {radius_px} and {distance}"
        )
    smoothed = _smoothed(probability, _SMOOTHING * radius_px)
    tops = _maxima(smoothed, distance)
    scores = _confidence(smoothed, tops, _SMOOTHING * radius_px)
    best_first = np.argsort(-scores, kind="stable")
    order = best_first[scores[best_first] >= min_confidence]
    found = Picks(tops[order, ::-1] + 0.5, scores[order])  # from the index of a pixel to its middle
    return found.apart(distance)


def discs(picks: Picks, radius_px: float, category: int, size: tuple[int, ...]) -> Instances:
    """Picks as instances: each a disc of one radius.

    Args:
        picks: Particles of a picture.
        radius_px: Radius of the discs.
        category: Class of all of them, 0-based.
        size: Height and width of the picture.
    """
    height, width = size
    masks: list[dict[str, Any]] = [
        geometry.disc(x, y, radius_px, width, height) for x, y in picks.centers.tolist()
    ]
    boxes = [(x, y, x + w, y + h) for x, y, w, h in map(geometry.box, masks)]
    return Instances(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=picks.scores.astype(np.float32),
        classes=np.full(len(picks), category, np.int64),
        masks=masks,
    )


def _smoothed(values: Map, sigma: float) -> Map:
    """Smooth a map as if all around it were 0, so that no peak moves beyond its edge."""
    blurred = cv2.GaussianBlur(
        np.ascontiguousarray(values, dtype=np.float32),
        (0, 0),
        sigma,
        borderType=cv2.BORDER_CONSTANT,
    )
    return np.asarray(blurred, dtype=np.float32)


def _confidence(smoothed: Map, tops: Floats, sigma: float) -> Floats:
    """Confidence of peaks: their height, by the share of the weights that is in the picture."""
    rows, columns = np.rint(tops).astype(np.intp).T
    inside = [ndimage.gaussian_filter1d(np.ones(n), sigma, mode="constant") for n in smoothed.shape]
    share = inside[0][rows] * inside[1][columns]
    return np.asarray(np.clip(smoothed[rows, columns] / share, 0, 1), dtype=np.float64)


def _maxima(smoothed: Map, distance: float) -> Floats:
    """Find local maxima above 0, (N, 2) row and column; a level top is one, in its middle."""
    side = 2 * max(int(distance / 2), 1) + 1
    around = np.ones((side, side), np.uint8)
    is_top = (smoothed >= cv2.dilate(smoothed, around)) & (smoothed > 0)
    labels, n = ndimage.label(is_top, structure=np.ones((3, 3)))
    places = np.argwhere(is_top)
    number = labels[is_top] - 1
    size = np.bincount(number, minlength=n)
    middles = np.stack([np.bincount(number, axis, n) / size for axis in places.T], axis=1)
    alone = size == 1
    middles[alone] += _between_pixels(smoothed, middles[alone].astype(np.intp))
    return np.asarray(np.clip(middles, 0, np.array(smoothed.shape) - 1))


def _between_pixels(smoothed: Map, tops: npt.NDArray[np.intp]) -> Floats:
    """Offset (N, 2) of the top of a parabola through a maximum and its neighbours, within 1/2."""
    last = np.array(smoothed.shape) - 1
    shifts = []
    for step in (np.array([1, 0]), np.array([0, 1])):
        near = [np.clip(tops + k * step, 0, last) for k in (-1, 0, 1)]
        before, top, after = (smoothed[at[:, 0], at[:, 1]].astype(np.float64) for at in near)
        bend = before - 2 * top + after
        slope = (before - after) / 2
        shifts.append(np.divide(slope, bend, out=np.zeros(len(tops)), where=bend < 0))
    return np.asarray(np.clip(np.stack(shifts, axis=1), -0.5, 0.5))
