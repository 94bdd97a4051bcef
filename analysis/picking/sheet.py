"""Micrographs with their picks drawn, to see at once whether they were found.

Of micrographs that the sheet shows at less than half their size, crops at full resolution follow.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.picking.outputs import Outputs, Record
from analysis.pictures.micrographs import Micrograph
from trainables.datasets.drawing import (
    SHIFT,
    chosen_for_crops,
    class_colors,
    displayed,
    full_resolution,
    lay_out,
    window_around,
)
from trainables.datasets.images import UnreadableImageError, read_picture
from trainables.files.whole import write_whole

log = logging.getLogger(__name__)

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
    thumbs: list[tuple[str, npt.NDArray[np.uint8]]] = []
    crops: list[tuple[str, npt.NDArray[np.uint8]]] = []
    for micrograph, record in shown:
        try:
            pixels = read_picture(micrograph.path, micrograph.page).pixels
        except (OSError, UnreadableImageError) as error:  # it has gone since
            log.warning("%s is left out of the sheet: %s", micrograph.name, error)
            continue
        centers = outputs.picks(micrograph).centers
        thumbs.append(
            (f"{micrograph.stem}: {record.picks}", _thumb(pixels, centers, record, _THUMB_PX))
        )
        if max(pixels.shape[:2]) > 2 * _THUMB_PX:
            place = _middle(centers, pixels.shape[:2])
            window, corner = window_around(pixels, place, _THUMB_PX)
            crop = _thumb(window, centers - corner, record, max(window.shape[:2]))
            crops.append((full_resolution(micrograph.stem), crop))
    thumbs += chosen_for_crops(crops)
    if not thumbs:
        return
    sheet = lay_out(title, thumbs, thumb_px=_THUMB_PX)
    write_whole(path, lambda temporary: sheet.save(temporary, format="png", compress_level=6))


def _middle(centers: npt.NDArray[np.float64], size: tuple[int, ...]) -> tuple[int, int]:
    """x, y around which a crop is shown: one of the picks, else the middle of the micrograph."""
    if not len(centers):
        return size[1] // 2, size[0] // 2
    x, y = centers[len(centers) // 2]
    return int(x), int(y)


def _thumb(
    pixels: npt.NDArray[np.uint8],
    centers: npt.NDArray[np.float64],
    record: Record,
    longest_px: int,
) -> npt.NDArray[np.uint8]:
    """A micrograph to look at, stretched to all grey levels, a circle around each pick.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        centers: (N, 2), x y of its picks; others lie outside and are not seen.
        record: Says their radius.
        longest_px: Longer side of the result.
    """
    small, scale = displayed(pixels, longest_px)
    low, high = np.percentile(small, _PERCENTILES)
    stretched = (small.astype(np.float32) - low) * (_GREY_LEVELS / max(high - low, 1))
    thumb = np.clip(stretched, 0, _GREY_LEVELS).astype(np.uint8)
    if thumb.ndim == 2:
        thumb = np.repeat(thumb[:, :, None], 3, axis=2)
    (color,) = class_colors(1)
    radius = round(max(record.radius_px * scale, _SMALLEST_PX) * 2**SHIFT)
    places = np.rint((centers * scale - 0.5) * 2**SHIFT).astype(int)
    for center in places.tolist():
        cv2.circle(thumb, center, radius, color, 1, cv2.LINE_AA, SHIFT)
    return np.asarray(thumb)
