"""Augmentation: random changes of a picture and its boxes before it is trained with.

A turned box is the tight box of the turned ellipse inside it, as most objects in micrographs are
round; the tight box of the turned corners would be up to twice as large in area. Source: Kalra et
al. 2021, "Towards Rotation Invariance in Object Detection", ICCV.

Source of the mosaic: Bochkovskiy et al. 2020, "YOLOv4", arXiv:2004.10934.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.engines.detector.params import DetectorParams

Pixels = npt.NDArray[np.uint8]

Boxes = npt.NDArray[np.float64]
"""(n, 4) x1 y1 x2 y2, px."""

_LEAST_LEFT: Final = 0.3
"""Share of a box that must still be in the picture, else its object is not learnt from."""

_LEAST_CUT_PX: Final = 2.0
"""Shortest side of what is left of a box that was cut, else its object is not learnt from."""

_INNER: Final = (0.25, 0.75)
"""Fractions of a side between which the pictures of a mosaic meet."""


@dataclass(frozen=True)
class Augmentation:
    """The changes that may be made, each drawn anew for a picture.

    Attributes:
        fliplr: Probability of a left-right flip.
        flipud: Probability of an upside-down flip.
        degrees: Largest turn to either side.
        scale: Largest relative change of size.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of colour.
        mosaic: Probability that a picture is put together from parts of four.
    """

    fliplr: float = 0.0
    flipud: float = 0.0
    degrees: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    mosaic: float = 0.0

    @classmethod
    def of(cls, params: DetectorParams) -> "Augmentation":
        """The augmentation that hyperparameters ask for."""
        return cls(**{name: getattr(params, name) for name in cls.__dataclass_fields__})

    def others(self, index: int, n_pictures: int, rng: np.random.Generator) -> list[int]:
        """Draw the other three pictures of a mosaic; none where the picture stays by itself.

        Args:
            index: The picture.
            n_pictures: Number of pictures there are.
            rng: Draws as often whatever is drawn, and not at all where no mosaics are wanted.
        """
        if not self.mosaic:
            return []
        wanted = rng.random() < self.mosaic
        drawn = rng.integers(n_pictures, size=3).tolist()
        return drawn if wanted else []

    def __call__(
        self, pixels: Pixels, boxes: Boxes, rng: np.random.Generator
    ) -> tuple[Pixels, Boxes, npt.NDArray[np.bool_]]:
        """Change a picture and its boxes.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            boxes: (n, 4) of its objects.
            rng: Draws as often whatever is drawn.

        Returns:
            The picture, its boxes, and (n,) which of the objects are still in it.
        """
        flips = rng.random(2) < (self.fliplr, self.flipud)
        pixels, boxes = flipped(pixels, boxes, bool(flips[0]), bool(flips[1]))
        angle = rng.uniform(-self.degrees, self.degrees)
        factor = (1 + self.scale) ** rng.uniform(-1, 1)
        kept = np.ones(len(boxes), np.bool_)
        if self.degrees or self.scale:
            pixels, boxes, kept = turned(pixels, boxes, angle, factor)
        changes = 1 + rng.uniform(-1, 1, 3) * (self.brightness, self.contrast, self.saturation)
        if self.brightness or self.contrast or self.saturation:
            pixels = recoloured(pixels, *changes.tolist())
        return pixels, boxes, kept


def flipped(pixels: Pixels, boxes: Boxes, lr: bool, ud: bool) -> tuple[Pixels, Boxes]:
    """A picture and its boxes, mirrored left-right, upside-down or both."""
    height, width = pixels.shape[:2]
    if lr:
        pixels = pixels[:, ::-1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    if ud:
        pixels = pixels[::-1]
        boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], 1)
    return np.ascontiguousarray(pixels), boxes


def turned(
    pixels: Pixels, boxes: Boxes, degrees: float, factor: float
) -> tuple[Pixels, Boxes, npt.NDArray[np.bool_]]:
    """A picture turned and scaled around its centre, on as large a canvas, with its boxes.

    What comes from outside of it has its mean colour.

    Args:
        pixels: (H, W, 3) uint8.
        boxes: (n, 4) of its objects.
        degrees: Clockwise, as the picture is seen.
        factor: Factor on sizes.

    Returns:
        The picture, the boxes cut to it, and (n,) whether enough of an object is left in it.
    """
    height, width = pixels.shape[:2]
    cos, sin = (factor * f(math.radians(degrees)) for f in (math.cos, math.sin))
    linear = np.array([[cos, -sin], [sin, cos]])  # y points down, so this turns clockwise
    centre = np.array([width, height]) / 2
    half_px = np.full(2, 0.5)  # OpenCV's origin is the middle of the first pixel, ours its corner
    shift = centre - linear @ centre
    matrix = np.column_stack([linear, linear @ half_px + shift - half_px])
    fill = pixels.reshape(-1, 3).mean(axis=0).round().tolist()
    moved = cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill
    )
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + shift
    halves = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
    whole = np.concatenate([middles - halves, middles + halves], axis=1)
    cut, kept = _cut(whole, (0, 0, width, height))
    return np.asarray(moved, np.uint8), cut, kept


def mosaic(
    pictures: Sequence[tuple[Pixels, Boxes]], across: float, down: float
) -> tuple[Pixels, list[Boxes], list[npt.NDArray[np.bool_]]]:
    """Four pictures that meet in a point, each a quarter of a canvas as large as the first one.

    Each shows the corner that lies at the point, at its own scale, so objects keep their sizes.
    Where it does not fill its quarter, the first one's mean colour is left.

    Args:
        pictures: (H, W, 3) uint8 with (n, 4) boxes; upper left, upper right, lower left, lower
            right.
        across: Where they meet, as a fraction of the width.
        down: Where they meet, as a fraction of the height.

    Returns:
        The picture, and of each of the four its boxes, moved and cut to its quarter, and (n,)
        whether enough of an object is left in it.
    """
    first = pictures[0][0]
    height, width = first.shape[:2]
    x, y = round(across * width), round(down * height)
    canvas = np.empty_like(first)
    canvas[:] = first.reshape(-1, 3).mean(axis=0).round()
    boxes, kept = [], []
    for at, (pixels, its) in enumerate(pictures):
        rows, columns = pixels.shape[:2]
        left = x - columns if at % 2 == 0 else x  # of the whole picture on the canvas
        top = y - rows if at < 2 else y
        x1, x2 = max(left, 0), min(left + columns, width)
        y1, y2 = max(top, 0), min(top + rows, height)
        canvas[y1:y2, x1:x2] = pixels[y1 - top : y2 - top, x1 - left : x2 - left]
        inside, enough = _cut(its + np.array([left, top, left, top]), (x1, y1, x2, y2))
        boxes.append(inside)
        kept.append(enough)
    return canvas, boxes, kept


def meeting_point(rng: np.random.Generator) -> tuple[float, float]:
    """Draw where the pictures of a mosaic meet, as fractions of width and height."""
    across, down = rng.uniform(*_INNER, 2).tolist()
    return across, down


def recoloured(pixels: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    """A picture with its colours, contrast and brightness multiplied by factors."""
    values = pixels.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + saturation * (values - grey)
    mean = values.mean()
    values = brightness * (mean + contrast * (values - mean))
    changed: Pixels = np.clip(values.round(), 0, 255).astype(np.uint8)
    return changed


def _cut(whole: Boxes, window: tuple[float, ...]) -> tuple[Boxes, npt.NDArray[np.bool_]]:
    """Boxes cut to a window, and whether enough is left of each to learn from its object.

    Enough is three tenths of its area and, where it was cut, 2 px of either side.
    """
    x1, y1, x2, y2 = window
    cut = np.clip(whole, (x1, y1, x1, y1), (x2, y2, x2, y2))
    sides = cut[:, 2:] - cut[:, :2]
    large = (sides >= _LEAST_CUT_PX).all(axis=1) | (cut == whole).all(axis=1)
    left = _areas(cut) >= _LEAST_LEFT * _areas(whole)
    return cut, large & left & (_areas(cut) > 0)


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas
