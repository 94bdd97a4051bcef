"""The strip below a micrograph: scale bar, its length, voltage and magnification."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets.simulate.spec import DataBar
from trainables.datasets.simulate.truth import ScaleBar

_LONGEST: Final = 0.36  # of the picture's width; the 1-2-5 series always has one above 0.144
_PHOTO_WIDTH_UM: Final = 120_000  # of the print that a magnification is told for


def scale_bar(um_per_px: float, width: int, height: int, bar: DataBar, at_left: bool) -> ScaleBar:
    """The longest bar of a round length (1, 2 or 5) that fits, and where it lies.

    Args:
        um_per_px: Pixel size.
        width: Of the picture in px.
        height: Of the picture in px, data bar included.
        bar: The strip.
        at_left: Which side of the strip.
    """
    um = _round_below(_LONGEST * width * um_per_px)
    length = um / um_per_px
    margin = max(width // 24, 4)
    x0 = margin if at_left else width - margin - math.ceil(length)
    y = height - bar.height_px + max(bar.height_px // 5, 4)
    return ScaleBar(x0=float(x0), x1=x0 + length - 1, y=y, um=um, text=_length_text(um))


def draw_strip(strip: DataBar, bar: ScaleBar, width: int, um_per_px: float) -> npt.NDArray[np.float32]:
    """Grey levels (strip height, width), 0 to 255.

    The ends of a bar that is not a whole number of pixels long are grey by their share.
    """
    ink = Image.new("L", (width, strip.height_px), 0)
    draw = ImageDraw.Draw(ink)
    size = max(9, round(strip.height_px * 0.42))
    font = ImageFont.load_default(size=size)
    middle = (bar.x0 + bar.x1) / 2
    text_left = _text(draw, (middle, strip.height_px - 2), bar.text, font, "md", width)
    bar_span = min(text_left, bar.x0), max(2 * middle - text_left, bar.x1)
    _labels(draw, strip, bar_span, um_per_px, font)
    levels = np.asarray(ink, dtype=np.float32).copy()
    _draw_bar(levels, bar, strip)
    return levels if strip.dark else 255 - levels


def _draw_bar(levels: npt.NDArray[np.float32], bar: ScaleBar, strip: DataBar) -> None:
    """Draw the bar (and its ticks) in white, each column by the share of it that is covered."""
    columns = np.arange(levels.shape[1])
    covered = np.clip(np.minimum(columns + 1, bar.x1 + 1) - np.maximum(columns, bar.x0), 0, 1)
    thick = max(strip.height_px // 12, 2)
    row = max(strip.height_px // 5, 4)
    levels[row - thick // 2 : row - thick // 2 + thick] = 255 * covered
    if strip.ticks:
        ends = [round(bar.x0), math.ceil(bar.x1 - 1e-6)]
        top, bottom = max(row - thick - 1, 0), row + thick + 1
        levels[top:bottom, ends] = 255 * covered[ends]
