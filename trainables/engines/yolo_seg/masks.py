"""Full-resolution masks from YOLO's prototypes, straight to run-length encodings.

A mask is a weighted sum of the image's prototypes, cut off at its box; a pixel of the *original*
image belongs to it if the sum, interpolated bilinearly at the pixel's centre, is positive. Along a
pixel column that is a piecewise linear function with its corners at the prototypes' rows, so the
rows where it changes sign are computed, not searched for: of a mask of 1,000 x 1,000 pixels only
1,000 x 160 values are ever needed, and its encoding is those rows. A small object's outline is as
fine as a large one's, and no (instances, height, width) array ever exists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask

Rle = dict[str, Any]

_CPU_VALUES, _GPU_VALUES = 1 << 18, 1 << 26
"""Number of values worked on at once: a CPU's cache and a GPU's memory take them easily."""


@dataclass(frozen=True)
class Frame:
    """Place of an image in the network's input: input = original * gain + offset.

    Attributes:
        height: Height of the original image, px.
        width: Width of the original image, px.
        gain_y: Scale downwards, input pixels per original pixel.
        gain_x: Scale to the right, input pixels per original pixel.
        top: Offset downwards, input px.
        left: Offset to the right, input px.
        input_height: Height of the network's input, px.
        input_width: Width of the network's input, px.
    """

    height: int
    width: int
    gain_y: float
    gain_x: float
    top: float
    left: float
    input_height: int
    input_width: int

    def boxes(self, boxes: torch.Tensor) -> torch.Tensor:
        """Convert boxes (N, 4) x1 y1 x2 y2 from input px to original px, clipped to the image."""
        offset = boxes.new_tensor([self.left, self.top, self.left, self.top])
        gain = boxes.new_tensor([self.gain_x, self.gain_y, self.gain_x, self.gain_y])
        most = boxes.new_tensor([self.width, self.height, self.width, self.height])
        return ((boxes - offset) / gain).clamp(min=0).minimum(most)


def encode_masks(
    coefficients: torch.Tensor, prototypes: torch.Tensor, boxes: torch.Tensor, frame: Frame
) -> tuple[list[Rle], npt.NDArray[np.int64]]:
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
    windows = (boxes - 0.5).ceil().long()  # first column with its centre in the box, first after it
    n_rows = prototypes.shape[1]
    most = (_GPU_VALUES if boxes.is_cuda else _CPU_VALUES) // n_rows
    runs: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(boxes)
    for part in _parts((windows[:, 2] - windows[:, 0]).clamp(min=1), most):
        logits = torch.einsum("nk,khw->nwh", coefficients[part], prototypes)
        columns = _columns(logits, windows[part], frame)
        owner, edges = _edges(columns, windows[part], frame)
        split = np.split(edges, np.searchsorted(owner, np.arange(1, len(part))))
        for index, positions in zip(part.tolist(), split, strict=True):
            runs[index] = positions
    pixels = np.array([(edges[1::2] - edges[::2]).sum() for edges in runs], dtype=np.int64)
    return _compress(runs, frame), pixels


def _parts(widths: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    """Group masks of similar width, so that equally wide windows for all have `most` columns."""
    order = widths.argsort()
    start = 0
    for stop, width in enumerate(widths[order].tolist()):
        if stop > start and (stop + 1 - start) * width > most:
            yield order[start:stop]
            start = stop
    if len(order):
        yield order[start:]


def _columns(logits: torch.Tensor, windows: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Interpolate masks in each pixel column of their windows: (n, W, h) at the prototypes' rows.

    Columns right of a window are -1.

    Args:
        logits: (n, w, h) masks at the prototypes' resolution, column after column.
        windows: (n, 4) x1 y1 x2 y2, columns and rows of the original image.
        frame: Place of the image in the network's input.
    """
    last = logits.shape[1] - 1
    width = int((windows[:, 2] - windows[:, 0]).max().clamp(min=1))
    column = windows[:, :1] + torch.arange(width, device=windows.device)
    scale = logits.shape[1] / frame.input_width
    at = (((column + 0.5) * frame.gain_x + frame.left) * scale - 0.5).clamp(0, last)
    low = at.floor().long()
    inside = column < windows[:, 2:3]
    logits = torch.nn.functional.pad(logits, (0, 0, 0, 1), value=-1.0)
    which = torch.arange(len(logits), device=logits.device)[:, None]
    left = logits[which, torch.where(inside, low, last + 1)]
    right = logits[which, torch.where(inside, (low + 1).clamp(max=last), last + 1)]
    return torch.lerp(left, right, (at - low).to(logits.dtype)[..., None])


def _edges(
    columns: torch.Tensor, windows: torch.Tensor, frame: Frame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the pixels where masks begin and end, in column-major order.

    Args:
        columns: (n, W, h) as `_columns` gives them.
        windows: (n, 4) x1 y1 x2 y2, columns and rows of the original image.
        frame: Place of the image in the network's input.

    Returns:
        The mask that each edge belongs to, and the edge's position; sorted.
    """
    h = columns.shape[2]
    positive = torch.nn.functional.pad(columns > 0, (1, 1))
    flat = _nonzero((positive[..., 1:] != positive[..., :-1]).flatten())
    place, corner = np.divmod(flat, h + 1)  # the sign changes between corner - 1 and corner
    owner, column = np.divmod(place, columns.shape[1])
    before, after = _around(columns, place * h + corner, corner, h)
    where = (corner - 1) + before / (before - after)
    y = ((where + 0.5) * (frame.input_height / h) - frame.top) / frame.gain_y - 0.5
    row = np.where(after > 0, np.floor(y) + 1, np.ceil(y))  # 0 itself is outside
    bounds = windows.cpu().numpy()[owner]
    row = np.where(corner == 0, bounds[:, 1], np.where(corner == h, bounds[:, 3], row))
    row = np.clip(row.astype(np.int64), bounds[:, 1], np.maximum(bounds[:, 1], bounds[:, 3]))
    return _without_pairs(owner, (bounds[:, 0] + column) * frame.height + row)


def _around(
    columns: torch.Tensor, after: npt.NDArray[np.int64], corner: npt.NDArray[np.int64], h: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find the values around each change of sign; -1 and 1 where it is at a column's end."""
    inner = (corner > 0) & (corner < h)
    index = torch.from_numpy(after[inner]).to(columns.device)
    flat = columns.flatten()
    both = torch.stack([flat[index - 1], flat[index]]).double().cpu().numpy()
    values = np.tile([[-1.0], [1.0]], len(corner))
    values[:, inner] = both
    return values[0], values[1]


def _without_pairs(
    owner: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Keep the edges of which an odd number is at one place: two there end what they begin."""
    if not len(owner):
        return owner, positions
    new = np.ones(len(owner), np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (positions[1:] != positions[:-1])
    first = np.flatnonzero(new)
    odd = first[np.diff(first, append=len(owner)) % 2 == 1]
    return owner[odd], positions[odd]


def _nonzero(flags: torch.Tensor) -> npt.NDArray[np.int64]:
    if flags.is_cuda:
        return np.asarray(flags.nonzero().flatten().cpu().numpy(), dtype=np.int64)
    return np.flatnonzero(flags.numpy())  # several times faster than torch's on a CPU


def _compress(runs: list[npt.NDArray[np.int64]], frame: Frame) -> list[Rle]:
    size = [frame.height, frame.width]
    n_pixels = frame.height * frame.width
    plain = [
        {"size": size, "counts": np.diff(edges, prepend=0, append=n_pixels).tolist()}
        for edges in runs
    ]
    return list(coco_mask.frPyObjects(plain, frame.height, frame.width)) if plain else []
