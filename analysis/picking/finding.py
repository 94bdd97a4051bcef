"""The particles that a model finds in one micrograph, and their pixels.

A model that draws a map of probabilities is asked for the map and picks from it; a micrograph of
more than `WINDOW_PX` a side is mapped in overlapping windows, so that memory does not grow with it.
Any other model is asked for its instances: a particle's place is the centroid of its mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from analysis.scale.region import region_mask
from analysis.scale.scale import Area
from trainables.contract import Picker, Predictor
from trainables.datasets import geometry
from trainables.datasets.views.tiles import grid
from trainables.metrics.particles import MIN_CONFIDENCE
from trainables.results import Instances, Picks

WINDOW_PX: Final = 6144

MARGIN_PX: Final = 256
"""What a network sees beyond a pixel, and a particle's radius, both lie within it."""

MASKED: Final = 255

Pixels = npt.NDArray[np.uint8]

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """The confidence and the distance that picks must have.

    Attributes:
        confidence: Lowest confidence of a pick that is wanted.
        min_distance_px: Least distance of two picks; None for the model's own.
    """

    confidence: float
    min_distance_px: float | None = None


@dataclass(frozen=True)
class FoundParticles:
    """The particles of a micrograph, and their pixels.

    Attributes:
        picks: Picks, the most confident first.
        mask: (H, W) uint8, `MASKED` where a particle is, else 0: where the map is at least the
            confidence, or in an instance that counts.
        radius_px: Radius of a particle; of instances the median, 0 where there are none.
    """

    picks: Picks
    mask: Pixels
    radius_px: float


class Span(NamedTuple):
    """A stretch of a picture's side that is mapped at once.

    Attributes:
        window: Pixels that are mapped.
        core: Pixels whose map is kept: neighbouring windows see the rest better.
    """

    window: slice
    core: slice

    @property
    def inner(self) -> slice:
        """The core, counted from the window's first pixel."""
        return slice(self.core.start - self.window.start, self.core.stop - self.window.start)


def find_particles(
    predictor: Predictor, pixels: Pixels, asked: Asked, probability: Map | None = None
) -> FoundParticles:
    """The particles of a micrograph.

    Args:
        predictor: A `Picker`, or a model that finds instances.
        pixels: (H, W) grey or (H, W, 3) RGB, uint8.
        asked: Confidence and distance that picks must have.
        probability: (H, W) float32, to be filled with the map of a `Picker`.
    """
    if isinstance(predictor, Picker):
        return _mapped(predictor, pixels, asked, probability)
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    (instances,) = predictor([rgb])
    return _of_instances(instances, asked, pixels.shape[:2])


def find_in_areas(
    predictor: Predictor,
    pixels: Pixels,
    asked: Asked,
    areas: Sequence[Area],
    probability: Map | None = None,
) -> FoundParticles:
    """The particles in a part of a micrograph; the model sees no more than the rectangle around it.

    Args:
        predictor: A `Picker`, or a model that finds instances.
        pixels: (H, W) grey or (H, W, 3) RGB, uint8.
        asked: Confidence and distance that picks must have.
        areas: Rectangles that show the specimen, as `analysed_region` gives them.
        probability: (H, W) float32, zeros, to be filled with the map of a `Picker` there.
    """
    height, width = pixels.shape[:2]
    if list(areas) == [Area(0, 0, width, height)]:
        return find_particles(predictor, pixels, asked, probability)
    left, top = min(area.x for area in areas), min(area.y for area in areas)
    columns = slice(left, max(area.x + area.width for area in areas))
    rows = slice(top, max(area.y + area.height for area in areas))
    part = np.ascontiguousarray(pixels[rows, columns])
    map_ = None if probability is None else probability[rows, columns]
    found = find_particles(predictor, part, asked, map_)
    shown = region_mask(areas, (height, width))
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = found.mask
    mask[~shown] = 0
    if probability is not None:
        probability[~shown] = 0
    centers = found.picks.centers + np.array([left, top])
    x, y = np.clip(centers.astype(int), 0, (width - 1, height - 1)).T
    kept = shown[y, x]
    return FoundParticles(Picks(centers[kept], found.picks.scores[kept]), mask, found.radius_px)


