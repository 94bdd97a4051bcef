"""Full-resolution masks from probabilities in boxes, and the size that pictures are brought to."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainables.datasets.geometry import Rle, encode_crop
from trainables.onnx.letterbox import Frame

_THRESHOLD = 0.5
"""Probability from which a pixel belongs to a mask; Detectron2's."""

Floats = npt.NDArray[np.float64]


def paste_mask(shape: Floats, box: Floats, height: int, width: int) -> Rle | None:
    """Encode a mask at the image's size; only the pixels around its box are ever computed.

    A pixel belongs to it if the probability, interpolated bilinearly at the pixel's centre and 0
    outside of the mask, is 0.5 or more: Detectron2's own rule (`paste_masks_in_image`).

    Args:
        shape: (M, M) probabilities in the box.
        box: (4,) x1 y1 x2 y2, px.
        height: Height of the image, px.
        width: Width of the image, px.

    Returns:
        COCO's run-length encoding, or None where no pixel is left.
    """
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return None
    columns = np.arange(max(int(x1) - 1, 0), min(int(np.ceil(x2)) + 1, width))
    rows = np.arange(max(int(y1) - 1, 0), min(int(np.ceil(y2)) + 1, height))
    across, down = _weights(columns, x1, x2, len(shape)), _weights(rows, y1, y2, len(shape))
    inside = down @ shape @ across.T >= _THRESHOLD
    if not inside.any():
        return None
    return encode_crop(inside, (int(columns[0]), int(rows[0])), height, width)


def _weights(pixels: npt.NDArray[np.int64], low: float, high: float, n: int) -> Floats:
    """Weights (P, n) of a mask's n cells at the centres of P pixels."""
    at = (pixels + 0.5 - low) / (high - low) * n - 0.5
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(n))))


def scaled_boxes(boxes: npt.NDArray[np.float32], frame: Frame) -> npt.NDArray[np.float32]:
    """Convert boxes (N, 4) from input px to original px, clipped to the image; not padded ones."""
    scale = np.array([frame.width / frame.input_width, frame.height / frame.input_height] * 2)
    most = np.array([frame.width, frame.height] * 2, np.float32)
    return np.clip(boxes * scale.astype(np.float32), np.float32(0), most).astype(np.float32)


def scaled_shape(height: int, width: int, shorter_px: int, longest_px: int) -> tuple[int, int]:
    """Height and width of a picture whose shorter side gets a length, unless the other is too long.

    >>> scaled_shape(480, 640, 800, 1333)
    (800, 1067)
    >>> scaled_shape(300, 900, 800, 1333)
    (444, 1333)
    """
    scale = shorter_px / min(height, width)
    rows, columns = (
        (float(shorter_px), scale * width)
        if height < width
        else (scale * height, float(shorter_px))
    )
    if max(rows, columns) > longest_px:
        scale = longest_px / max(rows, columns)
        rows, columns = rows * scale, columns * scale
    return int(rows + 0.5), int(columns + 0.5)


def scaled(
    image: npt.NDArray[np.uint8], shorter_px: int, longest_px: int
) -> tuple[npt.NDArray[np.uint8], Frame]:
    """Scale a picture, bilinearly with antialiasing; nothing is padded.

    Args:
        image: (H, W, 3).
        shorter_px: Length that its shorter side gets.
        longest_px: Longest that its longer side may get.

    Returns:
        The input (h, w, 3) in the same channel order, and the picture's place in it.
    """
    height, width = image.shape[:2]
    rows, columns = scaled_shape(height, width, shorter_px, longest_px)
    picture = Image.fromarray(np.ascontiguousarray(image))
    pixels = np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR), dtype=np.uint8)
    gains = rows / height, columns / width
    return pixels, Frame(height, width, *gains, 0, 0, rows, columns)
