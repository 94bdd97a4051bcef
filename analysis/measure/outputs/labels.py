"""Label images: each pixel holds the number of the particle it belongs to, 0 for background."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import tifffile

from analysis.measure.geometry.runs import Runs
from analysis.measure.geometry.strips import strips_of
from trainables.files.whole import write_whole

_MOST_16_BIT: Final = 65535

Inside = npt.NDArray[np.bool_]


def write_labels(runs: Runs, path: Path) -> Path:
    """Write a label image in which mask i has the number i + 1.

    Where particles overlap, the pixel belongs to the smaller one, so that none disappears below a
    larger one; the tables and the COCO file hold each whole.

    Args:
        runs: The masks.
        path: TIFF file to write, of 16 bits a pixel; of 32 where there are more particles than
            16 bits can number.
    """
    kind = np.uint16 if runs.n_masks <= _MOST_16_BIT else np.uint32
    labels = np.zeros((runs.height, runs.width), kind)
    crops, corners = _crops(runs), runs.boxes[:, :2].tolist()
    for index in np.argsort(-runs.areas, kind="stable").tolist():
        mask, (x, y) = crops[index], corners[index]
        labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = runs.present[index] + 1

    def write(file: Path) -> None:
        tifffile.imwrite(file, labels, compression="zlib", photometric="minisblack")

    return write_whole(path, write, on_disk=False)  # later, with the others of the picture


def _crops(runs: Runs) -> list[Inside]:
    """The masks that have pixels, each in its box, (h, w) bool."""
    crops: dict[int, Inside] = {}
    sizes = (runs.boxes[:, 2:] - runs.boxes[:, :2]).tolist()
    for strip in strips_of(runs):
        for mask, row in zip(strip.masks.tolist(), strip.rows.tolist(), strict=True):
            width, height = sizes[mask]
            crops[mask] = strip.pixels[row : row + width, 1 : 1 + height].T.view(bool)
    return [crops[mask] for mask in range(len(crops))]