def spans(side: int, window: int = WINDOW_PX, margin: int = MARGIN_PX) -> list[Span]:
    """Overlapping parts of a side; their cores cover it once.

    >>> [(s.window.start, s.window.stop, s.core.start, s.core.stop) for s in spans(25, 10, 2)]
    [(0, 10, 0, 8), (6, 16, 8, 14), (12, 22, 14, 18), (15, 25, 18, 25)]
    """
    if side <= window:
        return [Span(slice(0, side), slice(0, side))]
    firsts = [top for top, _ in grid(side, window, window, 2 * margin)]
    between = [(a + window + b) // 2 for a, b in pairwise(firsts)]
    borders = [0, *between, side]
    return [
        Span(slice(first, first + window), slice(borders[i], borders[i + 1]))
        for i, first in enumerate(firsts)
    ]


def _mapped(
    picker: Picker, pixels: Pixels, asked: Asked, probability: Map | None
) -> FoundParticles:
    grey = pixels
    if pixels.ndim == 3:
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    height, width = grey.shape
    windows = [(down, right) for down in spans(height) for right in spans(width)]
    levels = _levels(grey) if len(windows) > 1 else None
    distance = asked.min_distance_px or picker.min_distance_px
    mask = np.empty((height, width), np.uint8)
    parts = []
    for down, right in windows:
        map_ = picker.probability(grey[down.window, right.window], levels)
        core = map_[down.inner, right.inner]
        mask[down.core, right.core] = np.where(core >= asked.confidence, MASKED, 0)
        if probability is not None:
            probability[down.core, right.core] = core
        picks = picker.picks(
            map_,
            min_confidence=min(asked.confidence, MIN_CONFIDENCE),
            min_distance_px=distance,
        )
        parts.append(_in_core(picks.at_least(asked.confidence), down, right))
    centers = np.concatenate([part.centers for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    return FoundParticles(Picks(centers, scores).apart(distance), mask, picker.radius_px)


def _levels(grey: Pixels) -> tuple[float, float]:
    """Mean and standard deviation, by counting row by row: no copy of the picture is made."""
    counts = np.zeros(256, np.int64)
    for row in grey:
        counts += np.bincount(row, minlength=256)
    mean = float(np.average(np.arange(256), weights=counts))
    variance = float(np.average((np.arange(256) - mean) ** 2, weights=counts))
    return mean, variance**0.5


def _in_core(picks: Picks, down: Span, right: Span) -> Picks:
    """The picks of a window that its neighbours leave to it, in the micrograph's pixels."""
    centers = picks.centers + np.array([right.window.start, down.window.start])
    x, y = centers.T
    mine = (x >= right.core.start) & (x < right.core.stop)
    mine &= (y >= down.core.start) & (y < down.core.stop)
    return Picks(centers[mine], picks.scores[mine])


def _of_instances(instances: Instances, asked: Asked, shape: tuple[int, ...]) -> FoundParticles:
    masks = None if instances.masks is None else [dict(mask) for mask in instances.masks]
    wanted = np.flatnonzero(instances.scores >= asked.confidence)
    kept = [i for i in wanted.tolist() if masks is None or geometry.area(masks[i])]
    boxes = instances.boxes[kept].astype(np.float64)
    rles = [masks[i] for i in kept] if masks is not None else []
    centers = np.array([_centroid(rle) for rle in rles]) if rles else _middles(boxes)
    picks = Picks(centers.reshape(-1, 2), instances.scores[kept].astype(np.float64))
    mask = np.zeros(shape, np.uint8)
    if rles:
        mask[coco_mask.decode(geometry.merge(rles)) > 0] = MASKED
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    radius = float(np.median(sides)) / 2 if len(sides) else 0.0
    distance = asked.min_distance_px
    return FoundParticles(picks.apart(distance) if distance else picks, mask, radius)


def _centroid(rle: geometry.Rle) -> tuple[float, float]:
    """The middle of a mask, x and y as `trainables.datasets.coordinates` counts them."""
    mask, (left, top) = geometry.crop(rle)
    rows, columns = np.nonzero(mask)
    return float(columns.mean() + left + 0.5), float(rows.mean() + top + 0.5)


def _middles(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
