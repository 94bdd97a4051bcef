"""The lines above an overlay: name and count, a legend of classes, and a scale bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets.drawing import Rgb

PAPER: Final = (255, 255, 255)

INK: Final = (20, 20, 20)

_GAP_PX: Final = 10

_LINE_PX: Final = 26

_TEXT_PX: Final = 16

_BAR_SHARE: Final = 0.2  # of the width, about

_LENGTHS: Final[Mapping[str, float]] = {"nm": 1e-3, "um": 1.0, "mm": 1e3}  # no font has every µ

_STEPS: Final = (1, 2, 5)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Heading:
    """What stands above a picture.

    Attributes:
        name: Name of the picture.
        count: Number of its particles.
        classes: Names of the classes that were found, with their colours.
        um_per_px: Side of a pixel as drawn, in micrometres; None draws no scale bar.
    """

    name: str
    count: int
    classes: Sequence[tuple[str, Rgb]]
    um_per_px: float | None = None


@cache
def font_of(px: int) -> Font:
    """The font of texts so high; loading it takes longer than writing a line with it."""
    return ImageFont.load_default(px)


def drawn_heading(heading: Heading, width: int) -> npt.NDArray[np.uint8]:
    """A heading of one line, or of two where the scale bar needs one of its own, (h, w, 3) uint8.

    Args:
        heading: What stands in it.
        width: Its width, px.
    """
    bar = _bar_of(heading.um_per_px, width)
    beside = bar is not None and _words_px(heading) + bar.taken <= width
    height = _LINE_PX if bar is None or beside else 2 * _LINE_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    if bar is not None:
        bar.draw(draw, width - _GAP_PX, height)
    last = width - (bar.taken if bar is not None else 0)
    _write(draw, heading, [last] if height == _LINE_PX else [width, last])
    return np.asarray(sheet)


@dataclass(frozen=True)
class _Bar:
    """A scale bar.

    Attributes:
        length: Its length as drawn, px.
        text: What it stands for.
    """

    length: float
    text: str

    @property
    def taken(self) -> int:
        """Width that it takes at the right of a heading, px."""
        return int(max(self.length, font_of(_TEXT_PX).getlength(self.text))) + 2 * _GAP_PX

    def draw(self, draw: ImageDraw.ImageDraw, right: int, bottom: int) -> None:
        """Draw it, its text above."""
        font = font_of(_TEXT_PX)
        wide = max(self.length, font.getlength(self.text))
        draw.line((right - self.length, bottom - 5, right, bottom - 5), INK, 3)
        draw.text((right - wide / 2, bottom - 8), self.text, INK, font, anchor="mb")


def _bar_of(um_per_px: float | None, width: int) -> _Bar | None:
    """The scale bar of a picture that is drawn so wide, if its scale is known."""
    if um_per_px is None:
        return None
    um, text = bar_length(um_per_px * width * _BAR_SHARE)
    return _Bar(um / um_per_px, text)


def bar_length(most_um: float) -> tuple[float, str]:
    """The longest length of 1, 2 or 5 times a power of ten up to one, in micrometres, and its text.

    >>> bar_length(0.37), bar_length(12.0)
    ((0.2, '200 nm'), (10.0, '10 um'))
    """
    exponent = int(np.floor(np.log10(most_um)))
    um = max(step * 10.0**exponent for step in _STEPS if step * 10.0**exponent <= most_um)
    unit = next((name for name, size in reversed(list(_LENGTHS.items())) if um >= size), "nm")
    return um, f"{um / _LENGTHS[unit]:g} {unit}"


def _write(draw: ImageDraw.ImageDraw, heading: Heading, ends: Sequence[int]) -> None:
    """Name, count and the classes that were found, with their colours, as far as there is room.

    Args:
        draw: Where to draw.
        heading: What to write.
        ends: Where each line of the heading ends, px.
    """
    font = font_of(_TEXT_PX)
    text = _title(heading, ends[0] - 2 * _GAP_PX)
    draw.text((_GAP_PX, 3), text, INK, font)
    x, line = 2 * _GAP_PX + int(font.getlength(text)), 0
    for name, color in heading.classes:
        need = _legend_px(name)
        if x + need > ends[line]:
            x, line = _GAP_PX, line + 1
        if line == len(ends) or x + need > ends[line]:
            return
        y = line * _LINE_PX
        draw.rectangle((x, y + 6, x + _TEXT_PX - 4, y + _TEXT_PX + 2), color, INK)
        draw.text((x + _TEXT_PX, y + 3), name, INK, font)
        x += need


def _title(heading: Heading, most: float) -> str:
    """Name and count, of a long name the end, at most so wide (px)."""
    font = font_of(_TEXT_PX)
    name, count = heading.name, f": {heading.count}"
    while len(name) > 1 and font.getlength(name + count) > most:
        name = f"…{name.lstrip('…')[1:]}"
    return name + count


@cache
def _legend_px(name: str) -> int:
    """Width that a class takes in the heading, px."""
    return _TEXT_PX + int(font_of(_TEXT_PX).getlength(name)) + 2 * _GAP_PX


def _words_px(heading: Heading) -> int:
    """Width of the whole heading without a scale bar, px."""
    title = font_of(_TEXT_PX).getlength(_title(heading, float("inf")))
    return 2 * _GAP_PX + int(title) + sum(_legend_px(name) for name, _ in heading.classes)
