"""Texts beside a bar: where they are, before they are read.

In a data bar, a text is a row of pieces of ink of the bar's own brightness. Over the content of a
picture these hang together with what is bright there; the detector finds texts then.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.scale.bar.lengths import Character, Line
from analysis.scale.bar.ocr import find_texts, read_text
from analysis.scale.bar.strokes import Box, Grey, Stroke

_REACH: Final = 0.09
"""How far from a bar its text may be, of the picture's height."""

_LEAST_REACH_PX: Final = 56

_TALLEST: Final = 0.075  # of the picture's height

_LEAST_TALLEST_PX: Final = 40

_SMALLEST_PX: Final = 5

_FAINTER: Final = 45
"""Grey levels below a bar's that are still its text's where the picture is bright."""

_DETECTED_HEIGHT_PX: Final = 1024
"""Height of a picture to which a larger one is shrunk for the detector."""

_APART: Final = 1.1  # heights between two letters of a text

_MARGIN: Final = 0.2
"""Room around a text when it is read, of its height."""


def reach_px(height: int) -> int:
    """Rows and columns from a bar within which its text is looked for."""
    return max(_LEAST_REACH_PX, round(_REACH * height))


def _window(grey: Grey, stroke: Stroke, sideways: int) -> Box:
    """The part of a picture in which a bar's text may be, with `sideways` columns beside it."""
    height, width = grey.shape
    reach = reach_px(height)
    box = stroke.extent
    return Box(
        max(box.x0 - sideways, 0),
        max(box.y0 - reach, 0),
        min(box.x1 + sideways, width - 1),
        min(box.y1 + reach, height - 1),
    )


def texts_of_ink(grey: Grey, stroke: Stroke) -> list[Box]:
    """Rectangles of rows of letters of a bar's own brightness."""
    return _texts(grey, stroke, stroke.middle)


def texts_of_bright_ink(grey: Grey, stroke: Stroke) -> list[Box]:
    """The same where things in the picture are almost as bright."""
    return _texts(grey, stroke, max(stroke.middle, stroke.level - _FAINTER))


def _texts(grey: Grey, stroke: Stroke, least: float) -> list[Box]:
    part = _window(grey, stroke, 4 * reach_px(grey.shape[0]))
    levels = grey if stroke.bright else 255 - grey
    ink = levels[part.y0 : part.y1 + 1, part.x0 : part.x1 + 1] >= least
    tallest = max(_LEAST_TALLEST_PX, round(_TALLEST * grey.shape[0]))
    letters = [box for box in _pieces(ink, part) if not _is_line(box, tallest)]
    letters = [box for box in letters if not stroke.box.grown(1).holds(box)]
    return [box for box in _rows(letters) if box.height >= _SMALLEST_PX]


def texts_by_detector(grey: Grey, stroke: Stroke) -> list[Box]:
    """Rectangles of the texts around a bar, whatever they lie on."""
    part = _window(grey, stroke, 2 * reach_px(grey.shape[0]))
    crop = grey[part.y0 : part.y1 + 1, part.x0 : part.x1 + 1]
    by = min(1.0, _DETECTED_HEIGHT_PX / grey.shape[0])
    if by < 1:
        crop = np.asarray(cv2.resize(crop, None, fx=by, fy=by, interpolation=cv2.INTER_AREA))
    return [
        Box(
            part.x0 + round(box.x0 / by),
            part.y0 + round(box.y0 / by),
            part.x0 + round(box.x1 / by),
            part.y0 + round(box.y1 / by),
        )
        for box in find_texts(crop)
    ]


def read_line(grey: Grey, box: Box, *, bright: bool, margin: float = _MARGIN) -> Line:
    """The text in a rectangle, its characters at their places in the picture.

    Args:
        grey: (H, W) uint8.
        box: Rectangle of the text.
        bright: Whether the text is brighter than what is beside it.
        margin: Room around it, of its height.
    """
    by = max(2, round(margin * box.height))
    height, width = grey.shape
    x0, y0 = max(box.x0 - by, 0), max(box.y0 - by, 0)
    x1, y1 = min(box.x1 + by, width - 1), min(box.y1 + by, height - 1)
    crop = grey[y0 : y1 + 1, x0 : x1 + 1]
    read = read_text(255 - crop if bright else crop)
    wide = x1 - x0 + 1
    characters = tuple(Character(c.text, x0 + c.x * wide) for c in read.letters)
    return Line(box, characters, read.confidence)


def _pieces(ink: npt.NDArray[np.bool_], part: Box) -> Iterable[Box]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    for x, y, w, h, area in stats[1:].tolist():
        if area >= 2:
            yield Box(part.x0 + x, part.y0 + y, part.x0 + x + w - 1, part.y0 + y + h - 1)


def _is_line(box: Box, tallest: int) -> bool:
    """Whether a piece of ink is too long or too tall to be a letter."""
    return box.height > tallest or box.width > max(4 * box.height, tallest)


def _rows(letters: Sequence[Box]) -> list[Box]:
    """Letters side by side as one rectangle, dots and the dots on letters included."""
    tall = sorted((b for b in letters if b.height >= _SMALLEST_PX), key=lambda b: b.x0)
    rows: list[list[Box]] = []
    for letter in tall:
        row = next((r for r in rows if _follows(r[-1], letter)), None)
        if row is None:
            rows.append([letter])
        else:
            row.append(letter)
    return [_around(row) for row in rows]


def _follows(a: Box, b: Box) -> bool:
    """Whether two letters stand side by side in one text."""
    shared = min(a.y1, b.y1) - max(a.y0, b.y0) + 1
    taller = max(a.height, b.height)
    alike = min(a.height, b.height) >= 0.4 * taller
    return alike and shared >= 0.6 * min(a.height, b.height) and a.gap_x(b) <= _APART * taller


def _around(row: Sequence[Box]) -> Box:
    box = row[0]
    for letter in row[1:]:
        box = box.with_(letter)
    return box
