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

_GAP_PX: Final = 5


def scale_bar(
    um_per_px: float, size: tuple[int, int], strip: DataBar, *, at_left: bool
) -> ScaleBar:
    """The longest bar of a round length (1, 2 or 5) that fits, and where it lies.

    Args:
        um_per_px: Pixel size.
        size: Width and height of the picture in px, data bar included.
        strip: The data bar.
        at_left: Whether it stands at the left end of the strip.
    """
    width, height = size
    um = _round_length(_LONGEST * width * um_per_px)
    length = um / um_per_px
    length = round(length) if math.isclose(length, round(length), rel_tol=1e-9) else length
    margin = max(width // 24, 4)
    x0 = margin if at_left else width - margin - math.ceil(length)
    return ScaleBar(
        x0=float(x0),
        x1=x0 + length - 1,
        y=height - strip.height_px + _bar_row(strip),
        um=um,
        text=_length_text(um),
    )


def draw_strip(
    strip: DataBar, bar: ScaleBar, width: int, um_per_px: float
) -> npt.NDArray[np.float32]:
    """Grey levels (strip height, width), 0 to 255.

    The last column of a bar that is not a whole number of pixels long is grey by its share.
    """
    ink = Image.new("L", (width, strip.height_px), 0)
    draw = ImageDraw.Draw(ink)
    font = _font(max(9, round(strip.height_px * 0.4)))
    text_width = _text_width(bar.text, font)
    text_x = min(max((bar.x0 + bar.x1 - text_width) / 2, 2), width - text_width - 2)
    _write(draw, round(text_x), strip.height_px - max(strip.height_px // 8, 3), bar.text, font)
    taken = (min(text_x, bar.x0), max(text_x + text_width, bar.x1))
    free = (4, taken[0]) if taken[0] > width - taken[1] else (taken[1] + _GAP_PX, width)
    baseline = strip.height_px // 2 + round(0.36 * font.size)
    _write_labels(draw, (round(free[0]), baseline), free[1], _labels(strip, width, um_per_px), font)
    levels = np.asarray(ink, dtype=np.float32).copy()
    _draw_bar(levels, bar, strip)
    return levels if strip.dark else 255 - levels


def _draw_bar(levels: npt.NDArray[np.float32], bar: ScaleBar, strip: DataBar) -> None:
    """Draw the bar and its ticks in white, each column by the share of it that is covered."""
    first, last = round(bar.x0), math.ceil(bar.x1 - 1e-6)
    covered = np.ones(last - first + 1, dtype=np.float32)
    covered[-1] = bar.length_px - (last - first)
    row, thick = _bar_row(strip), max(strip.height_px // 12, 2)
    levels[row - thick // 2 : row - thick // 2 + thick, first : last + 1] = 255 * covered
    if strip.ticks:
        rows = slice(row - thick // 2 - 2, row - thick // 2 + thick + 2)
        levels[rows, first] = 255
        levels[rows, last] = 255 * covered[-1]


def _bar_row(strip: DataBar) -> int:
    """Row through the bar, counted from the strip's top."""
    return max(strip.height_px // 5, 4)


def _round_length(longest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `longest`."""
    exponent = math.floor(math.log10(longest))
    digit = max(d for d in (1, 2, 5) if d * 10.0**exponent <= longest or d == 1)
    return float(f"{digit}e{exponent}")


def _length_text(um: float) -> str:
    if um < 1:
        return f"{um * 1000:.6g} nm"
    return f"{um:.6g} \N{MICRO SIGN}m" if um < 1000 else f"{um / 1000:.6g} mm"


def _labels(strip: DataBar, width: int, um_per_px: float) -> list[str]:
    magnification = _PHOTO_WIDTH_UM / (width * um_per_px)
    rounded = float(f"{magnification:.2g}")
    return [f"{strip.kv:.1f}kV", f"X{rounded:,.0f}", strip.detector]


def _write_labels(
    draw: ImageDraw.ImageDraw,
    start: tuple[int, int],
    end: float,
    labels: list[str],
    font: ImageFont.FreeTypeFont,
) -> None:
    """Write side by side what fits before column `end`."""
    x, baseline = start
    for label in labels:
        stop = x + _text_width(label, font)
        if stop > end - _GAP_PX:
            return
        _write(draw, x, baseline, label, font)
        x = round(stop) + 2 * _GAP_PX


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow.

    Raises:
        RuntimeError: Pillow was built without FreeType.
    """
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("expected a Pillow with FreeType, which draws the text of the data bar")
    return font


def _text_width(text: str, font: ImageFont.FreeTypeFont) -> float:
    return font.getlength(text.replace("\N{MICRO SIGN}", "u"))


def _write(
    draw: ImageDraw.ImageDraw, x: int, baseline: int, text: str, font: ImageFont.FreeTypeFont
) -> None:
    """Write text; Pillow's own font lacks the micro sign, so that is a u with a longer stem."""
    draw.text((x, baseline), text.replace("\N{MICRO SIGN}", "u"), fill=255, font=font, anchor="ls")
    before, sign, _ = text.partition("\N{MICRO SIGN}")
    if sign:
        left, top, _, _ = draw.textbbox(
            (x + font.getlength(before), baseline), "u", font=font, anchor="ls"
        )
        stem = max(round(font.size / 12), 1)
        below = baseline + max(round(0.18 * font.size), 2)
        draw.rectangle((left, top, left + stem - 1, below), fill=255)
