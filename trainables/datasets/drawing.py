"""Contact sheets: pictures of each part with the annotations drawn, to see whether they were read.

Of pictures that a sheet shows at less than half their size, crops at full resolution follow.
Outlines and a light tint in the colour of the class; a hole stays untinted, so that it shows. Of
objects without masks the boxes are drawn, without a tint: what is inside is not all theirs.
"""

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets import geometry
from trainables.datasets.prepared import SPLITS, UNLABELLED, PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord
from trainables.files.words import counted

PICTURES: Final = 20
"""At most this many pictures a sheet, spread over the part."""

SHIFT: Final = 4
"""OpenCV draws to 1/2**SHIFT pixel."""

CROPS: Final = 4
"""Number of crops a sheet at most."""

_THUMB_PX: Final = 360

_COLUMNS: Final = 4

_GAP_PX: Final = 10

_CAPTION_PX: Final = 20

_LINE_PX: Final = 22

_TEXT_PX: Final = 14

_TINT: Final = 0.15

_BRIGHT: Final = 99.5  # percentile

_DARK: Final = 160.0  # grey level

_HUES: Final = (0.13, 0.87, 0.48, 0.33, 0.02, 0.6)

_GOLDEN: Final = 0.618034

_PAPER: Final = (255, 255, 255)

_INK: Final = (20, 20, 20)

Rgb = tuple[int, int, int]

Item = TypeVar("Item")


def class_colors(n: int) -> list[Rgb]:
    """Colours that are easy to tell apart and stand out from grey."""
    more = [(0.13 + i * _GOLDEN) % 1 for i in range(n - len(_HUES))]
    return [_rgb(colorsys.hsv_to_rgb(hue, 0.9, 1.0)) for hue in [*_HUES, *more][:n]]


def _rgb(color: tuple[float, float, float]) -> Rgb:
    red, green, blue = (round(255 * value) for value in color)
    return red, green, blue


def lay_out(
    title: str,
    thumbs: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    legend: Sequence[tuple[str, Rgb]] = (),
    *,
    thumb_px: int = _THUMB_PX,
) -> Image.Image:
    """A sheet of small pictures, four in a row, a caption below each.

    Args:
        title: Above all.
        thumbs: Captions and pictures, (h, w, 3) uint8 RGB of at most `thumb_px` a side; not empty.
        legend: Names with their colours, below the title.
        thumb_px: Width of a column.
    """
    columns = min(_COLUMNS, len(thumbs))
    cell = thumb_px + _GAP_PX
    lines = _legend_lines(legend, columns * cell)
    top = _LINE_PX * (len(lines) + 1) + _GAP_PX
    tops = [top]
    for start in range(0, len(thumbs), columns):
        highest = max(thumb.shape[0] for _, thumb in thumbs[start : start + columns])
        tops.append(tops[-1] + highest + _CAPTION_PX + _GAP_PX)
    sheet = Image.new("RGB", (columns * cell + _GAP_PX, tops[-1]), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT_PX)
    draw.text((_GAP_PX, 4), title, _INK, font)
    for number, line in enumerate(lines, start=1):
        _draw_legend(draw, font, line, 4 + number * _LINE_PX)
    for i, (caption, thumb) in enumerate(thumbs):
        x, y = _GAP_PX + (i % columns) * cell, tops[i // columns]
        sheet.paste(Image.fromarray(thumb), (x, y))
        fitted = _fitted(caption, font, thumb_px)
        draw.text((x, y + thumb.shape[0] + 2), fitted, _INK, font)
    return sheet


def displayed(
    pixels: npt.NDArray[np.uint8], longest_px: int
) -> tuple[npt.NDArray[np.uint8], float]:
    """A picture to look at: its longer side this long, and brighter where it is dark.

    Fluorescence often takes up a tenth of the grey levels, which nobody sees on a screen.

    Args:
        pixels: (H, W) or (H, W, 3) uint8 RGB; it is not changed.
        longest_px: Longer side of the result.

    Returns:
        The picture, (h, w) or (h, w, 3) uint8 RGB, and its scale.
    """
    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)
    brightest = max(_percentile(small, _BRIGHT), 1.0)
    if brightest < _DARK:
        small = np.asarray(cv2.convertScaleAbs(small, alpha=_DARK / brightest), dtype=np.uint8)
    return small, scale


