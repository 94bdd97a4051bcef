"""Augmentation: random changes of a picture and its boxes before it is trained with.

A turned box is the tight box of the turned ellipse inside it, as most objects in micrographs are
round; the tight box of the turned corners would be up to twice as large in area. Source: Kalra et
al. 2021, "Towards Rotation Invariance in Object Detection", ICCV.
"""

import math
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
    """

    fliplr: float = 0.0
    flipud: float = 0.0
    degrees: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    @classmethod
    def of(cls, params: DetectorParams) -> "Augmentation":
        """The augmentation that hyperparameters ask for."""
        return cls(**{name: getattr(params, name) for name in cls.__dataclass_fields__})

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
    cut = np.clip(whole, 0, [width, height, width, height])
    left = _areas(cut) >= _LEAST_LEFT * _areas(whole)
    return np.asarray(moved, np.uint8), cut, left & (_areas(cut) > 0)


def recoloured(pixels: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    """A picture with its colours, contrast and brightness multiplied by factors."""
    values = pixels.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + saturation * (values - grey)
    mean = values.mean()
    values = brightness * (mean + contrast * (values - mean))
    changed: Pixels = np.clip(values.round(), 0, 255).astype(np.uint8)
    return changed


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas
