"""The picture with its particles outlined and numbered, a legend of classes, and a scale bar.

A JPEG of the best colours: as a PNG without loss it took 20 times as long and four times the room,
and nothing is measured in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from analysis.measure.geometry.runs import Runs
from analysis.measure.geometry.strips import strips_of
from analysis.measure.outputs.heading import INK, PAPER, Heading, drawn_heading, font_of
from trainables.datasets.drawing import SHIFT, box_rim, class_colors, displayed
from trainables.files.whole import write_whole
from trainables.results import Instances

LONGEST_PX: Final = 1600
"""Longer side of an overlay."""

_NUMBER_PX: Final = 11

_MOST_NUMBERED: Final = 400

_QUALITY: Final = 92
"""Of the JPEG, with colours at full resolution: lines and numbers stay sharp."""

_HALF: Final = 0.5  # what is cut off then rounds

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class NumberedPicture:
    """A picture to draw with its particles.

    Attributes:
        name: Name of the picture.
        pixels: (H, W) or (H, W, 3) uint8 as the model saw it.
        instances: Its particles.
        runs: Their masks; None of a model of boxes.
        um_per_px: Side of a pixel in micrometres; None draws no scale bar.
        left_out: Rectangles x0, y0, x1, y1 in which nothing was searched.
    """

    name: str
    pixels: Pixels
    instances: Instances
    runs: Runs | None = None
    um_per_px: float | None = None
    left_out: Sequence[tuple[int, int, int, int]] = ()


def write_overlay(drawn: NumberedPicture, classes: Sequence[str], path: Path) -> Path:
    """Write a picture with the outline and the number of each particle.

    Args:
        drawn: Picture and particles.
        classes: Class names.
        path: JPEG file to write.
    """
    sheet = np.asarray(cv2.cvtColor(overlay(drawn, classes), cv2.COLOR_RGB2BGR))
    colours = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, *colours])

    def write(file: Path) -> None:
        file.write_bytes(jpeg.tobytes())

    return write_whole(path, write, on_disk=False)  # later, with the others of the picture


def overlay(drawn: NumberedPicture, classes: Sequence[str]) -> Pixels:
    """The picture, as `write_overlay` writes it: (h, w, 3) uint8 RGB."""
    shown, scale = displayed(drawn.pixels, min(LONGEST_PX, max(drawn.pixels.shape[:2])))
    if shown.ndim == 2:
        shown = np.asarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB), np.uint8)
    colors = class_colors(len(classes))
    found = [(classes[i], colors[i]) for i in sorted(set(drawn.instances.classes.tolist()))]
    side = None if drawn.um_per_px is None else drawn.um_per_px / scale
    heading = drawn_heading(Heading(drawn.name, len(drawn.instances), found, side), shown.shape[1])
    sheet = np.concatenate([heading, shown])
    canvas = sheet[len(heading) :]
    for x0, y0, x1, y1 in drawn.left_out:
        corner, other = ((round(x * scale), round(y * scale)) for x, y in ((x0, y0), (x1, y1)))
        canvas[corner[1] : other[1], corner[0] : other[0]] //= 2
    lines = _outlines(drawn, scale)
    for index, color in enumerate(colors):
        own = [lines[i] for i in np.flatnonzero(drawn.instances.classes == index)]
        flat = [line for part in own for line in part]
        cv2.polylines(canvas, flat, True, color, 1, cv2.LINE_AA, SHIFT)
    _write_numbers(canvas, drawn.instances.boxes.astype(np.float64) * scale)
    return sheet


def _outlines(drawn: NumberedPicture, scale: float) -> list[list[npt.NDArray[np.int32]]]:
    """Of each particle its outlines on the scaled picture, in 1/2**`SHIFT` pixels.

    All masks of a strip are looked at by one call.
    """
    if drawn.runs is None:
        return [[box_rim(box, scale)] for box in drawn.instances.boxes.tolist()]
    lines: list[list[npt.NDArray[np.int32]]] = [[] for _ in range(drawn.runs.n_masks)]
    for strip in strips_of(drawn.runs):
        found, _ = cv2.findContours(strip.pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        turned = np.concatenate(found).reshape(-1, 2)  # row and column of the picture
        mask = strip.mask_at(turned[:, 1].astype(np.int64))
        first = drawn.runs.boxes[strip.masks, :2] - np.stack(
            [strip.rows, np.ones_like(strip.rows)], 1
        )
        places = turned[:, ::-1] + first[mask] + 0.5  # from the index of a pixel to its centre
        points = np.rint((places * scale - 0.5) * 2**SHIFT).astype(np.int32)
        ends = np.cumsum([len(line) for line in found])
        owners = drawn.runs.present[strip.masks[mask[ends - 1]]]
        for owner, (a, b) in zip(owners.tolist(), pairwise([0, *ends.tolist()]), strict=True):
            lines[owner].append(points[a:b])
    return lines


def _write_numbers(canvas: Pixels, boxes: npt.NDArray[np.float64]) -> None:
    """Numbers of the particles, from 1, at the centres of their boxes.

    Of very many none is written, as nobody could read them.
    """
    if len(boxes) > _MOST_NUMBERED:
        return
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist(), start=1):
        rim, face = _number(number)
        top = round((y0 + y1) / 2) - rim.shape[0] // 2
        left = round((x0 + x1) / 2) - rim.shape[1] // 2
        up, before = max(-top, 0), max(-left, 0)
        part = canvas[max(top, 0) : top + len(rim), max(left, 0) : left + rim.shape[1]]
        here = np.s_[up : up + part.shape[0], before : before + part.shape[1]]
        inked = part * (1 - rim[here]) + INK[0] * rim[here]
        part[:] = inked * (1 - face[here]) + PAPER[0] * face[here] + _HALF


@lru_cache(_MOST_NUMBERED)
def _number(number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A number with a rim: (h, w, 1) share of ink, then of paper, in each pixel."""
    font, text = font_of(_NUMBER_PX), str(number)
    left, top, right, bottom = (round(v) for v in font.getbbox(text, stroke_width=1))
    layers: list[npt.NDArray[np.float32]] = []
    for stroke in (1, 0):
        layer = Image.new("L", (right - left, bottom - top))
        draw = ImageDraw.Draw(layer)
        draw.text((-left, -top), text, 255, font, stroke_width=stroke)
        layers.append(np.asarray(layer, np.float32)[..., None] / np.float32(255))
    return layers[0], layers[1]
