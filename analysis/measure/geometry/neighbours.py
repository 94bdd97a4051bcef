"""Particles beside each other: shared pixels and nearest neighbours."""

import numpy as np

from analysis.measure.geometry.runs import Floats, Runs


def overlap_fractions(runs: Runs) -> Floats:
    """(M,) float64, share of each mask's pixels that at least one other mask has, too.

    All runs are laid on one line, the picture column by column; where two or more lie on a stretch
    of it, that stretch is shared. So no two masks are ever compared.
    """
    begins = runs.column * runs.height + runs.first
    ends = runs.column * runs.height + runs.end
    places = np.concatenate([begins, ends])
    order = np.argsort(places, kind="stable")
    steps = np.repeat([1, -1], len(begins))[order]
    sorted_places = places[order]
    shared = np.diff(sorted_places, append=sorted_places[-1:]) * (np.cumsum(steps) > 1)
    before = np.append(0, np.cumsum(shared))  # shared pixels before each place
    first = np.searchsorted(sorted_places, begins)
    last = np.searchsorted(sorted_places, ends)
    fractions: Floats = runs.total(before[last] - before[first]) / runs.areas
    return fractions


def nearest(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Distance of each point to the nearest other one, and which it is, from 0.

    Of neighbours at the same distance any is named. A point alone has neither: NaN.

    Args:
        x: (M,) float64.
        y: (M,) float64.
    """
    n = len(x)
    if n < 2:
        return np.full(n, np.nan), np.full(n, np.nan)
    from scipy.spatial import cKDTree  # put off: it takes a tenth of a second to import

    points = np.stack([x, y], axis=1)
    distances, indices = cKDTree(points).query(points, k=2)
    is_self = indices[:, 0] == np.arange(n)
    which = np.where(is_self, indices[:, 1], indices[:, 0])
    return distances[:, 1], which.astype(np.float64)
