"""From masks sampled at prototypes' rows to run-length encodings at full resolution.

A mask is a weighted sum of the image's prototypes, cut off at its box; a pixel of the *original*
image belongs to it if the sum, interpolated bilinearly at the pixel's centre, is positive. Along a
pixel column that is a piecewise linear function with its corners at the prototypes' rows, so the
rows where it changes sign are computed, not searched for: of a mask of 1,000 x 1,000 pixels only
1,000 x 160 values are ever needed, and its encoding is those rows. A small object's outline is as
fine as a large one's, and no (instances, height, width) array ever exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.onnx.letterbox import Frame

Rle = dict[str, Any]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """Changes of sign along the pixel columns of some masks, in column-major order.

    Attributes:
        owner: (M,) mask that each belongs to.
        column: (M,) its column, from the first one of the mask's window.
        corner: (M,) it lies between this row of the prototypes and the one before.
        before: (M,) float64 value at the row before; -1 where there is none.
        after: (M,) float64 value at the row; 1 where there is none.
        n_rows: Number of the prototypes' rows.
    """

    owner: Ints
    column: Ints
    corner: Ints
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    n_rows: int


def edges(changes: Changes, windows: Ints, frame: Frame) -> tuple[Ints, Ints]:
    """Find the pixels where masks begin and end, in column-major order.

    Args:
        changes: Changes of sign of the masks.
        windows: (n, 4) x1 y1 x2 y2 of the masks, columns and rows of the original image.
        frame: Place of the image in the network's input.

    Returns:
        The mask that each edge belongs to, and the edge's position; sorted.
    """
    corner, after, h = changes.corner, changes.after, changes.n_rows
    where = (corner - 1) + changes.before / (changes.before - after)
    y = ((where + 0.5) * (frame.input_height / h) - frame.top) / frame.gain_y - 0.5
    row = np.where(after > 0, np.floor(y) + 1, np.ceil(y))  # 0 itself is outside
    bounds = windows[changes.owner]
    row = np.where(corner == 0, bounds[:, 1], np.where(corner == h, bounds[:, 3], row))
    row = np.clip(row.astype(np.int64), bounds[:, 1], np.maximum(bounds[:, 1], bounds[:, 3]))
    return _without_pairs(changes.owner, (bounds[:, 0] + changes.column) * frame.height + row)


def _without_pairs(owner: Ints, positions: Ints) -> tuple[Ints, Ints]:
    """Keep the edges of which an odd number is at one place: two there end what they begin."""
    if not len(owner):
        return owner, positions
    new = np.ones(len(owner), np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (positions[1:] != positions[:-1])
    first = np.flatnonzero(new)
    odd = first[np.diff(first, append=len(owner)) % 2 == 1]
    return owner[odd], positions[odd]


def encoded(runs: Sequence[Ints], frame: Frame) -> tuple[list[Rle], Ints]:
    """COCO's run-length encodings at the original size, and the masks' numbers of pixels.

    Args:
        runs: The edges of each mask.
        frame: Place of the image in the network's input.
    """
    pixels = np.array([(at[1::2] - at[::2]).sum() for at in runs], dtype=np.int64)
    size = [frame.height, frame.width]
    n_pixels = frame.height * frame.width
    plain = [
        {"size": size, "counts": np.diff(at, prepend=0, append=n_pixels).tolist()} for at in runs
    ]
    masks = list(coco_mask.frPyObjects(plain, frame.height, frame.width)) if plain else []
    return masks, pixels
