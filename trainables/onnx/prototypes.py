"""Full-resolution masks from prototypes and their weights, in numpy alone (see `edges`)."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.onnx.edges import Changes, Ints, Rle, edges, encoded
from trainables.onnx.letterbox import Frame

Floats = npt.NDArray[np.float32]

_VALUES: Final = 1 << 18
"""Number of values worked on at once, which a CPU's cache takes easily."""


def encode_masks(
    coefficients: Floats, prototypes: Floats, boxes: Floats, frame: Frame
) -> tuple[list[Rle], Ints]:
    """Encode the masks of one image at its original size.

    Args:
        coefficients: (N, K) weights of the prototypes.
        prototypes: (K, h, w) over the whole network input.
        boxes: (N, 4) x1 y1 x2 y2 in original px; pixels with their centre inside belong.
        frame: Place of the image in the network's input.

    Returns:
        N COCO run-length encodings at the original size, and (N,) numbers of pixels; a mask may
        be empty.
    """
    windows = np.ceil(boxes - np.float32(0.5)).astype(np.int64)
    k, h, w = prototypes.shape
    flat = np.ascontiguousarray(prototypes.transpose(0, 2, 1)).reshape(k, w * h)
    runs: list[Ints] = [np.zeros(0, np.int64)] * len(boxes)
    for part in _parts(np.maximum(windows[:, 2] - windows[:, 0], 1), _VALUES // h):
        logits = (coefficients[part] @ flat).reshape(len(part), w, h)
        owner, places = edges(
            _changes(_columns(logits, windows[part], frame)), windows[part], frame
        )
        split = np.split(places, np.searchsorted(owner, np.arange(1, len(part))))
        for index, positions in zip(part.tolist(), split, strict=True):
            runs[index] = positions
    return encoded(runs, frame)


def _parts(widths: Ints, most: int) -> Iterator[npt.NDArray[np.intp]]:
    """Group masks of similar width, so that equally wide windows for all have `most` columns."""
    order = widths.argsort(kind="stable")
    start = 0
    for stop, width in enumerate(widths[order].tolist()):
        if stop > start and (stop + 1 - start) * width > most:
            yield order[start:stop]
            start = stop
    if len(order):
        yield order[start:]


def _columns(logits: Floats, windows: Ints, frame: Frame) -> Floats:
    """Interpolate masks in each pixel column of their windows: (n, W, h) at the prototypes' rows.

    Columns right of a window are -1.

    Args:
        logits: (n, w, h) masks at the prototypes' resolution, column after column.
        windows: (n, 4) x1 y1 x2 y2, columns and rows of the original image.
        frame: Place of the image in the network's input.
    """
    last = logits.shape[1] - 1
    width = max(int((windows[:, 2] - windows[:, 0]).max()), 1)
    column = windows[:, :1] + np.arange(width)
    scale = logits.shape[1] / frame.input_width
    centre = (column + 0.5).astype(np.float32) * np.float32(frame.gain_x) + np.float32(frame.left)
    at = np.clip(centre * np.float32(scale) - np.float32(0.5), 0, last).astype(np.float32)
    low = np.floor(at).astype(np.int64)
    which = np.arange(len(logits))[:, None]
    left, right = logits[which, low], logits[which, np.minimum(low + 1, last)]
    found: Floats = left + (at - low).astype(np.float32)[..., None] * (right - left)
    found[column >= windows[:, 2:3]] = -1
    return found


def _changes(columns: Floats) -> Changes:
    """The changes of sign of masks (n, W, h) as `_columns` gives them."""
    _, width, h = columns.shape
    positive = np.pad(columns > 0, ((0, 0), (0, 0), (1, 1)))
    place, corner = np.divmod(np.flatnonzero(positive[..., 1:] != positive[..., :-1]), h + 1)
    owner, column = np.divmod(place, width)
    inner = (corner > 0) & (corner < h)
    index = (place * h + corner)[inner]
    values = np.tile([[-1.0], [1.0]], len(corner))
    values[:, inner] = np.stack([columns.ravel()[index - 1], columns.ravel()[index]])
    return Changes(owner, column, corner, values[0], values[1], h)
