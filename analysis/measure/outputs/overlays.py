"""The picture with its particles outlined and numbered, a legend of classes, and a scale bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets.drawing import SHIFT, Rgb, class_colors, displayed, outlines
from trainables.files.whole import write_whole
from trainables.results import Instances

LONGEST_PX: Final = 1600
"""Longer side of an overlay."""

_GAP_PX: Final = 10

_LINE_PX: Final = 26

_TEXT_PX: Final = 16

_NUMBER_PX: Final = 11

_MOST_NUMBERED: Final = 400

_PAPER: Final = (255, 255, 255)

_INK: Final = (20, 20, 20)

_BAR_SHARE: Final = 0.2  # of the width, about

_LENGTHS: Final[Mapping[str, float]] = {"nm": 1e-3, "um": 1.0, "mm": 1e3}  # no font has every µ

_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True)
class NumberedPicture:
    """A picture to draw with its particles.

    Attributes:
        name: Name of the picture.
        pixels: (H, W) or (H, W, 3) uint8 as the model saw it.
        instances: Its particles.
        first_id: Number of its first particle in the tables.
        um_per_px: Side of a pixel in micrometres; None draws no scale bar.
        left_out: Rectangles x0, y0, x1, y1 in which nothing was searched.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    instances: Instances
    first_id: int = 1
    um_per_px: float | None = None
    left_out: Sequence[tuple[int, int, int, int]] = ()


def write_overlay(drawn: NumberedPicture, classes: Sequence[str], path: Path) -> Path:
    """Write a picture with the outline and the number of each particle.

    Args:
        drawn: Picture and particles.
        classes: Class names.
        path: PNG file to write.
    """
    sheet = overlay(drawn, classes)

    def write(file: Path) -> None:
        sheet.save(file, format="PNG", compress_level=1)

    return write_whole(path, write, on_disk=False)  # later, with the others of the picture


def overlay(drawn: NumberedPicture, classes: Sequence[str]) -> Image.Image:
    """The picture, as `write_overlay` writes it."""
    pixels = drawn.pixels if drawn.pixels.ndim == 3 else np.repeat(drawn.pixels[..., None], 3, 2)
    longest = min(LONGEST_PX, max(pixels.shape[:2]))
    canvas, scale = displayed(np.ascontiguousarray(pixels), longest)
    for x0, y0, x1, y1 in drawn.left_out:
        corner, other = ((round(x * scale), round(y * scale)) for x, y in ((x0, y0), (x1, y1)))
        canvas[corner[1] : other[1], corner[0] : other[0]] //= 2
    colors = class_colors(len(classes))
    found = drawn.instances
    for index in range(len(found)):
        color = colors[int(found.classes[index])]
        cv2.polylines(canvas, _rims(found, index, scale), True, color, 1, cv2.LINE_AA, SHIFT)
    width = canvas.shape[1]
    bar = _bar_of(drawn.um_per_px, scale, width)
    beside = bar is not None and _words_px(drawn, classes) + bar.taken <= width
    top = _LINE_PX if bar is None or beside else 2 * _LINE_PX
    sheet = Image.new("RGB", (width, canvas.shape[0] + top), _PAPER)
    sheet.paste(Image.fromarray(canvas), (0, top))
    draw = ImageDraw.Draw(sheet)
    _write_numbers(draw, drawn, scale, top)
    if bar is not None:
        bar.draw(draw, width - _GAP_PX, top)
    last = width - (bar.taken if bar is not None else 0)
    ends = [last] if top == _LINE_PX else [width, last]
    _write_heading(draw, drawn, classes, colors, ends)
    return sheet


def _rims(found: Instances, index: int, scale: float) -> list[npt.NDArray[np.int32]]:
    if found.masks is not None:
        mask: dict[str, Any] = dict(found.masks[index])
        return outlines(mask, scale)
    x1, y1, x2, y2 = (found.boxes[index].astype(np.float64) * scale).tolist()
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return [np.rint((corners - 0.5) * 2**SHIFT).astype(np.int32)]


