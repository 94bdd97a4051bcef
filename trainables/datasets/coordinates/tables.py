"""Particles of a table: the columns that hold them, under the names that programs give them.

Names are compared by their letters and numbers alone, whatever their case: `X-Coordinate` is
`x_coordinate`. Programs: RELION, Topaz (image_name, x_coord, y_coord), CryoPPP (X-Coordinate,
Y-Coordinate, Diameter), ImageJ's results (X, Y, Label, Slice; BX, BY, Width, Height beside them are
another shape's) and tables of boxes, by corner and size or by two corners.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from trainables.datasets.coordinates.points import (
    Coordinates,
    Floats,
    Points,
    Unit,
    as_numbers,
    by_micrograph,
)
from trainables.datasets.images import SUFFIXES
from trainables.datasets.units import unit_named
from trainables.files.cells import from_csv_cell
from trainables.files.text import read_text

Columns = Mapping[str, Sequence[Any]]

_CENTERS: Final = (
    ("rlncoordinatex", "rlncoordinatey"),
    ("xcenter", "ycenter"),
    ("centerx", "centery"),
    ("cx", "cy"),
    ("xcoord", "ycoord"),
    ("xcoordinate", "ycoordinate"),
    ("x", "y"),
)

_FRACTIONS: Final = (("centerxfrac", "centeryfrac"), ("xfrac", "yfrac"))

_CORNERS: Final = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))

_SURE: Final = 4  # so many of `_CENTERS` are centres even beside a width and a height

_SIZE: Final = (("width", "height"), ("w", "h"), ("boxwidth", "boxheight"))

_MEASURED: Final = ("bx", "by")
"""Columns with which ImageJ's X and Y are an area's centre, and Width and Height its box."""

_MICROGRAPH: Final = (
    "rlnmicrographname",
    "micrograph",
    "micrographname",
    "image",
    "imagename",
    "filename",
    "file",
)

_SCORE: Final = ("rlnautopickfigureofmerit", "confidence", "score")

_RADIUS_UNIT: Final = re.compile(r"(?:particle)?(radius|diameter)(\w*)")

_OTHER_SIZE: Final = re.compile(r"(?:particle|box|object)?(size|diam|rad|r|d)(\w*)")
"""Columns that may say how large a particle is, in a way nobody knows."""

_PIXELS: Final = ("", "px", "pix", "pixel", "pixels")

_SECTION: Final = ("slice",)


def read_table(path: Path) -> Coordinates | None:
    """Particles of a table with a header, its cells apart by commas, semicolons, tabs or spaces.

    Raises:
        ValueError: It is such a table, but broken.
        OSError: It cannot be read.
    """
    head, _, rest = read_text(path).partition("\n")
    try:
        header = next(_rows([head], head), [])
        if not has_coordinates(header):
            return None
        lines = io.StringIO(rest, newline="")
        body = [
            [*map(from_csv_cell, row)] for row in _rows(lines, head) if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise ValueError(f"the table cannot be read: {error}") from error
    width = len(header)
    columns = zip(*([*row, *[""] * width][:width] for row in body), strict=True)
    return particles_of(
        dict(zip(header, columns, strict=True)) if body else dict.fromkeys(header, ())
    )


def _rows(lines: Iterable[str], head: str) -> Iterator[list[str]]:
    """Cells of lines, apart by what separates those of the head."""
    separator = max(",;\t", key=head.count)
    if separator in head:
        return csv.reader(lines, delimiter=separator)
    return (line.split() for line in lines)


def has_coordinates(header: Sequence[str]) -> bool:
    """Whether columns of these names hold coordinates."""
    names = {folded(name) for name in header}
    return any(names.issuperset(group) for group in (*_CENTERS, *_FRACTIONS, *_CORNERS))


def particles_of(columns: Columns) -> Coordinates | None:
    """Particles of a table by micrograph; None if it has no coordinates."""
    table = {folded(name): values for name, values in columns.items()}
    places = _places(table)
    if places is None:
        return None
    centers, boxes, unit = places
    radii, radius_unit, other_sizes = _radii(table)
    scores, sections = column(table, _SCORE), column(table, _SECTION)
    whole = Points(
        centers,
        np.arange(1, len(centers) + 1),
        None if scores is None else as_numbers(scores),
        radii,
        unit=unit,
        boxes=boxes,
        corner_assumed=boxes is not None and any(table.keys() >= {*pair} for pair in _CENTERS),
        radius_unit=radius_unit,
        sizes=other_sizes,
        sections=None if sections is None else _whole_numbers(sections),
    )
    return by_micrograph(whole, _names(table))


def column(table: Columns, names: Sequence[str]) -> Sequence[Any] | None:
    """The column of the first of these names that is there, or None."""
    return next((table[name] for name in names if name in table), None)


def folded(name: str) -> str:
    """A column's name by its letters and numbers alone."""
    return "".join(sign for sign in str(name).casefold() if sign.isalnum())


def _places(table: Columns) -> tuple[Floats, Floats | None, Unit] | None:
    """Centres, and the sizes of the boxes whose middle they are; None without coordinates."""
    for number, names in enumerate(_CENTERS):
        if table.keys() >= {*names}:
            size = next((pair for pair in _SIZE if table.keys() >= {*pair}), None)
            centers = _pairs(table, names)
            if size is None or number < _SURE or table.keys() >= {*_MEASURED}:
                return centers, None, "px"
            boxes = _pairs(table, size)
            return centers + boxes / 2, boxes, "px"
    for names in _FRACTIONS:
        if table.keys() >= {*names}:
            return _pairs(table, names), None, "fraction"
    for corners in _CORNERS:
        if table.keys() >= {*corners}:
            low, high = _pairs(table, corners[:2]), _pairs(table, corners[2:])
            return (low + high) / 2, high - low, "px"
    return None


def _pairs(table: Columns, names: Sequence[str]) -> Floats:
    return np.stack([as_numbers(table[name]) for name in names], axis=1).reshape(-1, 2)


def _radii(table: Columns) -> tuple[Floats | None, str, tuple[str, ...]]:
    """Radii and their unit, a radius before a diameter; and columns that may be sizes."""
    for kind, factor in (("radius", 1.0), ("diameter", 0.5)):
        for name, cells in table.items():
            match = _RADIUS_UNIT.fullmatch(name)
            unit = _unit(match[2]) if match and match[1] == kind else None
            if unit is not None:
                return as_numbers(cells) * factor, unit, ()
    return None, "px", tuple(filter(_may_be_size, table))


def _may_be_size(name: str) -> bool:
    match = _OTHER_SIZE.fullmatch(name)
    return bool(_RADIUS_UNIT.fullmatch(name) or (match and _unit(match[2])))


def _unit(text: str) -> str | None:
    """The unit behind a column's name, "px" without one, None for other words."""
    return "px" if text in _PIXELS else unit_named(text)


def _whole_numbers(cells: Sequence[Any]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Cells as whole numbers, 1 for what is none."""
    return np.nan_to_num(as_numbers(cells), nan=1).astype(np.int64)


def _names(table: Columns) -> Sequence[Any] | None:
    """The micrograph of each row, or None where no column names it."""
    named = column(table, _MICROGRAPH)
    labels = table.get("label")
    if named is None and labels is not None:  # ImageJ writes `m0.tif`, and `m0.tif:0012-0034`
        pictures = [str(label).partition(":")[0].strip() for label in labels]
        if pictures and all(PurePosixPath(name).suffix.lower() in SUFFIXES for name in pictures):
            return pictures
    return named
