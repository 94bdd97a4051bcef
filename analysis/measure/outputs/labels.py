"""Label images: each pixel holds the number of the particle it belongs to, 0 for background."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from trainables.datasets import geometry
from trainables.files.whole import write_whole

_MOST_16_BIT: Final = 65535


def write_labels(masks: Sequence[Mapping[str, Any]], size: tuple[int, int], path: Path) -> Path:
    """Write a label image in which mask i has the number i + 1.

    Where particles overlap, the pixel belongs to the smaller one, so that none disappears below a
    larger one; the tables and the COCO file hold each whole.

    Args:
        masks: Run-length encodings.
        size: Height and width of the picture.
        path: TIFF file to write, of 16 bits a pixel; of 32 where there are more particles than
            16 bits can number.
    """
    kind = np.uint16 if len(masks) <= _MOST_16_BIT else np.uint32
    labels = np.zeros(size, kind)
    areas = [geometry.area(dict(mask)) for mask in masks]
    for index in sorted(range(len(masks)), key=lambda i: (-areas[i], i)):
        mask, (x, y) = geometry.crop(dict(masks[index]))
        part = labels[y : y + mask.shape[0], x : x + mask.shape[1]]
        part[mask != 0] = index + 1

    def write(file: Path) -> None:
        tifffile.imwrite(file, labels, compression="zlib", photometric="minisblack")

    return write_whole(path, write, on_disk=False)  # later, with the others of the picture
