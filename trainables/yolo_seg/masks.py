"""Full-resolution masks from YOLO's prototypes, straight to run-length encodings.

A mask is a weighted sum of the image's prototypes, cut off at its box. It is sampled bilinearly at
the centre of each pixel of the *original* image, inside the box only, so neither a small object's
outline nor a large image's memory suffers: no (instances, height, width) array ever exists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask

Rle = dict[str, Any]

_CPU_PIXELS, _GPU_PIXELS = 1 << 18, 1 << 26
"""Pixels worked on at once: what a CPU's cache and a GPU's memory take easily."""


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the network's input: input = original * gain + offset.

    Attributes:
        height: Of the original image, px.
        width: Of the original image, px.
        gain_y: Input pixels an original pixel, downwards.
        gain_x: Input pixels an original pixel, to the right.
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
        """(N, 4) x1 y1 x2 y2 in input px to original px, clipped to the image."""
        offset = boxes.new_tensor([self.left, self.top, self.left, self.top])
        gain = boxes.new_tensor([self.gain_x, self.gain_y, self.gain_x, self.gain_y])
        most = boxes.new_tensor([self.width, self.height, self.width, self.height])
        return ((boxes - offset) / gain).clamp(min=0).minimum(most)


def encode_masks(
    coefficients: torch.Tensor, prototypes: torch.Tensor, boxes: torch.Tensor, frame: Frame
) -> tuple[list[Rle], npt.NDArray[np.int64]]:
    """Masks of one image.

    Args:
        coefficients: (N, K) weights of the prototypes.
        prototypes: (K, h, w) over the whole network input.
        boxes: (N, 4) x1 y1 x2 y2 in original px; pixels with their centre inside belong.
        frame: Where the image lies in the network's input.

    Returns:
        N COCO run-length encodings at the original size, and (N,) their pixels; a mask may be
        empty.
    """
    windows = (boxes - 0.5).ceil().long()  # first column with its centre in the box, first after it
    areas = (windows[:, 2:] - windows[:, :2]).clamp(min=0).prod(dim=1)
    order = areas.argsort()
    runs: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(boxes)
    for part in _parts(order, windows, _GPU_PIXELS if boxes.is_cuda else _CPU_PIXELS):
        logits = torch.einsum("nk,khw->nhw", coefficients[part], prototypes)
        owner, edges = _edges(_inside(logits, windows[part], frame), windows[part], frame.height)
        split = np.split(edges, np.searchsorted(owner, np.arange(1, len(part))))
        for index, positions in zip(part.tolist(), split, strict=True):
            runs[index] = positions
    pixels = np.array([(edges[1::2] - edges[::2]).sum() for edges in runs], dtype=np.int64)
    return _compress(runs, frame), pixels


def _parts(order: torch.Tensor, windows: torch.Tensor, pixels: int) -> Iterator[torch.Tensor]:
    """Split masks, ordered by size, so that equally large windows for all hold `pixels`."""
    sizes = (windows[order, 2:] - windows[order, :2]).clamp(min=1).tolist()
    start, width, height = 0, 1, 1
    for stop, (w, h) in enumerate(sizes):
        wider, higher = max(width, w), max(height, h)
        if stop > start and (stop + 1 - start) * wider * higher > pixels:
            yield order[start:stop]
            start, wider, higher = stop, w, h
        width, height = wider, higher
    if start < len(sizes):
        yield order[start:]


def _inside(logits: torch.Tensor, windows: torch.Tensor, frame: Frame) -> torch.Tensor:
    """(n, W, H) bool, column after column: pixels of each window that belong to its mask.

    Each window is one row longer at both ends, and none of those rows belongs to the mask.

    Args:
        logits: (n, h, w) masks at the prototypes' resolution.
        windows: (n, 4) x1 y1 x2 y2, columns and rows of the original image.
        frame: Where the image lies in the network's input.
    """
    h, w = logits.shape[1:]
    rows, row_ok = _samples(windows[:, 1], windows[:, 3], margin=1)
    columns, column_ok = _samples(windows[:, 0], windows[:, 2], margin=0)
    y = ((rows + 0.5) * frame.gain_y + frame.top) * (h / frame.input_height) - 0.5
    x = ((columns + 0.5) * frame.gain_x + frame.left) * (w / frame.input_width) - 0.5
    down = _lerp(logits, y, row_ok)
    return _lerp(down.transpose(1, 2), x, column_ok) > 0


def _samples(
    start: torch.Tensor, stop: torch.Tensor, margin: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, L) positions from start - margin on, L for the longest, and whether they are inside."""
    longest = int((stop - start).max().clamp(min=1)) + 2 * margin
    positions = start[:, None] + torch.arange(-margin, longest - margin, device=start.device)
    return positions, (positions >= start[:, None]) & (positions < stop[:, None])


def _lerp(values: torch.Tensor, at: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """(n, L, w): rows of (n, h, w) `values` at the fractional positions (n, L) `at`.

    Where `inside` is false the row is -1: outside of the mask.
    """
    last = values.shape[1] - 1
    at = at.clamp(0, last)
    low = at.floor().long()
    weight = (at - low).to(values.dtype)[..., None]
    values = torch.nn.functional.pad(values, (0, 0, 0, 1), value=-1.0)
    which = torch.arange(len(values), device=values.device)[:, None]
    low = torch.where(inside, low, last + 1)
    high = torch.where(inside, (low + 1).clamp(max=last), last + 1)
    return torch.lerp(values[which, low], values[which, high], weight)


def _edges(
    inside: torch.Tensor, windows: torch.Tensor, height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where masks begin and end in column-major order.

    Args:
        inside: (n, W, H) bool.
        windows: (n, 4) where the arrays lie in the original image.
        height: Of the original image.

    Returns:
        Of each edge, sorted: the mask it belongs to, and its position.
    """
    changes = inside[..., 1:] != inside[..., :-1]
    flat = _nonzero(changes.flatten())
    column, row = np.divmod(flat, changes.shape[2])
    owner, column = np.divmod(column, changes.shape[1])
    start = windows.cpu().numpy()[owner]
    positions = (start[:, 0] + column) * height + start[:, 1] + row
    same = (owner[1:] == owner[:-1]) & (positions[1:] == positions[:-1])
    keep = np.ones(len(owner), np.bool_)  # without a column's end where the next one begins
    keep[1:] &= ~same
    keep[:-1] &= ~same
    return owner[keep], positions[keep]


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
