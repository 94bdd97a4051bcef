"""Centroids, and the ellipse that has a mask's second moments."""

import numpy as np

from analysis.measure.geometry.runs import Floats, Ints, Runs


def moment_shapes(runs: Runs) -> dict[str, Floats]:
    """(M,) float64 of the masks that have pixels: centroid, axes, eccentricity, orientation.

    Source: Hu 1962, "Visual pattern recognition by moment invariants"; the ellipse with equal
    second moments has axes 4 sqrt(l), where l are the eigenvalues of the pixels' covariance.
    Equal to scikit-image's `axis_major_length`, `axis_minor_length` and `eccentricity`.
    """
    corner = runs.boxes[runs.mask]
    column = runs.column - corner[:, 0]
    first, end = runs.first - corner[:, 1], runs.end - corner[:, 1]
    length = end - first
    rows = (first + end - 1) * length // 2
    area = runs.areas.astype(np.float64)
    x, y = runs.total(column * length) / area, runs.total(rows) / area
    xx = runs.total(column * column * length) / area - x * x
    yy = runs.total(_squares(end) - _squares(first)) / area - y * y
    xy = runs.total(column * rows) / area - x * y
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    larger, smaller = middle + half, np.maximum(middle - half, 0)
    flatness = np.divide(smaller, larger, out=np.ones_like(area), where=larger > 0)
    round_ = half <= 1e-9 * np.maximum(middle, 1)
    degrees = np.degrees(np.arctan2(-2 * xy, xx - yy) / 2) % 180
    return {
        "axis_major": 4 * np.sqrt(larger),
        "axis_minor": 4 * np.sqrt(smaller),
        "eccentricity": np.sqrt(1 - flatness),
        "orientation_deg": np.where(round_, np.nan, degrees),
        "centroid_x": x + runs.boxes[:, 0] + 0.5,
        "centroid_y": y + runs.boxes[:, 1] + 0.5,
    }


def _squares(n: Ints) -> Ints:
    """Sums of the squares of 0, 1, ... n - 1."""
    sums: Ints = (n - 1) * n * (2 * n - 1) // 6
    return sums