def _write_numbers(
    draw: ImageDraw.ImageDraw, drawn: NumberedPicture, scale: float, top: int
) -> None:
    """Numbers of the particles at their centres; of very many none, as nobody could read them."""
    if len(drawn.instances) > _MOST_NUMBERED:
        return
    font = ImageFont.load_default(_NUMBER_PX)
    for index, box in enumerate(drawn.instances.boxes.astype(float).tolist()):
        x, y = (box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale + top
        text = str(drawn.first_id + index)
        draw.text((x, y), text, _PAPER, font, anchor="mm", stroke_width=1, stroke_fill=_INK)


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
        font = ImageFont.load_default(_TEXT_PX)
        return int(max(self.length, font.getlength(self.text))) + 2 * _GAP_PX

    def draw(self, draw: ImageDraw.ImageDraw, right: int, bottom: int) -> None:
        """Draw it, its text above."""
        font = ImageFont.load_default(_TEXT_PX)
        wide = max(self.length, font.getlength(self.text))
        draw.line((right - self.length, bottom - 5, right, bottom - 5), _INK, 3)
        draw.text((right - wide / 2, bottom - 8), self.text, _INK, font, anchor="mb")


def _bar_of(um_per_px: float | None, scale: float, width: int) -> _Bar | None:
    """The scale bar of a picture that is drawn so wide, if its scale is known."""
    if um_per_px is None:
        return None
    um, text = bar_length(um_per_px * width / scale * _BAR_SHARE)
    return _Bar(um / um_per_px * scale, text)


def bar_length(most_um: float) -> tuple[float, str]:
    """The longest length of 1, 2 or 5 times a power of ten up to one, in micrometres, and its text.

    >>> bar_length(0.37), bar_length(12.0)
    ((0.2, '200 nm'), (10.0, '10 um'))
    """
    exponent = int(np.floor(np.log10(most_um)))
    um = max(step * 10.0**exponent for step in _STEPS if step * 10.0**exponent <= most_um)
    unit = next((name for name, size in reversed(list(_LENGTHS.items())) if um >= size), "nm")
    return um, f"{um / _LENGTHS[unit]:g} {unit}"


def _write_heading(
    draw: ImageDraw.ImageDraw,
    drawn: NumberedPicture,
    classes: Sequence[str],
    colors: Sequence[Rgb],
    ends: Sequence[int],
) -> None:
    """Name, count and the classes that were found, with their colours, as far as there is room.

    Args:
        draw: Where to draw.
        drawn: The picture.
        classes: Class names.
        colors: Colour of each.
        ends: Where each line of the heading ends, px.
    """
    font = ImageFont.load_default(_TEXT_PX)
    text = _title(drawn, ends[0] - 2 * _GAP_PX)
    draw.text((_GAP_PX, 3), text, _INK, font)
    x, line = 2 * _GAP_PX + int(font.getlength(text)), 0
    for index in sorted(set(drawn.instances.classes.tolist())):
        need = _legend_px(classes[index])
        if x + need > ends[line]:
            x, line = _GAP_PX, line + 1
        if line == len(ends) or x + need > ends[line]:
            return
        y = line * _LINE_PX
        draw.rectangle((x, y + 6, x + _TEXT_PX - 4, y + _TEXT_PX + 2), colors[index], _INK)
        draw.text((x + _TEXT_PX, y + 3), classes[index], _INK, font)
        x += need


def _title(drawn: NumberedPicture, most: float) -> str:
    """Name and count, of a long name the end, at most so wide (px)."""
    font = ImageFont.load_default(_TEXT_PX)
    name, count = drawn.name, f": {len(drawn.instances)}"
    while len(name) > 1 and font.getlength(name + count) > most:
        name = f"…{name.lstrip('…')[1:]}"
    return name + count


def _legend_px(name: str) -> int:
    """Width that a class takes in the heading, px."""
    return _TEXT_PX + int(ImageFont.load_default(_TEXT_PX).getlength(name)) + 2 * _GAP_PX


def _words_px(drawn: NumberedPicture, classes: Sequence[str]) -> int:
    """Width of the whole heading without a scale bar, px."""
    found = set(drawn.instances.classes.tolist())
    title = ImageFont.load_default(_TEXT_PX).getlength(_title(drawn, float("inf")))
    return 2 * _GAP_PX + int(title) + sum(_legend_px(classes[index]) for index in found)
