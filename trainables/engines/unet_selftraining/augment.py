"""Random changes of a training image, with its labels and boxes moved along.

Image and labels are sampled through one and the same map, the labels by nearest neighbour, so what
is unknown stays unknown and no new label value comes up; what comes from outside the image is
unknown. Pseudo-labels go through here like any other labels.

Changes of intensity are measured in standard deviations of the image itself and are not undone by
a normalisation afterwards: standardise before, never after.

Source of the elastic deformation: Simard et al. 2003, "Best Practices for Convolutional Neural
Networks Applied to Visual Document Analysis".
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.engines.unet_selftraining.rounds.pseudo import IGNORED

Image = npt.NDArray[np.float32]

Points = npt.NDArray[np.float64]

Random = np.random.Generator

_STEPS: Final = 4  # of a fixed-point iteration that finds where a deformed point went


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a tile: their probabilities (`_p`) and their greatest strengths.

    Attributes:
        rotate_p: Probability of a turn.
        rotate_degrees: Largest turn, either way.
        flip_p: Probability of one flip, left-right or up-down.
        quarter_turns: Whether every image is also turned by a random multiple of 90 degrees; made
            for square tiles.
        elastic_p: Probability of an elastic deformation.
        elastic_alpha_px: Strength of the deformation before smoothing.
        elastic_sigma_px: Width of its smoothing.
        noise_p: Probability of white noise.
        noise_std: Smallest and largest standard deviation of the noise, in those of the image.
        contrast_p: Probability of a change of contrast and brightness.
        contrast: Smallest and largest factor about the mean.
        brightness: Largest offset, in standard deviations of the image.
        blur_p: Probability of a Gaussian blur.
        blur_sigma_px: Smallest and largest width of the blur.
        ice_p: Probability of bright discs, as of ice.
        ice_discs: Most discs in a tile.
        ice_radius_px: Smallest and largest radius of a disc.
        ice_std: Smallest and largest gain of brightness of a disc, in standard deviations.
    """

    rotate_p: float = 0.5
    rotate_degrees: float = 15.0
    flip_p: float = 0.5
    quarter_turns: bool = False
    elastic_p: float = 0.25
    elastic_alpha_px: float = 50.0
    elastic_sigma_px: float = 5.0
    noise_p: float = 0.5
    noise_std: tuple[float, float] = (0.05, 0.25)
    contrast_p: float = 0.5
    contrast: tuple[float, float] = (0.8, 1.2)
    brightness: float = 0.5
    blur_p: float = 0.15
    blur_sigma_px: tuple[float, float] = (0.5, 1.5)
    ice_p: float = 0.1
    ice_discs: int = 3
    ice_radius_px: tuple[float, float] = (10.0, 30.0)
    ice_std: tuple[float, float] = (1.0, 2.5)


@dataclass(frozen=True)
class Warp:
    """Map from each pixel of a new image to its place in the old one.

    Attributes:
        source: (H, W, 2) float32, x and y of each new pixel in the old image.
        matrix: (2, 3) affine map from old to new coordinates, without the elastic part.
        shift: (H, W, 2) float32, the elastic part, added to a new pixel's own place before it is
            looked up, or None.
    """

    source: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float32] | None = None

    def image(self, image: Image) -> Image:
        """Make the new image, bilinear; outside the old one it is mirrored."""
        x, y = cv2.split(self.source)
        warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(warped, np.float32)

    def labels(self, labels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Make the new label map (H, W), nearest neighbour; outside the old one it is unknown."""
        x, y = cv2.split(self.source)
        warped = cv2.remap(
            labels.astype(np.float32),
            x,
            y,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=IGNORED,
        )
        return np.asarray(warped, np.float32)

    def points(self, points: Points) -> Points:
        """Move points (N, 2), x and y in pixels; they may end outside."""
        straight = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        if self.shift is None:
            return straight
        moved = straight
        for _ in range(_STEPS):
            moved = straight - _look_up(self.shift, moved)
        return moved

    def boxes(self, boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Move boxes (N, 4), x1 y1 x2 y2: to those around the four moved corners of each."""
        x1, y1, x2, y2 = np.asarray(boxes, np.float64).reshape(-1, 4).T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 2)
        moved = self.points(corners).reshape(-1, 4, 2)
        around = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
        return around.astype(np.float32)


@dataclass(frozen=True)
class Augmented:
    """Training image after its changes.

    Attributes:
        image: (H, W) float32.
        labels: (H, W) float32 label map.
        boxes: (M, 4) float32, cut to the image; those that left it are gone. None where none came.
        kept: Index of each of `boxes` among those that came.
    """

    image: Image
    labels: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32] | None = None
    kept: npt.NDArray[np.int64] | None = None


def augment(
    image: Image,
    labels: npt.NDArray[np.generic],
    settings: Augmentation,
    random: Random,
    boxes: npt.NDArray[np.floating] | None = None,
) -> Augmented:
    """Change an image at random; its labels and boxes follow.

    Args:
        image: (H, W) float32.
        labels: (H, W) label map.
        settings: Changes that may happen.
        random: Generator of all random numbers; the same state gives the same result.
        boxes: (N, 4), x1 y1 x2 y2, pixel centres at whole numbers.
    """
    warp = random_warp(image.shape[:2], settings, random)
    changed = change_intensity(image if warp is None else warp.image(image), settings, random)
    moved = np.asarray(labels, np.float32) if warp is None else warp.labels(labels)
    if boxes is None:
        return Augmented(changed, moved)
    placed = np.asarray(boxes, np.float32) if warp is None else warp.boxes(boxes)
    inside, kept = _cut(placed, image.shape[:2])
    return Augmented(changed, moved, inside, kept)


