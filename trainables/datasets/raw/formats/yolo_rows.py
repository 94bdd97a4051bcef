"""Rows of YOLO's label files: what their numbers are, as far as the numbers tell.

An outline is a class number and at least three pairs, a box four numbers more. Predictions have a
confidence at the end of every line, and where objects were tracked a number of the track behind it.
Pose labels are a box and points with two or three numbers each: `kpt_shape` in the YAML file says
so, else the numbers do, as read as an outline the box's size would be a corner far from all others.
Oriented boxes are four corners each, of a rectangle that is turned; nothing else tells them from
outlines of four points, so all lines must be such.
"""

import codecs
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from trainables.datasets.raw.folder import LeavesFolderError, RawFolder
from trainables.files.text import read_text

BOX_NUMBERS: Final = 5

OUTLINE_NUMBERS: Final = 7

ORIENTED_NUMBERS: Final = 9

RowKind = Literal["outline", "box", "pose", "oriented", "empty", "other"]

_SAMPLE_LINES: Final = 20

_MOST: Final = 0.8
"""Share of all rows in which a sign of pose labels must show."""

_EDGE: Final = 1.1
"""Coordinates reach this far beyond the sides of a picture at the most."""

_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""Beginnings of text in UTF-16 and UTF-32, whose line ends are of several bytes."""

_VISIBILITIES: Final = (0, 1, 2)

_CORNER_SLACK: Final = 0.02
"""Share of an oriented box's sides by which its middle may differ along its two diagonals."""

_FEW: Final = 3
"""Fewer lines do not tell oriented boxes from outlines."""


@dataclass(frozen=True)
class LabelTexts:
    """Text files of a folder, and what their rows are together.

    Attributes:
        kinds: File to the kind of its rows.
        n_behind: How many numbers stand behind every outline and box: 1 is a confidence, 2 that and
            the number of a track.
        pose: Reason why they are pose labels, or "".
        boxes: Numbers of the boxes among the first lines: centre, width and height.
    """

    kinds: dict[PurePosixPath, RowKind]
    n_behind: int
    pose: str
    boxes: Sequence[Sequence[float]] = ()

    def files(self, kind: RowKind) -> list[PurePosixPath]:
        """Files of one kind."""
        return [file for file, found in self.kinds.items() if found == kind]


def label_texts(folder: RawFolder, files: Sequence[PurePosixPath]) -> LabelTexts:
    """The kinds of text files, by their first lines."""
    rows = {file: _sample_rows(folder, file) for file in files}
    numbers = [row for found in rows.values() if found for row in found if row]
    n_behind = 2 if _is_tracked(numbers) else int(_is_confident(numbers))
    pose = "" if n_behind > 1 else _why_pose(folder, numbers)
    shorter = [row[: len(row) - n_behind] for row in numbers]
    oriented = not pose and _are_oriented(shorter)
    kinds = {file: _kind(found, n_behind, pose, oriented) for file, found in rows.items()}
    boxes = [row[1:] for row in shorter if len(row) == BOX_NUMBERS]
    return LabelTexts(kinds, n_behind, pose, boxes)


def _sample_rows(folder: RawFolder, file: PurePosixPath) -> list[list[float]] | None:
    """First lines of a file as numbers, [] for a line that is no label; None if unreadable."""
    try:
        with folder.path(file).open("rb") as stream:
            start = list(islice(stream, _SAMPLE_LINES))
        lines = [line.decode("utf-8-sig", "replace") for line in start]
        if start and start[0].startswith(_WIDE_MARKS):
            lines = read_text(folder.path(file)).splitlines()[:_SAMPLE_LINES]
    except (OSError, ValueError, LeavesFolderError):
        return None
    return [_numbers(line.split()) for line in lines if line.strip()]


def _numbers(words: list[str]) -> list[float]:
    """A class number and others; [] for any other line."""
    with contextlib.suppress(ValueError):
        numbers = [float(word) for word in words]
        is_class = bool(numbers) and numbers[0] >= 0 and numbers[0].is_integer()
        return numbers if len(numbers) >= BOX_NUMBERS and is_class else []
    return []


