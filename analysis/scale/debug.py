"""A picture of what was looked at for a scale, to see why it was found or was not.

Green is the region of interest, blue the texts that were read, cyan the bars that were looked at,
red the bar that was chosen, with its text; what is not analysed is darkened.
"""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw

from analysis.scale.bar.strokes import Box
from analysis.scale.reading import PictureScale
from analysis.scale.region import region_mask
from analysis.scale.roi import Roi
from trainables.files.whole import write_whole

_GREEN: Final = (0, 200, 0)

_BLUE: Final = (60, 120, 255)

_CYAN: Final = (0, 220, 220)

_RED: Final = (255, 40, 40)

_LEFT_OUT: Final = 0.6
"""Brightness of what is not analysed."""

_LONGEST_PX: Final = 2000


def write_debug_picture(path: Path, found: PictureScale, roi: Roi | None) -> None:
    """Draw what was looked at; nothing where the picture could not be read.

    Args:
        path: PNG to write.
        found: The scale of a picture.
        roi: Region of interest, or None for the whole picture.

    Raises:
        OSError: It cannot be written.
    """
    if found.grey is None or found.region is None:
        return
    height, width = found.grey.shape
    mask = region_mask(found.region.areas, (height, width))
    grey = np.where(mask, found.grey, found.grey * _LEFT_OUT).astype(np.uint8)
    image = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
    draw = ImageDraw.Draw(image)
    whole = Box(0, 0, width - 1, height - 1)
    _frame(draw, (roi.within((height, width)) or whole) if roi else whole, _GREEN, 0)
    if found.search is not None:
        for text in found.search.texts:
            _frame(draw, text, _BLUE, 2)
        for stroke in found.search.strokes:
            _frame(draw, stroke.box, _CYAN, 1)
        if found.search.bar is not None:
            _frame(draw, found.search.bar.stroke.box, _RED, 2)
            _frame(draw, found.search.bar.text.box, _RED, 3)
    words = found.reading.scale.detail if found.reading.scale else found.reading.reason
    shown = _with_words(image, words)
    write_whole(path, lambda place: shown.save(place, format="png"))


def _frame(draw: ImageDraw.ImageDraw, box: Box, color: tuple[int, int, int], by: int) -> None:
    grown = box.grown(by)
    draw.rectangle((grown.x0, grown.y0, grown.x1, grown.y1), outline=color)


def _with_words(image: Image.Image, words: str) -> Image.Image:
    """The picture, not too large, with a line of text above it."""
    by = min(1.0, _LONGEST_PX / max(image.size))
    if by < 1:
        size = (round(image.width * by), round(image.height * by))
        image = Image.fromarray(cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_AREA))
    shown = Image.new("RGB", (image.width, image.height + 16), (0, 0, 0))
    shown.paste(image, (0, 16))
    plain = words.encode("ascii", "replace").decode()
    ImageDraw.Draw(shown).text((4, 2), plain, fill=(255, 255, 255))
    return shown