# --- geometry
def random_warp(shape: tuple[int, ...], settings: Augmentation, random: Random) -> Warp | None:
    """Draw a turn, a flip and a deformation; None where nothing moves.

    Args:
        shape: (H, W) of the image.
        settings: Changes that may happen.
        random: Generator of all random numbers.
    """
    matrix = np.eye(3)
    if random.random() < settings.flip_p:
        matrix = _flip(shape, horizontal=bool(random.integers(2))) @ matrix
    degrees = 90.0 * int(random.integers(4)) if settings.quarter_turns else 0.0
    if random.random() < settings.rotate_p:
        degrees += random.uniform(-settings.rotate_degrees, settings.rotate_degrees)
    if degrees:
        matrix = turn(shape, degrees) @ matrix
    shift = None
    if random.random() < settings.elastic_p:
        shift = _elastic(shape, settings, random)
    if shift is None and np.array_equal(matrix, np.eye(3)):
        return None
    return make_warp(shape, matrix, shift)


def turn(
    shape: tuple[int, ...], degrees: float, centre: tuple[float, float] | None = None
) -> npt.NDArray[np.float64]:
    """Matrix (3, 3) of a counter-clockwise turn of the picture as it is seen.

    Args:
        shape: (H, W) of the image.
        degrees: Angle, counter-clockwise.
        centre: x and y of the fixed point, pixels; default: the middle of the image.

    >>> x, y, _ = turn((200, 200), 30, centre=(100, 100)) @ (150, 100, 1)
    >>> print(f"{x:.1f} {y:.1f}")
    143.3 75.0
    """
    x, y = centre or ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    angle = math.radians(degrees)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)  # quarter turns are exact
    return np.array(
        [
            [cos, sin, x - cos * x - sin * y],
            [-sin, cos, y + sin * x - cos * y],
            [0, 0, 1],
        ]
    )


def _flip(shape: tuple[int, ...], *, horizontal: bool) -> npt.NDArray[np.float64]:
    matrix = np.eye(3)
    axis = 0 if horizontal else 1
    matrix[axis, axis] = -1
    matrix[axis, 2] = shape[1 - axis] - 1
    return matrix


def _elastic(
    shape: tuple[int, ...], settings: Augmentation, random: Random
) -> npt.NDArray[np.float32]:
    noise = random.uniform(-1, 1, (*shape[:2], 2)).astype(np.float32)
    smooth = cv2.GaussianBlur(
        noise, (0, 0), settings.elastic_sigma_px, borderType=cv2.BORDER_REFLECT_101
    )
    return np.asarray(smooth * settings.elastic_alpha_px, np.float32)


def make_warp(
    shape: tuple[int, ...],
    matrix: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float32] | None = None,
) -> Warp:
    """Make the warp of an affine motion, deformed by `shift`.

    Args:
        shape: (H, W) of the image, which it keeps.
        matrix: (3, 3) map from old to new coordinates (x, y, 1).
        shift: (H, W, 2) pixels added to a new pixel's place before it is looked up in the old
            image.
    """
    height, width = shape[:2]
    back = np.linalg.inv(matrix)
    x, y = np.arange(width), np.arange(height)[:, None]
    source = np.empty((height, width, 2), np.float64)
    for axis, (to_x, to_y, first) in enumerate(back[:2]):
        source[..., axis] = to_x * x + (to_y * y + first)
    if shift is not None:
        source += shift @ back[:2, :2].T
    return Warp(source.astype(np.float32), matrix[:2], shift)


def _look_up(field: npt.NDArray[np.float32], points: Points) -> npt.NDArray[np.float64]:
    """Look a field's values (N, 2) up at points, bilinear; outside those of its border."""
    x, y = (points[:, axis, None].astype(np.float32) for axis in (0, 1))
    found = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(-1, 2)


def _cut(
    boxes: npt.NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Cut boxes to an image; returns those of which something is left, and their indices."""
    height, width = shape[:2]
    most = np.array([width - 1, height - 1] * 2, np.float32)
    cut = np.clip(boxes.reshape(-1, 4), 0, most)
    kept = np.flatnonzero((cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1]))
    return cut[kept], kept


# --- intensity
def change_intensity(image: Image, settings: Augmentation, random: Random) -> Image:
    """Add noise, blur and bright discs, and change contrast and brightness, as drawn.

    Args:
        image: (H, W) float32.
        settings: Changes that may happen.
        random: Generator of all random numbers.
    """
    mean, std = float(image.mean()), float(image.std())
    if random.random() < settings.contrast_p:
        offset = random.uniform(-settings.brightness, settings.brightness) * std
        image = (image - mean) * random.uniform(*settings.contrast) + mean + offset
    if random.random() < settings.ice_p:
        image = image + std * _ice(image.shape, settings, random)
    if random.random() < settings.blur_p:
        sigma = random.uniform(*settings.blur_sigma_px)
        blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        image = np.asarray(blurred, np.float32)
    if random.random() < settings.noise_p:
        noise = random.standard_normal(image.shape, np.float32)
        image = image + noise * (std * random.uniform(*settings.noise_std))
    return image.astype(np.float32, copy=False)


def _ice(shape: tuple[int, ...], settings: Augmentation, random: Random) -> Image:
    """Draw soft-edged bright discs, in standard deviations; of overlapping ones the brighter."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]
    discs = np.zeros((height, width), np.float32)
    for _ in range(int(random.integers(1, settings.ice_discs + 1))):
        centre_x, centre_y = random.uniform(0, width), random.uniform(0, height)
        radius, bright = random.uniform(*settings.ice_radius_px), random.uniform(*settings.ice_std)
        distance = np.hypot(x - centre_x, y - centre_y)
        disc = bright * np.clip(radius - distance + 0.5, 0, 1)
        discs = np.maximum(discs, disc.astype(np.float32))
    return discs
