"""Figures of a size distribution: quantiles, means, widths, number per area."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from analysis.measure.geometry.runs import Floats
from analysis.measure.statistics.sample import Sample

By = Literal["number", "area", "volume"]

POWERS: Final[dict[By, int]] = {"number": 0, "area": 2, "volume": 3}
"""Power of the size by which a particle counts."""

LENGTHS: Final = (
    *(f"d{share}_{by}" for by in POWERS for share in (10, 50, 90)),
    "mean_1_0",
    "mean_3_2",
    "mean_4_3",
    "geometric_mean",
)
"""Figures that are lengths."""

FIGURES: Final = (
    *LENGTHS,
    "span_number",
    "span_area",
    "span_volume",
    "geometric_sd",
    "number_density",
)
"""Every figure of `figures`, in this order."""

MEANINGS: Final = {
    "d10_number": "10 % of the particles are smaller; d50 and d90 likewise.",
    "d10_area": "10 % of all particles' area is in smaller ones.",
    "d10_volume": "10 % of all particles' volume is in smaller ones, were they spheres.",
    "mean_1_0": "D[1,0], the mean size.",
    "mean_3_2": "D[3,2], Sauter's mean: of spheres with the particles' volume per surface.",
    "mean_4_3": "D[4,3], the mean weighted by volume, as laser diffraction gives it.",
    "geometric_mean": "exp of the mean logarithm.",
    "span_number": "(d90 - d10) / d50; by area and volume likewise.",
    "geometric_sd": "exp of the standard deviation of the logarithms.",
    "number_density": "Particles per analysed area.",
}
"""What a figure is; source: ISO 9276-2:2014."""


def quantiles(sizes: Floats, weights: Floats, shares: tuple[float, ...]) -> Floats:
    """Sizes below which these shares of the weight lie; NaN without particles.

    Each particle stands in the middle of its own weight, and between two the size is interpolated
    (Hazen 1914 for equal weights).

    Args:
        sizes: (N,) float64, ascending.
        weights: (N,) float64 above 0.
        shares: From 0 to 1.

    Example:
        >>> quantiles(np.array([1.0, 2.0, 3.0]), np.ones(3), (0.5, 0.75)).tolist()
        [2.0, 2.75]
    """
    if not len(sizes):
        return np.full(len(shares), np.nan)
    reached = np.cumsum(weights)
    found: Floats = np.interp(shares, (reached - weights / 2) / reached[-1], sizes)
    return found


def figures(sample: Sample) -> dict[str, float]:
    """Every figure of `FIGURES`; those of sizes are NaN without particles, of spread with one.

    Lengths are in the sample's unit, the density in particles per square of it.
    """
    sizes, weights = sample.sizes, sample.weights
    found: dict[str, float] = {}
    for by, power in POWERS.items():
        d10, d50, d90 = quantiles(sizes, weights * sizes**power, (0.1, 0.5, 0.9)).tolist()
        found |= {f"d10_{by}": d10, f"d50_{by}": d50, f"d90_{by}": d90}
        found[f"span_{by}"] = (d90 - d10) / d50
    sums = [float((weights * sizes**power).sum()) for power in range(5)]
    for high, low in ((1, 0), (3, 2), (4, 3)):
        found[f"mean_{high}_{low}"] = sums[high] / sums[low] if sums[low] else math.nan
    found["geometric_mean"], found["geometric_sd"] = geometric(sizes, weights)
    area = float(sample.areas.sum())
    found["number_density"] = sums[0] / area if area else math.nan
    return {name: found[name] for name in FIGURES}


def geometric(sizes: Floats, weights: Floats) -> tuple[float, float]:
    """Geometric mean and standard deviation; of one particle the latter is unknown (NaN)."""
    if not len(sizes):
        return math.nan, math.nan
    logs = np.log(sizes)
    mean = float(np.average(logs, weights=weights))
    if len(sizes) == 1:
        return math.exp(mean), math.nan
    return math.exp(mean), math.exp(math.sqrt(np.average((logs - mean) ** 2, weights=weights)))
