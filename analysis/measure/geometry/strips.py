"""Strips: the masks of a picture side by side in a few small pictures.

What needs neighbouring pixels (perimeter, holes, distances, skeletons) is done for all masks of a
strip by one call each. A strip is turned: its rows are columns of the picture, so that a run is a
stretch of a row. Between two masks lies one empty row, and an empty column lies on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.runs import Floats, Ints, Runs

Pixels = npt.NDArray[np.uint8]

_MOST_PIXELS: Final = 1 << 20
"""Pixels of a strip, unless one mask alone needs more: it then fits the processor's caches."""

_FEW_PIXELS: Final = 1 << 16
"""Pixels from which on a strip of its own is cheaper than padding."""

_MOST_PADDING: Final = 1.4
"""A strip's masks are at most this many times as high as its lowest one, unless it is small."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Some masks side by side.

    Attributes:
        masks: (K,) int64, numbers of the masks among those of the runs.
        rows: (K,) int64, row of the strip with the first column of each mask.
        pixels: (L, h) uint8 of 0 and 1.
    """

    masks: Ints
    rows: Ints
    pixels: Pixels

    def total(self, values: npt.NDArray[np.generic]) -> Floats:
        """(K,) float64, the sum of the (L, h) values over the rows from each mask's first on."""
        sums: Floats = np.add.reduceat(values.sum(axis=1, dtype=np.float64), self.rows)
        return sums

    def largest(self, values: npt.NDArray[np.float32]) -> Floats:
        """(K,) float64, the largest of the (L, h) values of each mask."""
        begins = self.rows * values.shape[1]
        return np.maximum.reduceat(values.reshape(-1), begins).astype(np.float64)

    def mask_at(self, row: Ints) -> Ints:
        """Which of the strip's masks, 0 to K - 1, each row belongs to."""
        return np.searchsorted(self.rows, row, side="right") - 1


def strips_of(runs: Runs) -> Iterator[Strip]:
    """Strips that hold every mask once, the lowest masks first."""
    sizes = runs.boxes[:, 2:] - runs.boxes[:, :2]
    for masks in _groups(sizes):
        columns = sizes[masks, 0]
        rows = np.cumsum(columns + 1) - columns
        length, across = int(rows[-1] + columns[-1] + 1), int(sizes[masks, 1].max()) + 2
        yield Strip(masks, rows, _painted(runs, masks, rows, (length, across)))


def _groups(sizes: Ints) -> Iterator[Ints]:
    """Numbers of the masks of each strip, from their (M, 2) columns and rows."""
    order = np.argsort(sizes[:, 1], kind="stable")
    begin, columns = 0, 0
    for i, (width, height) in enumerate(sizes[order].tolist()):
        pixels = (columns + width + 1) * (height + 2)
        padded = height > _MOST_PADDING * sizes[order[begin], 1] and columns * height > _FEW_PIXELS
        if i > begin and (pixels > _MOST_PIXELS or padded):
            yield order[begin:i]
            begin, columns = i, 0
        columns += width + 1
    if len(order):
        yield order[begin:]


def _painted(runs: Runs, masks: Ints, rows: Ints, shape: tuple[int, int]) -> Pixels:
    chosen = runs.take(masks)
    corner = runs.boxes[masks][chosen.mask]
    line = (rows[chosen.mask] + chosen.column - corner[:, 0]) * shape[1] + 1
    steps = np.zeros(shape[0] * shape[1], np.int8)
    steps[line + chosen.first - corner[:, 1]] += 1
    steps[line + chosen.end - corner[:, 1]] -= 1
    return np.cumsum(steps, dtype=np.int8).view(np.uint8).reshape(shape)