def _kind(rows: list[list[float]] | None, n_behind: int, pose: str, oriented: bool) -> RowKind:
    if rows is None:
        return "other"
    if not rows:
        return "empty"
    lengths = {len(row) - n_behind for row in rows if row}
    if pose and max(lengths, default=0) > BOX_NUMBERS:
        return "pose"
    if oriented and ORIENTED_NUMBERS in lengths:
        return "oriented"
    if any(length >= OUTLINE_NUMBERS and length % 2 for length in lengths):
        return "outline"
    return "box" if BOX_NUMBERS in lengths else "other"


def _is_confident(rows: Sequence[list[float]]) -> bool:
    """Whether all rows have one number beyond their pairs, from 0 to 1."""
    return bool(rows) and all(len(row) % 2 == 0 and 0 <= row[-1] <= 1 for row in rows)


def _are_oriented(rows: Sequence[Sequence[float]]) -> bool:
    """Whether all rows are corners of a rectangle on a stretched picture, and one is turned."""
    if len(rows) < _FEW or {len(row) for row in rows} != {ORIENTED_NUMBERS}:
        return False
    corners = np.array(rows)[:, 1:].reshape(-1, 4, 2)
    sides = np.ptp(corners, axis=1)
    middles = corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]
    first = np.abs(corners[:, 1] - corners[:, 0])
    slack = _CORNER_SLACK * sides.max(axis=1)
    turned = first.min(axis=1) > slack
    return bool((np.abs(middles) <= 2 * slack[:, None]).all() and turned.any())


def _is_tracked(rows: Sequence[list[float]]) -> bool:
    """Whether all rows end in a confidence and the number of a track, which no picture holds."""
    return (
        bool(rows)
        and all(len(row) % 2 and len(row) >= OUTLINE_NUMBERS for row in rows)
        and all(row[-1].is_integer() and row[-1] >= 1 and 0 <= row[-2] <= 1 for row in rows)
        and all(max(row[1:-1]) <= _EDGE for row in rows)
        and max(row[-1] for row in rows) > 1
    )


def _why_pose(folder: RawFolder, rows: Sequence[list[float]]) -> str:
    for file in folder.with_suffix(".yaml", ".yml"):
        document: Any = folder.document(file)
        if isinstance(document, dict) and "kpt_shape" in document:
            return f"{file} says kpt_shape: {document['kpt_shape']}"
    if len({len(row) for row in rows}) == 1 and len(rows[0]) > OUTLINE_NUMBERS:
        table = np.array(rows)
        if _are_points_with_visibility(table) or _are_points_in_boxes(table[:, 1:]):
            return "each line is a box and points inside it"
    return ""


def _are_points_with_visibility(table: npt.NDArray[np.float64]) -> bool:
    """Whether every third number after the box is a visibility, and the points lie in the box."""
    points = table[:, BOX_NUMBERS:]
    if points.shape[1] % 3 or not np.isin(points[:, 2::3], _VISIBILITIES).all():
        return False
    seen = points[:, 2::3] > 0
    return bool(
        seen.any() and (_inside(table[:, 1:5], points[:, 0::3], points[:, 1::3])[seen]).all()
    )


def _are_points_in_boxes(numbers: npt.NDArray[np.float64]) -> bool:
    """Whether pairs lie in the box before them, and its size, as a corner, far from them."""
    x, y = numbers[:, 4::2], numbers[:, 5::2]
    if x.shape != y.shape or x.shape[1] < 1:
        return False
    inside = _inside(numbers[:, :4], x, y).all(axis=1)
    low = np.minimum(numbers[:, :2], np.stack([x.min(axis=1), y.min(axis=1)], axis=1))
    high = np.maximum(numbers[:, :2], np.stack([x.max(axis=1), y.max(axis=1)], axis=1))
    beyond = np.maximum(low - numbers[:, 2:4], numbers[:, 2:4] - high).max(axis=1)
    far = beyond > np.hypot(*(high - low).T) / 2
    return bool((inside & far).mean() >= _MOST)


def _inside(
    boxes: npt.NDArray[np.float64], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether points (N, K) lie in boxes (N, 4) of centre and size, half a hundredth aside."""
    half = boxes[:, 2:] / 2 + 0.005
    across = np.abs(x - boxes[:, :1]) <= half[:, :1]
    return np.asarray(across & (np.abs(y - boxes[:, 1:2]) <= half[:, 1:]))
