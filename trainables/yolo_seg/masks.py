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
) -> list[Rle]:
    """Masks of one image.

    Args:
        coefficients: (N, K) weights of the prototypes.
        prototypes: (K, h, w) over the whole network input.
        boxes: (N, 4) x1 y1 x2 y2 in original px; pixels with their centre inside belong.
        frame: Where the image lies in the network's input.

    Returns:
        N COCO run-length encodings at the original size; an empty mask is all background.
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
    return _compress(runs, frame)


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

    Args:
        logits: (n, h, w) masks at the prototypes' resolution.
        windows: (n, 4) x1 y1 x2 y2, columns and rows of the original image.
        frame: Where the image lies in the network's input.
    """
    h, w = logits.shape[1:]
    rows, row_ok = _samples(windows[:, 1], windows[:, 3])
    columns, column_ok = _samples(windows[:, 0], windows[:, 2])
    y = ((rows + 0.5) * frame.gain_y + frame.top) * (h / frame.input_height) - 0.5
    x = ((columns + 0.5) * frame.gain_x + frame.left) * (w / frame.input_width) - 0.5
    down = _lerp(logits, y)
    across = _lerp(down.transpose(1, 2).contiguous(), x)
    return (across > 0) & column_ok[:, :, None] & row_ok[:, None, :]


def _samples(start: torch.Tensor, stop: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, L) positions from each start on, L the longest extent, and whether they are before stop."""
    longest = int((stop - start).max().clamp(min=1))
    positions = start[:, None] + torch.arange(longest, device=start.device)
    return positions, positions < stop[:, None]


def _lerp(values: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """(n, L, w): rows of (n, h, w) `values` at the fractional positions (n, L) `at`."""
    last = values.shape[1] - 1
    at = at.clamp(0, last)
    low = at.floor().long().clamp(max=max(last - 1, 0))
    which = torch.arange(len(values), device=values.device)[:, None]
    weight = (at - low).to(values.dtype)[..., None]
    return torch.lerp(values[which, low], values[which, (low + 1).clamp(max=last)], weight)


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
    padded = torch.nn.functional.pad(inside, (1, 1))
    found = (padded[..., 1:] != padded[..., :-1]).nonzero()
    owner, column, row = found.unbind(dim=1)
    start = windows[owner]
    positions = (start[:, 0] + column) * height + start[:, 1] + row
    pairs = torch.stack([owner, positions]).cpu().numpy()
    same = (pairs[:, 1:] == pairs[:, :-1]).all(axis=0)  # a column's end is the next one's begin
    keep = ~(np.append(same, False) | np.append(False, same))
    return pairs[0, keep], pairs[1, keep]


def _compress(runs: list[npt.NDArray[np.int64]], frame: Frame) -> list[Rle]:
    size = [frame.height, frame.width]
    n_pixels = frame.height * frame.width
    plain = [
        {"size": size, "counts": np.diff(edges, prepend=0, append=n_pixels).tolist()}
        for edges in runs
    ]
    return list(coco_mask.frPyObjects(plain, frame.height, frame.width)) if plain else []
