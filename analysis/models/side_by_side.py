"""What several models find in the same pictures, drawn beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from analysis.models.agreement import Pixels, View
from trainables.datasets.drawing import SHIFT, class_colors, displayed, outlines
from trainables.results import Instances

_PANEL_PX: Final = 480

_GAP_PX: Final = 12

_LINE_PX: Final = 22

_TEXT_PX: Final = 14

_PAPER: Final = (255, 255, 255)

_INK: Final = (20, 20, 20)

_MOST_DRAWN: Final = 300
"""Finds drawn where none reaches the confidence; more hide each other."""


def draw_side_by_side(
    views: Sequence[View],
    found: Sequence[Sequence[Instances]],
    confidences: Sequence[float],
    n_classes: int,
    path: Path,
    titles: Sequence[str] = ("PyTorch", "ONNX Runtime"),
) -> Path:
    """Write a sheet of pictures, a row each, with the finds of every model in a column of its own.

    Args:
        views: The pictures.
        found: Finds of each model, one a picture.
        confidences: Finds of a model from its score on are drawn; where there is none, the surest.
        n_classes: Number of classes, each of which has its colour.
        path: PNG file to write.
        titles: Names of the models.
    """
    rows = [
        [
            with_finds(view.pixels, _shown(one[k], sure), n_classes)
            for one, sure in zip(found, confidences, strict=True)
        ]
        for k, view in enumerate(views)
    ]
    heights = [row[0].shape[0] + _LINE_PX + _GAP_PX for row in rows]
    places = [_GAP_PX + place * (_PANEL_PX + _GAP_PX) for place in range(len(found))]
    width = len(found) * (_PANEL_PX + _GAP_PX) + _GAP_PX
    sheet = Image.new("RGB", (width, sum(heights) + _LINE_PX + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX)
    for x, title in zip(places, titles, strict=True):
        draw.text((x, _GAP_PX // 2), title, _INK, font)
    y = _LINE_PX + _GAP_PX
    for k, (view, row) in enumerate(zip(views, rows, strict=True)):
        height, width = view.pixels.shape[:2]
        for x, pixels, one, confidence in zip(places, row, found, confidences, strict=True):
            n = int((one[k].scores >= confidence).sum())
            text = f"{view.name}, {width} x {height} px: {n} from confidence {confidence:.4g}"
            draw.text((x, y), text, _INK, font)
            sheet.paste(Image.fromarray(pixels), (x, y + _LINE_PX))
        y += heights[k]
    sheet.save(path, compress_level=6)
    return path


def with_finds(pixels: Pixels, found: Instances, n_classes: int) -> Pixels:
    """A picture with the rims of finds, (h, w, 3) RGB of `_PANEL_PX` on its longer side.

    Args:
        pixels: (H, W, 3) RGB of the picture.
        found: The finds; boxes where there are no masks.
        n_classes: Number of classes, each of which has its colour.
    """
    canvas, scale = displayed(pixels, _PANEL_PX)
    canvas = np.ascontiguousarray(canvas)
    colors = class_colors(n_classes)
    for index in range(len(found)):
        color = colors[int(found.classes[index])]
        cv2.polylines(canvas, _rims(found, index, scale), True, color, 1, cv2.LINE_AA, SHIFT)
    return canvas


def _rims(found: Instances, index: int, scale: float) -> list[npt.NDArray[np.int32]]:
    if found.masks is not None:
        mask: dict[str, Any] = dict(found.masks[index])
        return outlines(mask, scale)
    x1, y1, x2, y2 = (found.boxes[index].astype(np.float64) * scale).tolist()
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return [np.rint((corners - 0.5) * 2**SHIFT).astype(np.int32)]


def sure_finds(found: Instances, confidence: float) -> Instances:
    """The finds whose score is a confidence at least."""
    return _surest(found, int((found.scores >= confidence).sum()))


def _shown(found: Instances, confidence: float) -> Instances:
    """Finds from a confidence on; the surest where there are none."""
    sure = sure_finds(found, confidence)
    return sure if len(sure) else _surest(found, _MOST_DRAWN)


def _surest(found: Instances, n: int) -> Instances:
    masks = None if found.masks is None else found.masks[:n]
    return Instances(found.boxes[:n], found.scores[:n], found.classes[:n], masks)