def _percentile(pixels: npt.NDArray[np.uint8], percent: float) -> float:
    """As `numpy.percentile`, which sorts: of 8 bits counting is three times as fast."""
    counts = np.cumsum(cv2.calcHist([pixels.reshape(-1, 1)], [0], None, [256], [0, 256]))
    place = percent / 100 * (pixels.size - 1)
    low, high = np.searchsorted(counts, [math.floor(place), math.ceil(place)], side="right")
    return float(low + (high - low) * (place % 1))


def draw_contact_sheets(data: PreparedDataset, folder: Path) -> list[Path]:
    """Write `contact_<part>.png` below `folder` for every part that has pictures.

    Unlabelled pictures are a part of their own here.
    """
    sheets = []
    parts = [(str(split), data.images(split)) for split in SPLITS]
    for part, records in [*parts, (UNLABELLED, data.unlabelled())]:
        if records:
            path = folder / f"contact_{part}.png"
            shown = _spread(records)
            title = f"{data.name}, {part}: {len(shown)} of {counted(len(records), 'picture')}"
            title += ", boxes" if data.boxes_only else ""
            _annotated_sheet(data, title, shown).save(path, compress_level=1)
            sheets.append(path)
    return sheets


def _spread(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """A few pictures from all over the part."""
    n = min(PICTURES, len(records))
    return [records[i * len(records) // n] for i in range(n)]


def _annotated_sheet(
    data: PreparedDataset, title: str, records: Sequence[ImageRecord]
) -> Image.Image:
    """A titled sheet of pictures with their objects outlined in the colours of their classes."""
    colors = class_colors(len(data.classes))
    thumbs = [(_caption(data, record), _thumb(data, record, colors)) for record in records]
    large = [record for record in records if max(record.width, record.height) > 2 * _THUMB_PX]
    thumbs += [
        (full_resolution(record.path.stem), _crop(data, record, colors))
        for record in chosen_for_crops(large)
    ]
    return lay_out(title, thumbs, list(zip(data.classes, colors, strict=True)))


def _caption(data: PreparedDataset, record: ImageRecord) -> str:
    n = len(data.annotations(record)) if record.labelled else "unlabelled"
    return f"{record.path.stem}: {n}"


def _legend_lines(
    legend: Sequence[tuple[str, Rgb]], width_px: int
) -> list[list[tuple[int, str, Rgb]]]:
    """Names with their place in a line, broken into lines that fit."""
    if not legend:
        return []
    font = ImageFont.load_default(_TEXT_PX)
    lines: list[list[tuple[int, str, Rgb]]] = [[]]
    x = _GAP_PX
    for name, color in legend:
        need = _LINE_PX + math.ceil(font.getlength(name)) + 2 * _GAP_PX
        if x + need > width_px and lines[-1]:
            lines.append([])
            x = _GAP_PX
        lines[-1].append((x, name, color))
        x += need
    return lines


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    line: Sequence[tuple[int, str, Rgb]],
    y: int,
) -> None:
    for x, name, color in line:
        draw.rectangle((x, y + 2, x + _TEXT_PX, y + 2 + _TEXT_PX), color, _INK)
        draw.text((x + _LINE_PX, y), name, _INK, font)


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width_px: int) -> str:
    """Text that fits below a thumbnail, shortened in its middle."""
    if font.getlength(text) <= width_px:
        return text
    keep = len(text)
    while keep > 8 and font.getlength(text[: keep // 2] + "..." + text[-keep // 2 :]) > width_px:
        keep -= 1
    return text[: keep // 2] + "..." + text[-keep // 2 :]


def _thumb(
    data: PreparedDataset, record: ImageRecord, colors: Sequence[Rgb]
) -> npt.NDArray[np.uint8]:
    """A small picture with its annotations, (h, w, 3) uint8 RGB."""
    thumb, scale = displayed(data.read(record), _THUMB_PX)
    drawn = [(colors[item.category], rims(item, scale)) for item in data.annotations(record)]
    return _with_outlines(thumb, drawn, tinted=not data.boxes_only)


def _crop(
    data: PreparedDataset, record: ImageRecord, colors: Sequence[Rgb]
) -> npt.NDArray[np.uint8]:
    """A place of a picture at full resolution, around one of its objects, (h, w, 3) uint8 RGB."""
    items = data.annotations(record)
    pixels = data.read(record)
    x, y = (record.width // 2, record.height // 2)
    if items:
        x1, y1, x2, y2 = items[len(items) // 2].box
        x, y = int(x1 + x2) // 2, int(y1 + y2) // 2
    window, (left, top) = window_around(pixels, (x, y), _THUMB_PX)
    shown, scale = displayed(window, max(window.shape[:2]))
    shift = np.array([left, top]) * 2**SHIFT
    drawn = [
        (colors[item.category], [rim - shift.astype(np.int32) for rim in rims(item, scale)])
        for item in items
    ]
    return _with_outlines(shown, drawn, tinted=not data.boxes_only)


def chosen_for_crops(large: Sequence[Item]) -> Sequence[Item]:
    """Those of large pictures of which a crop is shown: at most `CROPS`, spread over all."""
    return large[:: math.ceil(len(large) / CROPS) or 1]


def full_resolution(name: str) -> str:
    """Caption of a crop."""
    return f"{name}, full resolution"


def window_around(
    pixels: npt.NDArray[np.uint8], place: tuple[int, int], side: int
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """A square window of a picture around a place, moved where it would leave the picture.

    Args:
        pixels: (H, W) or (H, W, 3).
        place: x, y of its middle.
        side: Its side in pixels; of a smaller picture all is shown.

    Returns:
        The window, and x, y of its first pixel in the picture.
    """
    height, width = pixels.shape[:2]
    left = min(max(0, place[0] - side // 2), max(0, width - side))
    top = min(max(0, place[1] - side // 2), max(0, height - side))
    return np.ascontiguousarray(pixels[top : top + side, left : left + side]), (left, top)


def _with_outlines(
    thumb: npt.NDArray[np.uint8],
    drawn: Sequence[tuple[Rgb, Sequence[npt.NDArray[np.int32]]]],
    *,
    tinted: bool = True,
) -> npt.NDArray[np.uint8]:
    """A picture with objects tinted and outlined in their colours."""
    tint = thumb.copy()
    for color, outline in drawn if tinted else ():
        cv2.fillPoly(tint, outline, color, cv2.LINE_8, SHIFT)
    thumb = np.asarray(cv2.addWeighted(tint, _TINT, thumb, 1 - _TINT, 0), dtype=np.uint8)
    for color, outline in drawn:
        cv2.polylines(thumb, outline, True, color, 1, cv2.LINE_AA, SHIFT)
    return thumb


def rims(item: Annotation, scale: float) -> list[npt.NDArray[np.int32]]:
    """Rims of an object on a scaled picture, of its box where it has no mask; as `outlines`."""
    return outlines(item.rle, scale) if item.rle is not None else [box_rim(item.box, scale)]


def box_rim(box: Sequence[float], scale: float) -> npt.NDArray[np.int32]:
    """The four corners of a box x1, y1, x2, y2 on a scaled picture, in 1/2**`SHIFT` pixels."""
    x1, y1, x2, y2 = (value * scale - 0.5 for value in box)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return np.asarray(np.rint(corners * 2**SHIFT), dtype=np.int32)


def outlines(rle: geometry.Rle, scale: float) -> list[npt.NDArray[np.int32]]:
    """Rims of an object and of its holes on a scaled picture, in 1/2**`SHIFT` pixels."""
    mask, origin = geometry.crop(rle)
    rims, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    first = np.array(origin) + 0.5  # from the index of a pixel to its centre
    return [
        np.rint(((rim.reshape(-1, 2) + first) * scale - 0.5) * 2**SHIFT).astype(np.int32)
        for rim in rims
    ]
