"""Run-length encoded masks of a picture as arrays of runs, all masks at once.

A run is a stretch of pixels of one mask in one column of the picture. Areas, moments, boxes and
overlaps follow from the runs alone, so no mask is ever drawn at the size of its picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

Rectangle = tuple[int, int, int, int]
"""x0 y0 x1 y1 in pixels: the first column and row, and those after the last."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of the masks of one picture that have pixels, sorted by mask, column and row.

    Attributes:
        height: Rows of the picture.
        width: Columns of the picture.
        n_masks: Number of masks that were given, empty ones included.
        present: (M,) int64, which of them have pixels; the runs number these from 0.
        mask: (R,) int64, mask of each run, 0 to M - 1.
        column: (R,) int64, column of each run in the picture.
        first: (R,) int64, its first row.
        end: (R,) int64, the row after its last.
    """

    height: int
    width: int
    n_masks: int
    present: Ints
    mask: Ints
    column: Ints
    first: Ints
    end: Ints

    @cached_property
    def starts(self) -> Ints:
        """(M,) int64, the first run of each mask."""
        return np.searchsorted(self.mask, np.arange(len(self.present)))

    @cached_property
    def areas(self) -> Ints:
        """(M,) int64, pixels of each mask."""
        return self.total(self.end - self.first)

    @cached_property
    def boxes(self) -> Ints:
        """(M, 4) int64, x0 y0 x1 y1 of each mask: its first pixel, and the one after its last."""
        if not len(self.present):
            return np.zeros((0, 4), np.int64)
        last = np.append(self.starts[1:], len(self.mask)) - 1
        y0 = np.minimum.reduceat(self.first, self.starts)
        y1 = np.maximum.reduceat(self.end, self.starts)
        return np.stack([self.column[self.starts], y0, self.column[last] + 1, y1], axis=1)

    def total(self, values: Ints) -> Ints:
        """(M,) int64, the sum of a value of each run over the runs of each mask."""
        if not len(self.present):
            return np.zeros(0, np.int64)
        return np.add.reduceat(values, self.starts)

    def take(self, masks: Ints) -> Runs:
        """The runs of some of the masks, which are numbered in the order asked for.

        Args:
            masks: (K,) int64, numbers of masks, 0 to M - 1.
        """
        lengths = np.append(self.starts[1:], len(self.mask))[masks] - self.starts[masks]
        runs = np.repeat(self.starts[masks], lengths) + within(lengths)
        return Runs(
            self.height,
            self.width,
            self.n_masks,
            self.present[masks],
            np.repeat(np.arange(len(masks)), lengths),
            self.column[runs],
            self.first[runs],
            self.end[runs],
        )

    def spread(self, values: npt.NDArray[Any]) -> Floats:
        """(n_masks,) float64 of (M,) values, NaN for the masks without pixels."""
        whole = np.full(self.n_masks, np.nan)
        whole[self.present] = values
        return whole


Masks = Sequence[Mapping[str, Any]] | Runs
"""Masks of one picture: COCO run-length encodings, or the runs that were read from them."""


def within(lengths: Ints) -> Ints:
    """0, 1, ... lengths[0] - 1, then 0, 1, ... lengths[1] - 1, and so on.

    Example:
        >>> within(np.array([2, 0, 3])).tolist()
        [0, 1, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)


def runs_of(rles: Masks, size: tuple[int, int] | None = None) -> Runs:
    """The runs of the masks of one picture.

    Args:
        rles: COCO run-length encodings, all of one picture; or their runs, which are returned.
        size: Rows and columns of that picture; needed only where there is no mask.

    Raises:
        ValueError: The masks are of pictures of different sizes, or one is no such encoding.
    """
    if isinstance(rles, Runs):
        sizes = {(rles.height, rles.width)}
    else:
        sizes = {(int(rle["size"][0]), int(rle["size"][1])) for rle in rles}
    if size is not None:
        sizes.add((int(size[0]), int(size[1])))
    if len(sizes) > 1:
        listed = ", ".join(f"{h} x {w}" for h, w in sorted(sizes))
        raise ValueError(f"expected masks of one picture, got masks of {listed} pixels")
    if isinstance(rles, Runs):
        return rles
    height, width = sizes.pop() if sizes else (0, 0)
    counts, owner = _counts(rles)
    if (_sums(counts, owner, len(rles)) != height * width).any():
        raise ValueError(f"expected run lengths that fill {height} x {width} pixels")
    ends = np.cumsum(counts) - owner * height * width
    solid = (_place(owner) % 2 == 1) & (counts > 0)
    mask, column, first, end = _by_column(
        owner[solid], ends[solid] - counts[solid], ends[solid], height
    )
    present, numbers = np.unique(mask, return_inverse=True)
    return Runs(height, width, len(rles), present, numbers, column, first, end)


def _sums(counts: Ints, owner: Ints, n_masks: int) -> Ints:
    """(n_masks,) sums of the counts of each mask."""
    sums = np.zeros(n_masks, np.int64)
    np.add.at(sums, owner, counts)
    return sums


def _place(owner: Ints) -> Ints:
    """Place of each count among those of its mask; `owner` is sorted."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def _counts(rles: Sequence[Mapping[str, Any]]) -> tuple[Ints, Ints]:
    """Lengths of all runs, background first in each mask, and the mask of each.

    The encoding is COCO's: 5 bits a character from 48 on, bit 5 says that more follow, bit 4 of
    the last one is the sign, and from the third count on the difference to the last but one stands.
    """
    texts = [packed(rle) for rle in rles]
    digits = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    final = (digits & 32) == 0
    ends = np.flatnonzero(final)
    text_ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    filled = text_ends[np.diff(text_ends, prepend=0) > 0] - 1
    if len(digits) and (not ((digits >= 0) & (digits < 64)).all() or not final[filled].all()):
        raise ValueError("expected compressed run-length encodings, got something else")
    if not len(ends):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    values = np.add.reduceat((digits & 31) << (5 * within(lengths)), starts)
    values -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    owner = np.searchsorted(text_ends, ends, side="right")
    return _undo_differences(values, owner), owner


def packed(rle: Mapping[str, Any]) -> bytes:
    """The run lengths of a COCO encoding, compressed.

    Raises:
        ValueError: A list of them does not fill the picture.
    """
    counts = rle["counts"]
    return bytes(counts if isinstance(counts, bytes) else geometry.compress(dict(rle))["counts"])


def _undo_differences(values: Ints, owner: Ints) -> Ints:
    """Counts from the differences to the last but one, which stand from the fourth value on."""
    place = _place(owner)
    counts = values.copy()
    for chain in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        sums = np.cumsum(values[chain])
        begins = np.searchsorted(owner[chain], owner[chain])
        counts[chain] = sums - (sums - values[chain])[begins]
    if (counts < 0).any():
        raise ValueError("expected run lengths of at least 0")
    return counts


def _by_column(mask: Ints, start: Ints, end: Ints, height: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Runs of the column-wise picture, cut where a column ends: mask, column, first and end row."""
    if not len(mask):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    columns = (end - 1) // height - start // height + 1
    of = np.repeat(np.arange(len(mask)), columns)
    column = (start // height)[of] + within(columns)
    first = np.maximum(start[of], column * height) - column * height
    last = np.minimum(end[of], (column + 1) * height) - column * height
    return mask[of], column, first, last
