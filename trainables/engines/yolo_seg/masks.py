"""Full-resolution masks from YOLO's prototypes, on the device that the network is on.

What is a mask, and how its columns become an encoding, stands in `trainables.onnx.edges`.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from trainables.onnx.edges import Changes, Rle, edges, encoded
from trainables.onnx.letterbox import Frame

_CPU_VALUES, _GPU_VALUES = 1 << 18, 1 << 26
"""Number of values worked on at once: a CPU's cache and a GPU's memory take them easily."""


def original_boxes(boxes: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Convert boxes (N, 4) x1 y1 x2 y2 from input px to original px, clipped to the image."""
    offset = boxes.new_tensor([frame.left, frame.top, frame.left, frame.top])
    gain = boxes.new_tensor([frame.gain_x, frame.gain_y, frame.gain_x, frame.gain_y])
    most = boxes.new_tensor([frame.width, frame.height, frame.width, frame.height])
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
        owner, places = edges(_changes(columns), windows[part].cpu().numpy(), frame)
        split = np.split(places, np.searchsorted(owner, np.arange(1, len(part))))
        for index, positions in zip(part.tolist(), split, strict=True):
            runs[index] = positions
    return encoded(runs, frame)


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


def _changes(columns: torch.Tensor) -> Changes:
    """Find the changes of sign of masks (n, W, h) as `_columns` gives them."""
    h = columns.shape[2]
    positive = torch.nn.functional.pad(columns > 0, (1, 1))
    flat = _nonzero((positive[..., 1:] != positive[..., :-1]).flatten())
    place, corner = np.divmod(flat, h + 1)  # the sign changes between corner - 1 and corner
    owner, column = np.divmod(place, columns.shape[1])
    before, after = _around(columns, place * h + corner, corner, h)
    return Changes(owner, column, corner, before, after, h)


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


def _nonzero(flags: torch.Tensor) -> npt.NDArray[np.int64]:
    if flags.is_cuda:
        return np.asarray(flags.nonzero().flatten().cpu().numpy(), dtype=np.int64)
    return np.flatnonzero(flags.numpy())  # several times faster than torch's on a CPU
