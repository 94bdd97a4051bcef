"""Pictures and particles as a page shows them: small, outlined, written into the page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from analysis.measure.geometry.runs import Floats
from analysis.measure.job.stages import CLASS, MASK, PARTICLE, in_colours
from analysis.measure.tables import values_of
from trainables.datasets.drawing import SHIFT, Rgb, class_colors, displayed, outlines

SIDE_PX: Final = 720
"""Longer side of a picture, where the page has room."""

_SIDES_PX: Final = (SIDE_PX, 600, 480, 400, 320)

_CROP_PX: Final = 112

_MARGIN: Final = 0.3  # of a particle's longer side, around it

_LEAST_PX: Final = 8  # of the picture, around a particle

_MOST_NUMBERED: Final = 60

_NUMBER_PX: Final = 13

_UNCOUNTED: Final = (150, 150, 150)

_PAPER, _INK = (255, 255, 255), (20, 20, 20)

_QUALITY: Final = 80

Pixels = npt.NDArray[np.uint8]
Rims = list[npt.NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class DrawnPicture:
    """A picture with its particles outlined.

    Attributes:
        canvas: (h, w, 3) uint8, the longer side is `SIDE_PX`.
        crops: `data:` URI of each particle that was asked for, by row.
        paths: Their outlines as paths of an SVG of the canvas' size, by row.
    """

    canvas: Pixels
    crops: Mapping[int, str]
    paths: Mapping[int, str]


def draw_picture(
    pixels: Pixels,
    part: pa.Table,
    weights: Floats,
    analysed: tuple[int, int, int, int],
    classes: Sequence[str],
    wanted: Sequence[int],
) -> DrawnPicture:
    """Outline the particles of a picture, in the colour of their class or grey.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        part: Its particles.
        weights: (N,) float64, border weights; what does not count is grey.
        analysed: Rectangle that was searched, x0 y0 x1 y1; what is outside is darkened.
        classes: Class names.
        wanted: Rows of the particles to cut out.
    """
    colours = in_colours(pixels)
    bright, _ = displayed(colours, max(colours.shape[:2]))
    canvas, scale = displayed(bright, SIDE_PX)
    _darken(canvas, analysed, scale)
    palette = dict(zip(classes, class_colors(len(classes)), strict=True))
    colors = [
        palette[name] if weight > 0 else _UNCOUNTED
        for name, weight in zip(part[CLASS].to_pylist(), weights.tolist(), strict=True)
    ]
    size, boxes, masks = colours.shape[:2], boxes_of(part), part[MASK].to_pylist()
    for row, color in enumerate(colors):
        rims = _rims(masks[row], boxes[row], size, scale)
        cv2.polylines(canvas, rims, True, color, 1, cv2.LINE_AA, SHIFT)
    crops, paths = {}, {}
    for row in wanted:
        crops[row] = _crop(bright, masks[row], boxes[row], colors[row])
        paths[row] = _path(_rims(masks[row], boxes[row], size, scale))
    return DrawnPicture(_numbered(canvas, part, boxes * scale), crops, paths)


def encode(canvases: Sequence[Pixels], most_bytes: int) -> list[str]:
    """Pictures as `data:` URIs, as large as that many bytes of them allow."""
    encoded: list[bytes] = []
    for side in _SIDES_PX:
        encoded = [_jpeg(_fitted(canvas, side)) for canvas in canvases]
        if sum(map(len, encoded)) <= most_bytes:
            break
    return [_uri(content) for content in encoded]


def boxes_of(part: pa.Table) -> Floats:
    """(N, 4) float64, x0 y0 x1 y1 of a part's particles."""
    x0, y0 = values_of(part, "box_x_px"), values_of(part, "box_y_px")
    width, height = values_of(part, "box_width"), values_of(part, "box_height")
    boxes: Floats = np.column_stack([x0, y0, x0 + width, y0 + height])
    return boxes


def _rims(counts: str | None, box: Floats, size: tuple[int, ...], scale: float) -> Rims:
    """Outline of a particle on a scaled picture in 1/2**`SHIFT` pixels: of its mask, or its box."""
    if counts is not None:
        mask: dict[str, Any] = {"size": list(size[:2]), "counts": counts.encode("ascii")}
        return outlines(mask, scale)
    x0, y0, x1, y1 = box * scale
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return [np.rint((corners - 0.5) * 2**SHIFT).astype(np.int32)]


def _path(rims: Rims) -> str:
    """Outlines as the path of an SVG, to half a pixel."""
    closed = []
    for rim in rims:
        points = cv2.approxPolyDP(rim, 2 ** (SHIFT - 1), True).reshape(-1, 2) / 2**SHIFT + 0.5
        closed.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z")
    return "".join(closed)


def _crop(bright: Pixels, counts: str | None, box: Floats, color: Rgb) -> str:
    """A particle cut out of its picture with what is around it, outlined."""
    height, width = bright.shape[:2]
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) * (0.5 + _MARGIN) + _LEAST_PX
    half = min(half, min(height, width) / 2)
    left = int(np.clip((x0 + x1) / 2 - half, 0, width - 2 * half))
    top = int(np.clip((y0 + y1) / 2 - half, 0, height - 2 * half))
    side = max(int(2 * half), 1)
    scale = _CROP_PX / side
    cut = np.ascontiguousarray(bright[top : top + side, left : left + side])
    crop = _fitted(cut, _CROP_PX)
    shift = np.array([left, top]) * scale * 2**SHIFT
    rims = [
        np.rint(rim - shift).astype(np.int32) for rim in _rims(counts, box, (height, width), scale)
    ]
    cv2.polylines(crop, rims, True, color, 1, cv2.LINE_AA, SHIFT)
    return _uri(_jpeg(crop))


def _darken(canvas: Pixels, analysed: tuple[int, int, int, int], scale: float) -> None:
    x0, y0, x1, y1 = (round(value * scale) for value in analysed)
    outside = np.ones(canvas.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    canvas[outside] //= 2


def _numbered(canvas: Pixels, part: pa.Table, boxes: Floats) -> Pixels:
    """The picture with the particles' numbers; without, where nobody could read so many."""
    if len(part) > _MOST_NUMBERED:
        return canvas
    sheet = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_NUMBER_PX)
    for number, (x0, y0, x1, y1) in zip(part[PARTICLE].to_pylist(), boxes.tolist(), strict=True):
        middle = (x0 + x1) / 2, (y0 + y1) / 2
        draw.text(middle, str(number), _PAPER, font, anchor="mm", stroke_width=1, stroke_fill=_INK)
    return np.asarray(sheet)


def _fitted(canvas: Pixels, side: int) -> Pixels:
    """A picture with its longer side this long."""
    height, width = canvas.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(canvas, size, interpolation=method), np.uint8)


def _jpeg(canvas: Pixels) -> bytes:
    _, content = cv2.imencode(".jpg", canvas[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return content.tobytes()


def _uri(content: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
