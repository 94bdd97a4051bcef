"""JSON lines of pictures with boxes as fractions of their sides, one line a picture.

A line is an object with `image_path` and `bounding_box_annotations`, a list of objects with
`annotation_label`, `x_min_normalized`, `y_min_normalized`, `x_max_normalized` and
`y_max_normalized`, all from 0 to 1. A line with an empty list, or without one, is a negative.

A label `sequence_ID` among `classification_annotations`, whatever follows it behind `--`, says that
the picture is a frame of a sequence: its frames are one group.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.boxes import add_box, why_no_fractions
from trainables.datasets.raw.entries import Kind, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_in_name, split_of
from trainables.datasets.raw.reading import RawReading
from trainables.files.text import read_text
from trainables.files.words import counted

NAME = "jsonl"

TITLE = "JSON lines, boxes"

SUFFIXES: Final = (".jsonl", ".ndjson")

_BOXES: Final = "bounding_box_annotations"

_CORNERS: Final = tuple(f"{axis}_{end}_normalized" for end in ("min", "max") for axis in ("x", "y"))

_SEQUENCE: Final = re.compile(r"sequence_(.+?)(?:--.*)?")

Lines = Mapping[int, Any]
"""Number of a line, from 1, to what it says; text where it is no JSON."""


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Files of JSON lines in which boxes are."""
    files = folder.with_suffix(*SUFFIXES)
    return [file for file in files if folder.parsed(file, _parse)]


def count_images(folder: RawFolder) -> int:
    """Pictures that the files speak of."""
    return sum(len(_lines(folder, file)) for file in annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that the files speak of and that are here."""
    return sum(
        isinstance(entry, dict) and folder.has(str(entry.get("image_path")), file)
        for file in annotation_files(folder)
        for entry in _lines(folder, file).values()
    )


def read(reading: RawReading) -> None:
    """Read every file.

    Raises:
        DatasetError: What must be fractions are pixels.
    """
    for file in annotation_files(reading.folder):
        lines = _lines(reading.folder, file)
        if reason := why_no_fractions(_all_corners(lines)):
            raise DatasetError(f"{file}: {reason}")
        without = 0
        for number, entry in lines.items():
            source = RawSource(file, f"line {number}")
            if not isinstance(entry, dict):
                reading.problem(Kind.MALFORMED, source, f"expected an object, got {entry!r:.60}")
                continue
            with reading.at(source):
                without += _read_line(reading, source, entry)
        if without:
            reading.notes.append(
                f"{file}: {counted(without, 'line has', 'lines have')} no {_BOXES}: taken as "
                "negatives"
            )


def _parse(path: Path) -> Lines | None:
    """Lines of a file; None where no line has boxes."""
    lines = {
        number: _entry(line)
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.strip()
    }
    entries = [entry for entry in lines.values() if isinstance(entry, dict)]
    return lines if any({"image_path", _BOXES} <= entry.keys() for entry in entries) else None


def _entry(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _lines(folder: RawFolder, file: PurePosixPath) -> Lines:
    return folder.parsed(file, _parse) or {}


def _all_corners(lines: Lines) -> list[list[float]]:
    """Corners of all boxes that have four numbers."""
    entries = [entry for entry in lines.values() if isinstance(entry, dict)]
    boxes = [box for entry in entries for box in _boxes_of(entry) if isinstance(box, dict)]
    corners = [[box.get(key) for key in _CORNERS] for box in boxes]
    return [[float(x) for x in four if x is not None] for four in corners if _are_numbers(four)]


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(x, int | float) and not isinstance(x, bool) for x in values)


def _boxes_of(entry: Mapping[str, Any]) -> list[Any]:
    boxes = entry.get(_BOXES)
    return boxes if isinstance(boxes, list) else []


def _read_line(reading: RawReading, source: RawSource, entry: Mapping[str, Any]) -> bool:
    """Read a picture's line; whether it is a negative as it has no list of boxes."""
    boxes = entry.get(_BOXES)
    if not isinstance(boxes, list | None):
        raise TypeError(f"expected a list of {_BOXES}, got {type(boxes).__name__}")
    whole = RawSource(source.file, source.place, n_objects=len(boxes or ()))
    image = reading.image(str(entry["image_path"]), whole)
    if image is None or not reading.claim(image, whole):
        return False
    image.split = split_in_name(source.file.stem) or split_of(source.file) or split_of(image.file)
    image.group = _sequence(entry)
    for number, box in enumerate(boxes or ()):
        here = source.at(f"{source.place}, box {number}").of(image)
        with reading.at(here):
            _read_box(reading, image, here, box)
    return boxes is None


def _read_box(reading: RawReading, image: RawImage, source: RawSource, box: Any) -> None:
    numbers = [box[key] for key in _CORNERS]
    if not _are_numbers(numbers):
        raise TypeError(f"expected four numbers, got {numbers}")
    side = (image.width, image.height) * 2
    corners = [float(x) * n for x, n in zip(numbers, side, strict=True)]
    add_box(reading, image, box["annotation_label"], corners, source)


def _sequence(entry: Mapping[str, Any]) -> str:
    """The sequence that a picture is a frame of, or ""."""
    labels = entry.get("classification_annotations") or ()
    for label in labels if isinstance(labels, list) else ():
        text = label.get("annotation_label") if isinstance(label, dict) else None
        match = _SEQUENCE.fullmatch(text) if isinstance(text, str) else None
        if match:
            return f"sequence_{match[1]}"
    return ""
