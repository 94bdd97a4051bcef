"""From a scene to the grey levels of a sharp picture without noise, anti-aliased.

Each pixel is the mean of 3 x 3 points, the middle one being the pixel's centre, which alone decides
in the truth.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets.simulate.shape import box_around
from trainables.datasets.simulate.spec import ParticleClass, SimulationSpec
from trainables.datasets.simulate.truth import SimulatedObject

Picture = npt.NDArray[np.float32]

FINE: Final = 3  # points along each side of a pixel

_DETECTOR: Final = (-0.45, -0.9)  # direction to the detector, x and y, seen from the sample

_HALO_REACH: Final = 0.3  # of the object's extent

_THIN: Final = 0.35  # share of a body's darkness that it has at its thinnest (TEM)


@dataclass(frozen=True)
class _Brush:
    """Canvas and settings with which objects are painted."""

    spec: SimulationSpec
    textures: tuple[Picture, ...]
    grey: npt.NDArray[np.float64]
    nearness: npt.NDArray[np.float64]


def paint(
    spec: SimulationSpec, objects: tuple[SimulatedObject, ...], rng: np.random.Generator
) -> Picture:
    """Grey levels (field height, width) of background and objects."""
    canvas = _background(spec, rng)
    brush = _Brush(
        spec=spec,
        textures=tuple(_cells(spec, item, rng) for item in spec.classes),
        grey=np.array([spec.classes[o.category].grey for o in objects])
        + rng.normal(size=len(objects))
        * np.array([spec.classes[o.category].grey_spread for o in objects]),
        nearness=np.linspace(1 - spec.camera.depth, 1, len(objects)),
    )
    for item in objects:
        _paint_object(canvas, item, brush)
    fine = canvas.reshape(spec.field_height, FINE, spec.width, FINE)
    return np.asarray(fine.mean(axis=(1, 3)), dtype=np.float32)


def cloud(height: int, width: int, grain: float, rng: np.random.Generator) -> Picture:
    """Smooth noise (height, width) of mean 0 and about unit variance; grain in px."""
    rows, columns = (int(size / grain) + 4 for size in (height, width))
    seeds = rng.standard_normal((rows, columns), dtype=np.float32)
    scaled = cv2.resize(
        seeds, (round(columns * grain), round(rows * grain)), interpolation=cv2.INTER_CUBIC
    )
    edge = round(grain)
    return np.asarray(scaled[edge : edge + height, edge : edge + width] * 1.4, dtype=np.float32)


def _background(spec: SimulationSpec, rng: np.random.Generator) -> Picture:
    look = spec.background
    height, width = spec.field_height, spec.width
    clouds = 0.8 * cloud(height, width, look.grain_px, rng)
    clouds += 0.6 * cloud(height, width, max(look.grain_px / 3, 1.5), rng)
    speckle = cloud(height, width, 1.7, rng)
    mixed = 1 + look.texture * ((1 - look.fine) * clouds + look.fine * speckle)
    return _enlarged(look.grey * np.maximum(mixed, 0))


def _cells(spec: SimulationSpec, item: ParticleClass, rng: np.random.Generator) -> Picture:
    """Relative brightness of a surface with dark lines between bright cells."""
    noise = cloud(spec.field_height, spec.width, item.grain_px, rng)
    finer = cloud(spec.field_height, spec.width, max(item.grain_px / 2.5, 1.5), rng)
    cells = np.minimum(np.abs(noise), 1.2) - 0.7 + 0.35 * finer
    return _enlarged(1 + item.texture * cells)


def _enlarged(picture: npt.NDArray[np.floating]) -> Picture:
    size = (picture.shape[1] * FINE, picture.shape[0] * FINE)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _paint_object(canvas: Picture, item: SimulatedObject, brush: _Brush) -> None:
    spec, shape = brush.spec, item.shape
    box = box_around(shape, _HALO_REACH * shape.feret_px).cut(spec.width, spec.field_height)
    rows, columns = (slice(s.start * FINE, s.stop * FINE) for s in box.slices)
    y, x = np.ogrid[rows, columns]
    x, y = ((points + 0.5) / FINE for points in (x, y))
    level = shape.level(x, y)
    height = shape.height(x, y)
    view = canvas[rows, columns]
    halo = spec.camera.halo * (1 - brush.nearness[item.order] * 0.2)
    outside = 1 + halo * np.exp(np.minimum(level, 0) * (3 if halo < 0 else 12))
    texture = brush.textures[item.category][rows, columns]
    grey = float(brush.grey[item.order])
    if spec.mode == "sem":
        lit = _lit(height, spec.classes[item.category].edge, spec.camera.tilt, grey)
        inside = lit * texture * brush.nearness[item.order]
    else:
        thickness = _THIN + (1 - _THIN) * height / max(float(height.max()), 1e-6)
        darkness = (1 - grey / max(spec.background.grey, 1)) * thickness * texture
        inside = view * (1 - darkness)
    view[:] = np.where(level >= 0, inside, view * outside)


def _lit(height: npt.NDArray[np.float64], edge: float, tilt: float, grey: float) -> Picture:
    """Secondary electrons of a relief: more from slopes, and from those facing the detector.

    The yield goes with the inverse cosine of the slope (Goldstein et al., "Scanning Electron
    Microscopy and X-ray Microanalysis", ch. 5), here limited.

    Args:
        height: Relief in px, (rows, columns) of points `1 / FINE` px apart.
        edge: Grey levels that the steepest slope adds.
        tilt: Share of the grey level that a vertical wall facing the detector gains.
        grey: Grey level of a flat surface.
    """
    down, right = np.gradient(height, 1 / FINE)
    inverse_cosine = np.sqrt(1 + down**2 + right**2)
    facing = -(right * _DETECTOR[0] + down * _DETECTOR[1]) / inverse_cosine
    steep = np.minimum((inverse_cosine - 1) / 2.5, 1)
    return np.asarray(grey * (1 + tilt * facing) + edge * steep, dtype=np.float32)
