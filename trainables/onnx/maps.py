"""Map of probabilities of a whole picture from overlapping tiles of it, for any network's."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets.views.tiles import Mosaic, cut, grid

Map = npt.NDArray[np.float32]

Grey = npt.NDArray[np.uint8]

SMALLEST_PX: Final = 1024
"""Least side of a predicted tile of a picture as large: smaller ones waste more of their rims."""

_OVERLAP: Final = 4  # neighbours share a fourth of their side


def in_grey(image: Grey) -> Grey:
    """An (H, W, 3) RGB or (H, W) grey image in grey."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image)


def levels_of(grey: Grey) -> tuple[float, float]:
    """Mean and standard deviation of a picture."""
    return float(grey.mean()), float(grey.std())


def tile_side(height: int, width: int, tile_px: int) -> int:
    """Side of the tiles that a picture is predicted in, px.

    Args:
        height: Height of the picture.
        width: Width of the picture.
        tile_px: Side of the tiles in training.
    """
    return min(max(tile_px, SMALLEST_PX), max(height, width))


def from_tiles(
    picture: npt.NDArray[np.float32] | Grey, tile_px: int, predict: Callable[..., Map]
) -> Map:
    """A map (H, W) of a picture (H, W), the weighted mean of those of its tiles.

    Args:
        picture: The picture, standardised or in grey, as `predict` takes it.
        tile_px: Side of the tiles in training.
        predict: Function from a tile (S, S) to its map (S, S).
    """
    height, width = picture.shape
    size = tile_side(height, width, tile_px)
    mosaic = Mosaic(height, width)
    for top, left in grid(height, width, size, size // _OVERLAP):
        mosaic.add(predict(cut(picture, top, left, size)), top, left)
    return mosaic.result()


def sigmoid(logits: Map) -> Map:
    """Probabilities of logits; of far negative ones 0, without a warning."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), dtype=np.float32)
