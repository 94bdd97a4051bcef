"""Micrographs with their picks drawn, to see at once whether they were found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.micrographs.micrographs import Micrograph
from analysis.picking.outputs import Outputs, Record
from trainables.datasets.drawing import SHIFT, class_colors, displayed, lay_out
from trainables.datasets.images import read_picture
from trainables.files.whole import write_whole

MOST: Final = 12

_THUMB_PX: Final = 480

_SMALLEST_PX: Final = 2.0  # of a circle on the sheet

_PERCENTILES: Final = (0.5, 99.5)

_GREY_LEVELS: Final = 255


def draw_sheet(
    outputs: Outputs, done: Sequence[tuple[Micrograph, Record]], title: str, path: Path
) -> None:
    """Write a sheet of at most `MOST` micrographs, spread over all of them.

    Args:
        outputs: Holds the picks.
        done: At least one.
        title: Above all.
        path: PNG to write.
    """
    n = min(MOST, len(done))
    shown = [done[i * len(done) // n] for i in range(n)]
    thumbs = [
        (f"{micrograph.stem}: {record.picks}", _thumb(outputs, micrograph, record))
        for micrograph, record in shown
    ]
    sheet = lay_out(title, thumbs, thumb_px=_THUMB_PX)
    write_whole(path, lambda temporary: sheet.save(temporary, format="png", compress_level=6))


def _thumb(outputs: Outputs, micrograph: Micrograph, record: Record) -> npt.NDArray[np.uint8]:
    """A small micrograph, stretched to all grey levels, a circle around each pick."""
    pixels = read_picture(micrograph.path, micrograph.page).pixels
    small, scale = displayed(pixels, _THUMB_PX)
    low, high = np.percentile(small, _PERCENTILES)
    stretched = (small.astype(np.float32) - low) * (_GREY_LEVELS / max(high - low, 1))
    thumb = np.clip(stretched, 0, _GREY_LEVELS).astype(np.uint8)
    if thumb.ndim == 2:
        thumb = np.repeat(thumb[:, :, None], 3, axis=2)
    (color,) = class_colors(1)
    radius = round(max(record.radius_px * scale, _SMALLEST_PX) * 2**SHIFT)
    centers = np.rint((outputs.picks(micrograph).centers * scale - 0.5) * 2**SHIFT).astype(int)
    for center in centers.tolist():
        cv2.circle(thumb, center, radius, color, 1, cv2.LINE_AA, SHIFT)
    return np.asarray(thumb)
