"""Grey values and colours of particles, taken from the picture as it is in its file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.columns import INTENSITIES
from analysis.measure.geometry.runs import Floats, Ints, Masks, Runs, runs_of, within

_LUMA: Final = np.array([0.299, 0.587, 0.114])
"""Source: ITU-R BT.601."""

_MOST_PIXELS: Final = 1 << 20
"""Pixels of masks that are looked at at once."""

_MOST_HUE_DEG: Final = 270.0


def intensity_table(rles: Masks, picture: npt.NDArray[Any]) -> dict[str, Floats]:
    """Grey values, contrast and colour of the particles of one picture.

    Where a mask holds a pixel that is no finite number, its values are NaN.

    Args:
        rles: N masks of the picture: COCO run-length encodings, or their runs.
        picture: (H, W) or (H, W, 3) RGB of any depth, whole numbers or floats, as in the file:
            never stretched to 8 bits, or grey values would mean nothing.

    Returns:
        A column for each name in `columns.INTENSITIES`, with N values each.

    Raises:
        ValueError: The picture has another size than the masks, or another number of channels.
    """
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] not in (1, 3)):
        raise ValueError(
            f"expected a picture of (H, W) or (H, W, 3) values, got the shape {picture.shape}"
        )
    height, width = picture.shape[:2]
    runs = runs_of(rles, (height, width))
    table = {column.name: np.full(len(runs.present), np.nan) for column in INTENSITIES}
    for masks in _parts(runs.areas):
        for name, values in _measured(runs.take(masks), picture).items():
            table[name][masks] = values
    return {name: runs.spread(values) for name, values in table.items()}


def _parts(areas: Ints) -> Iterator[Ints]:
    """Numbers of masks, so many at once that their pixels fit into little memory."""
    if len(areas):
        part = (np.cumsum(areas) - areas) // _MOST_PIXELS
        yield from np.split(np.arange(len(areas)), np.flatnonzero(np.diff(part)) + 1)


def _measured(runs: Runs, picture: npt.NDArray[Any]) -> dict[str, Floats]:
    length = runs.end - runs.first
    rows = np.repeat(runs.first, length) + within(length)
    pixels = picture[rows, np.repeat(runs.column, length)].astype(np.float64)
    if pixels.ndim == 2 and pixels.shape[1] == 3:
        grey = pixels @ _LUMA
        colours = np.stack([_means(channel, runs) for channel in pixels.T])
        wavelengths = wavelengths_nm(hues_deg(colours))
    else:
        grey = pixels.reshape(-1)
        wavelengths = np.full(len(runs.areas), np.nan)
    return {**_statistics(grey, runs), "wavelength_nm": wavelengths}


def _means(values: Floats, runs: Runs) -> Floats:
    begins = np.cumsum(runs.areas) - runs.areas
    means: Floats = np.add.reduceat(values, begins) / runs.areas
    return means


def _statistics(grey: Floats, runs: Runs) -> dict[str, Floats]:
    ends = np.cumsum(runs.areas)
    begins = ends - runs.areas
    mean = _means(grey, runs)
    spread = np.square(grey - np.repeat(mean, runs.areas))
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        grey[begin:end].sort()
    d10, d50, d90 = (_percentiles(grey, begins, runs.areas, share) for share in (0.1, 0.5, 0.9))
    found = {
        "intensity_mean": mean,
        "intensity_sd": np.sqrt(_means(spread, runs)),
        "intensity_min": grey[begins],
        "intensity_max": grey[ends - 1],
        "intensity_median": d50,
        "contrast_d10": d10,
        "contrast_d50": d50,
        "contrast_d90": d90,
    }
    return {name: np.where(np.isfinite(mean), values, np.nan) for name, values in found.items()}


def _percentiles(ordered: Floats, begins: Ints, counts: Ints, share: float) -> Floats:
    """As `numpy.percentile` has them, between the two values beside the place."""
    place = share * (counts - 1)
    below = np.floor(place).astype(np.int64)
    low = ordered[begins + below]
    high = ordered[begins + np.minimum(below + 1, counts - 1)]
    values: Floats = low + (high - low) * (place - below)
    return values


def hues_deg(colours: Floats) -> Floats:
    """Hues of colours, 0 for red, 120 for green, 240 for blue; NaN for grey.

    Args:
        colours: (3, M) float64, red, green and blue on any common scale.
    """
    red, green, blue = colours
    largest, chroma = colours.max(axis=0), np.ptp(colours, axis=0)
    grey = ~(chroma > 1e-9 * np.abs(largest))
    parts = np.where(grey, 1, chroma)
    sixth = np.where(
        largest == red,
        ((green - blue) / parts) % 6,
        np.where(largest == green, (blue - red) / parts + 2, (red - green) / parts + 4),
    )
    hues: Floats = np.where(grey, np.nan, 60 * sixth)
    return hues


def wavelengths_nm(hue_deg: Floats) -> Floats:
    """620 nm for red to 450 nm for violet; NaN for hues over 270 degrees, which no light has.

    Example:
        >>> wavelengths_nm(np.array([0.0, 120.0, 240.0, 270.0, 300.0])).round(1).tolist()
        [620.0, 544.4, 468.9, 450.0, nan]
    """
    waves: Floats = 620 - (170 / _MOST_HUE_DEG) * hue_deg
    return np.where(hue_deg <= _MOST_HUE_DEG, waves, np.nan)
