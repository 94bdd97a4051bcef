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

_LENGTHS: Final[Mapping[str, float]] = {"nm": 1e-3, "µm": 1.0, "mm": 1e3}

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
    return write_whole(path, lambda file: sheet.save(file, format="PNG", compress_level=1))


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
    sheet = Image.new("RGB", (canvas.shape[1], canvas.shape[0] + _LINE_PX), _PAPER)
    sheet.paste(Image.fromarray(canvas), (0, _LINE_PX))
    draw = ImageDraw.Draw(sheet)
    _write_numbers(draw, drawn, scale)
    end = _draw_bar(draw, drawn.um_per_px, scale, sheet.width)
    _write_heading(draw, drawn, classes, colors, end)
    return sheet


def _rims(found: Instances, index: int, scale: float) -> list[npt.NDArray[np.int32]]:
    if found.masks is not None:
        mask: dict[str, Any] = dict(found.masks[index])
        return outlines(mask, scale)
    x1, y1, x2, y2 = (found.boxes[index].astype(np.float64) * scale).tolist()
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return [np.rint((corners - 0.5) * 2**SHIFT).astype(np.int32)]


def _write_numbers(draw: ImageDraw.ImageDraw, drawn: NumberedPicture, scale: float) -> None:
    """Numbers of the particles at their centres; of very many none, as nobody could read them."""
    if len(drawn.instances) > _MOST_NUMBERED:
        return
    font = ImageFont.load_default(_NUMBER_PX)
    for index, box in enumerate(drawn.instances.boxes.astype(float).tolist()):
        x, y = (box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale + _LINE_PX
        text = str(drawn.first_id + index)
        draw.text((x, y), text, _PAPER, font, anchor="mm", stroke_width=1, stroke_fill=_INK)


def _draw_bar(draw: ImageDraw.ImageDraw, um_per_px: float | None, scale: float, width: int) -> int:
    """Draw a scale bar at the right of the heading; returns where it begins."""
    if um_per_px is None:
        return width
    um, text = bar_length(um_per_px * width / scale * _BAR_SHARE)
    length = um / um_per_px * scale
    font = ImageFont.load_default(_TEXT_PX)
    x1 = width - _GAP_PX
    draw.line((x1 - length, _LINE_PX - 5, x1, _LINE_PX - 5), _INK, 3)
    draw.text((x1 - length / 2, _LINE_PX - 8), text, _INK, font, anchor="mb")
    return int(x1 - max(length, font.getlength(text)))


def bar_length(most_um: float) -> tuple[float, str]:
    """The longest length of 1, 2 or 5 times a power of ten up to one, in micrometres, and its text.

    >>> bar_length(0.37), bar_length(12.0)
    ((0.2, '200 nm'), (10.0, '10 µm'))
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
    end: int,
) -> None:
    """Name, count and the classes that were found, with their colours, as far as there is room."""
    font = ImageFont.load_default(_TEXT_PX)
    text = f"{drawn.name}: {len(drawn.instances)}"
    draw.text((_GAP_PX, 3), text, _INK, font)
    x = 2 * _GAP_PX + int(font.getlength(text))
    for index in sorted(set(drawn.instances.classes.tolist())):
        need = _TEXT_PX + int(font.getlength(classes[index])) + 2 * _GAP_PX
        if x + need > end:
            return
        draw.rectangle((x, 6, x + _TEXT_PX - 4, _TEXT_PX + 2), colors[index], _INK)
        draw.text((x + _TEXT_PX, 3), classes[index], _INK, font)
        x += need
