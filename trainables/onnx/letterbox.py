"""A picture brought to a network's size without distortion, and the way back to its own pixels.

The engine that trains with this rule uses it from here, so that an exported model is shown the same
picture to the last grey level.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

FILL: Final = 114
"""Grey level of the padding; Ultralytics'."""

_HALF: Final = 0.1  # an odd row of padding goes below, as Ultralytics has it


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

    def boxes(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Convert boxes (N, 4) x1 y1 x2 y2 from input px to original px, clipped to the image."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        gain = np.array([self.gain_x, self.gain_y, self.gain_x, self.gain_y], np.float32)
        most = np.array([self.width, self.height, self.width, self.height], np.float32)
        inside = np.minimum(np.maximum((boxes - offset) / gain, np.float32(0)), most)
        return np.asarray(inside, dtype=np.float32)


def input_shape(height: int, width: int, imgsz: int, stride: int) -> tuple[int, int]:
    """Height and width of the network's input: `imgsz` along the longer side, else the least.

    >>> input_shape(520, 696, 640, 32)
    (480, 640)
    """
    ratio = height / width
    scaled = np.array([min(ratio, 1.0), min(1 / ratio, 1.0)])
    rows, columns = np.ceil(scaled * imgsz / stride).astype(int) * stride
    return int(rows), int(columns)


def letterbox(
    image: npt.NDArray[np.uint8], imgsz: int, stride: int
) -> tuple[npt.NDArray[np.uint8], Frame]:
    """Scale a picture's longer side to `imgsz` and pad it to whole strides.

    Args:
        image: (H, W, 3).
        imgsz: Longer side of the network's input, px.
        stride: Coarsest stride of the network, px.

    Returns:
        The input (h, w, 3) in the same channel order, and the picture's place in it.
    """
    height, width = image.shape[:2]
    scale = imgsz / max(height, width)
    size = min(math.ceil(width * scale), imgsz), min(math.ceil(height * scale), imgsz)
    resized = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    rows, columns = input_shape(height, width, imgsz, stride)
    (top, bottom), (left, right) = (
        (round(free / 2 - _HALF), round(free / 2 + _HALF))
        for free in (rows - resized.shape[0], columns - resized.shape[1])
    )
    padded = cv2.copyMakeBorder(
        resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(FILL,) * 3
    )
    gain_y, gain_x = resized.shape[0] / height, resized.shape[1] / width
    frame = Frame(height, width, gain_y, gain_x, top, left, rows, columns)
    return np.ascontiguousarray(padded, dtype=np.uint8), frame
