"""Pictures with truth and prediction drawn, to see what a figure stands for.

Left the picture with its true objects in the colours of their classes, right the same picture with
what the model found: each outline says by its colour what became of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets.drawing import SHIFT, Rgb, box_rim, class_colors, displayed, outlines
from trainables.datasets.records import ImageRecord
from trainables.metrics.confidence import confidence_text
from trainables.metrics.matching import GroundTruth
from trainables.metrics.names import Kind
from trainables.metrics.overlays.scores import Counting, outcome
from trainables.metrics.scores import PictureScore
from trainables.results import Instances

OUTCOMES: Final[Mapping[str, Rgb]] = {
    "found": (0, 190, 130),
    "wrong class": (215, 95, 255),
    "false": (255, 70, 50),
    "missed": (255, 205, 0),
}
"""What became of an object or a prediction, and its colour."""

PANEL_PX: Final = 720
"""Longer side of a panel."""

_GAP_PX: Final = 12

_LINE_PX: Final = 24

_TEXT_PX: Final = 15

_MOST_NAMED: Final = 8

_PAPER: Final = (255, 255, 255)

_INK: Final = (20, 20, 20)

Pixels = npt.NDArray[np.uint8]

Rims = list[npt.NDArray[np.int32]]


@dataclass(frozen=True)
class ComparedPicture:
    """A picture with its true objects and with those that a model found in it.

    Attributes:
        image: Record of the picture in the data set.
        pixels: (H, W, 3) uint8 RGB.
        truth: True objects of the classes that are measured.
        found: Predictions of the same classes.
        score: Score of the picture at the confidence of `counting`.
        counting: Rule by which predictions count.
    """

    image: ImageRecord
    pixels: Pixels
    truth: GroundTruth
    found: Instances
    score: PictureScore
    counting: Counting


@dataclass(frozen=True)
class Panel:
    """A picture with something drawn on it.

    Attributes:
        title: Title above the picture.
        legend: Names of what is drawn, with their colours.
        pixels: (h, w, 3) uint8 RGB.
    """

    title: str
    legend: Sequence[tuple[str, Rgb]]
    pixels: Pixels


def caption(image: ImageRecord, score: PictureScore) -> str:
    """The line below a picture: its name, F1 and counts."""
    return (
        f"{image.path.stem}: F1 {score.f1:.3f}, {score.truths} true, {score.predicted} predicted, "
        f"{score.matched} matched"
    )


def draw_overlay(compared: ComparedPicture, classes: Sequence[str], path: Path) -> Path:
    """Write a picture with its truth and its predictions.

    Args:
        compared: Picture to draw.
        classes: Names of the classes that are measured.
        path: PNG file to write.
    """
    picture, scale = displayed(compared.pixels, PANEL_PX)
    left, names = _truth(compared, picture.copy(), scale, classes)
    right, counts = _predictions(compared, picture.copy(), scale)
    counting = compared.counting
    at = f"{counting.kind}, IoU 0.5, confidence {confidence_text(counting.confidence)}"
    panels = (Panel("true", names, left), Panel("predicted", counts, right))
    return write_panels(panels, (caption(compared.image, compared.score), at), path)


def write_panels(panels: tuple[Panel, Panel], lines: tuple[str, str], path: Path) -> Path:
    """Write two pictures of one size beside each other.

    Args:
        panels: Left and right.
        lines: Below them.
        path: PNG file to write.
    """
    height, width = panels[0].pixels.shape[:2]
    sheet = Image.new("RGB", (2 * width + 3 * _GAP_PX, height + 3 * _LINE_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, panel in zip((_GAP_PX, width + 2 * _GAP_PX), panels, strict=True):
        _legend(draw, (x, 4), panel.title, panel.legend, width)
        sheet.paste(Image.fromarray(panel.pixels), (x, _LINE_PX + 4))
    font = ImageFont.load_default(_TEXT_PX)
    draw.text((_GAP_PX, height + _LINE_PX + 8), lines[0], _INK, font)
    draw.text((_GAP_PX, height + 2 * _LINE_PX + 2), lines[1], _INK, font)
    sheet.save(path, compress_level=6)
    return path


def _truth(
    compared: ComparedPicture, canvas: Pixels, scale: float, classes: Sequence[str]
) -> tuple[Pixels, list[tuple[str, Rgb]]]:
    colors = class_colors(len(classes))
    for index, category in enumerate(compared.truth.classes.tolist()):
        _line(canvas, _rims(compared.truth, index, scale, "masks"), colors[category])
    shown = sorted(set(compared.truth.classes.tolist()))[:_MOST_NAMED]
    return canvas, [(classes[category], colors[category]) for category in shown]


def _predictions(
    compared: ComparedPicture, canvas: Pixels, scale: float
) -> tuple[Pixels, list[tuple[str, Rgb]]]:
    """The predictions drawn by what became of them, right ones on top, with their counts."""
    result = outcome(compared.found, compared.truth, compared.counting)
    predicted = {
        "false": result.counted[result.taken < 0],
        "wrong class": result.counted[(result.taken >= 0) & ~result.right],
        "found": result.counted[result.right],
    }
    drawn: list[tuple[str, GroundTruth | Instances, npt.NDArray[np.intp]]] = [
        ("missed", compared.truth, np.flatnonzero(result.missed))
    ]
    drawn += [(name, compared.found, indices) for name, indices in predicted.items()]
    for name, objects, indices in drawn:
        for index in indices.tolist():
            _line(canvas, _rims(objects, index, scale, compared.counting.kind), OUTCOMES[name])
    counts = {name: len(indices) for name, _, indices in drawn}
    return canvas, [(f"{name} {counts[name]}", OUTCOMES[name]) for name in OUTCOMES if counts[name]]


def _rims(objects: GroundTruth | Instances, index: int, scale: float, kind: Kind) -> Rims:
    """Outlines of an object on the displayed picture: of its mask, or of its box."""
    if kind == "masks" and objects.masks is not None:
        mask: dict[str, Any] = dict(objects.masks[index])
        return outlines(mask, scale)
    return [box_rim(objects.boxes[index].astype(np.float64).tolist(), scale)]


def _line(canvas: Pixels, rims: Rims, color: Rgb) -> None:
    cv2.polylines(canvas, rims, True, color, 2, cv2.LINE_AA, SHIFT)


def _legend(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    title: str,
    entries: Sequence[tuple[str, Rgb]],
    width_px: int,
) -> None:
    """A line of names with their colours, as many as fit."""
    font = ImageFont.load_default(_TEXT_PX)
    x, y = place
    draw.text((x, y), title, _INK, font)
    end = x + width_px
    x += int(font.getlength(title)) + _GAP_PX
    for name, color in entries:
        need = _TEXT_PX + 6 + int(font.getlength(name)) + _GAP_PX
        if x + need > end:
            return
        draw.rectangle((x, y + 3, x + _TEXT_PX - 3, y + _TEXT_PX), color, _INK)
        draw.text((x + _TEXT_PX + 2, y), name, _INK, font)
        x += need
