"""Tables of boxes: a row an object, with its picture, its box and its class.

Columns are known by many names, whatever their case: two corners (`xmin`, `ymin`, `xmax`, `ymax`;
`x1`, `y1`, `x2`, `y2`; `left`, `top`, `right`, `bottom`), a corner and a size (`x`, `y`, `width`,
`height`), or a centre and a size (`x_center`, `y_center`, ...). Beside two corners `width` and
`height` are the picture's. Six cells a row without a header are a picture, two corners and a class.
A row of a picture without numbers says that there is nothing in it.

By its content alone a table is taken for one of boxes where it has two corners and a class: `x`,
`y`, `width` and `height` may be of particles, and are boxes where the user says so.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from trainables.datasets.coordinates import OWN_NAME, TABLES
from trainables.datasets.coordinates.points import Floats, as_numbers
from trainables.datasets.coordinates.tables import column, folded
from trainables.datasets.images import SUFFIXES as PICTURE_SUFFIXES
from trainables.datasets.particle_size import FRACTION, Length
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.boxes import add_box, are_fractions
from trainables.datasets.raw.entries import Kind, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_in_name, split_of
from trainables.datasets.raw.formats.particles import findable
from trainables.datasets.raw.naming import picture_named_like
from trainables.datasets.raw.reading import SLACK_PX, RawReading
from trainables.files.cells import from_csv_cell
from trainables.files.text import read_text
from trainables.files.words import counted

NAME = "csv-boxes"

TITLE = "a table of boxes"

SUFFIXES: Final = TABLES

_CORNERS: Final = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
    ("bboxxmin", "bboxymin", "bboxxmax", "bboxymax"),
    ("bboxx1", "bboxy1", "bboxx2", "bboxy2"),
)

_CENTERED: Final = (
    ("xcenter", "ycenter", "width", "height"),
    ("centerx", "centery", "width", "height"),
    ("cx", "cy", "width", "height"),
    ("cx", "cy", "w", "h"),
    ("xcenter", "ycenter", "w", "h"),
)

_SIZED: Final = (
    ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
    ("bboxx", "bboxy", "bboxw", "bboxh"),
    ("bx", "by", "width", "height"),  # ImageJ's, beside whose X and Y are a centroid
    ("xmin", "ymin", "width", "height"),
    ("left", "top", "width", "height"),
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
)

_PICTURE: Final = (
    *("image", "imagename", "imagepath", "imagefile", "imageid", "img", "imgpath", "imgname"),
    *("filename", "filepath", "file", "path", "picture", "micrograph", "micrographname"),
)

_CLASS: Final = (
    *("label", "labelname", "class", "classname", "category", "categoryname", "object"),
    *("labelid", "classid", "categoryid"),
)

_SIDES: Final = (("imagewidth", "imageheight"), ("width", "height"))

_ORIENTED: Final = ("angle", "theta", "rotation", "x4")

_SURE: Final = (".csv", ".tsv")  # a text file may be anything

_BARE: Final = ("image", "x1", "y1", "x2", "y2", "class")
"""Columns of a table without a header."""

_BOX_CELLS: Final = slice(1, 5)


@dataclass(frozen=True)
class Table:
    """A table of boxes.

    Attributes:
        corners: (N, 4) float64, x1 y1 x2 y2 in the table's own unit; NaN where there is no number.
        empty: (N,) bool, whether a row has no number at all: its picture is a negative.
        pictures: Names of the pictures, row by row; `OWN_NAME` where no column has them.
        labels: Classes, row by row, or None where no column has them.
        sides: (N, 2) float64 width and height of the pictures as the table says, NaN where it does
            not.
        rows: Number of each row in the file, from 1.
        oriented: Name of a column that says that boxes are turned, or "".
        exact: Whether two corners are given.
        assumed: Whether `x` and `y` may as well be the boxes' centres, and not their corners.
    """

    corners: Floats
    empty: Sequence[bool]
    pictures: Sequence[str]
    labels: Sequence[str] | None
    sides: Floats
    rows: Sequence[int]
    oriented: str
    exact: bool
    assumed: bool


@dataclass(frozen=True)
class _Placed:
    """Boxes of a picture, in its pixels.

    Attributes:
        source: Place of the table, with the picture's name.
        image: The picture.
        rows: Indices of the rows.
        corners: (n, 4) float64, x1 y1 x2 y2.
    """

    source: RawSource
    image: RawImage
    rows: Sequence[int]
    corners: Floats


def count_images(folder: RawFolder) -> int:
    """Pictures that tables with boxes speak of, whether or not they say a class."""
    return sum(len(set(table.pictures)) for table in _tables(folder).values())


def count_labelled(folder: RawFolder) -> int:
    """Pictures that tables speak of which are of boxes for certain."""
    found = [table for table in _tables(folder).values() if table.exact and table.labels]
    return sum(len(set(table.pictures)) for table in found)


def count_here(folder: RawFolder) -> int:
    """Pictures that tables with boxes speak of and that are here."""
    return sum(
        name == OWN_NAME or folder.has(findable(folder, name, file), file)
        for file, table in _tables(folder).items()
        for name in set(table.pictures)
    )


def read(reading: RawReading) -> None:
    """Read every table.

    Raises:
        DatasetError: Boxes are oriented, `--unit` says a length that is none of boxes, or the user
            must say what x and y are.
    """
    tables = _tables(reading.folder)
    if all(table.labels is None for table in tables.values()):
        reading.notes.append(f"the table has no classes; every object is {reading.object_class!r}")
    for file, table in tables.items():
        if table.oriented:
            raise DatasetError(
                f"{file}: the column {table.oriented} says that boxes are turned; segtune has "
                "outlines, and boxes along the pictures' sides"
            )
        fractions = _in_fractions(reading, file, table)
        placed = [
            entry
            for name, rows in _by_picture(table).items()
            if (entry := _placed(reading, RawSource(file, name), table, rows, fractions))
        ]
        if table.assumed and reading.sizes.xy is None:
            _question_corners(file, placed)
        for entry in placed:
            _add_boxes(reading, entry, table)


def _tables(folder: RawFolder) -> dict[PurePosixPath, Table]:
    """Tables with boxes, of pictures or of the picture of their own name."""
    found: dict[PurePosixPath, Table] = {}
    for file in folder.with_suffix(*SUFFIXES):
        table = folder.parsed(file, _parse) if _may_be_opened(folder, file) else None
        if table and (OWN_NAME not in table.pictures or picture_named_like(folder, file)):
            found[file] = table
    return found


def _may_be_opened(folder: RawFolder, file: PurePosixPath) -> bool:
    try:
        return bool(folder.path(file))
    except LeavesFolderError:  # of a text file that is no table, others say so
        return False


def _parse(path: Path) -> Table | None:
    """The table of a file; None where it holds other things."""
    try:
        text = read_text(path)
        first = next(iter(_rows(text.partition("\n")[0])), (0, [""]))[1]
        header = [*_BARE] if _is_bare(first) else [folded(cell) for cell in first]
        kind = _kind(header)
        if kind is None:
            return None
        rows = _rows(text)
    except (ValueError, OSError, csv.Error):
        if path.suffix.lower() in _SURE:
            raise
        return None
    if _is_bare(first):
        rows = [(0, []), *rows]
    body = [(number, [*row, *[""] * len(header)][: len(header)]) for number, row in rows[1:]]
    cells = [*zip(*(row for _, row in body), strict=True)] or [()] * len(header)
    columns = dict(zip(header, cells, strict=True))
    return _table(columns, [number for number, _ in body], kind)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, with their numbers."""
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    read = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [(number, [from_csv_cell(cell) for cell in row]) for number, row in enumerate(read, 1)]
    return [(number, row) for number, row in rows if any(cell.strip() for cell in row)]


def _is_bare(row: Sequence[str]) -> bool:
    """Whether the first row is no header: a picture, four numbers or none, and a class."""
    if len(row) != len(_BARE) or PurePosixPath(row[0]).suffix.lower() not in PICTURE_SUFFIXES:
        return False
    numbers = np.isfinite(as_numbers(row[_BOX_CELLS]))
    return bool(numbers.all()) or not any(cell.strip() for cell in row[1:])


def _kind(header: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """How a header says boxes, and by which columns."""
    for kind, groups in (("corners", _CORNERS), ("centre", _CENTERED), ("size", _SIZED)):
        for names in groups:
            if {*names} <= {*header}:
                return kind, names
    return None


def _table(
    columns: Mapping[str, Sequence[str]], rows: list[int], kind: tuple[str, tuple[str, ...]]
) -> Table:
    how, names = kind
    numbers = np.stack([as_numbers(columns[name]) for name in names], axis=1)
    cells = zip(*(columns[name] for name in names), strict=True)
    first, second = numbers[:, :2], numbers[:, 2:]
    low = first - second / 2 if how == "centre" else first
    exact = how == "corners"
    labels, named = column(columns, _CLASS), column(columns, _PICTURE)
    if labels is not None and all(_names_picture(label) for label in labels):
        named = named or [label.partition(":")[0] for label in labels]  # ImageJ's pictures
        labels = None
    return Table(
        corners=np.concatenate([low, second if exact else low + second], axis=1),
        empty=[not any(cell.strip() for cell in four) for four in cells],
        pictures=[name.strip() for name in named or [OWN_NAME] * len(rows)],
        labels=labels,
        sides=_sides(columns, len(rows), exact),
        rows=rows,
        oriented=next((name for name in _ORIENTED if _is_used(columns.get(name))), ""),
        exact=exact,
        assumed=names[:2] == ("x", "y"),
    )


def _names_picture(cell: str) -> bool:
    return PurePosixPath(cell.partition(":")[0]).suffix.lower() in PICTURE_SUFFIXES


def _is_used(cells: Sequence[str] | None) -> bool:
    """Whether a column holds a number other than 0."""
    return cells is not None and bool(np.nan_to_num(as_numbers(cells)).any())


def _sides(columns: Mapping[str, Sequence[str]], n: int, exact: bool) -> Floats:
    """Widths and heights of pictures; `width` and `height` beside one corner are the box's."""
    for names in _SIDES if exact else _SIDES[:1]:
        if {*names} <= columns.keys():
            return np.stack([as_numbers(columns[name]) for name in names], axis=1)
    return np.full((n, 2), np.nan)


def _in_fractions(reading: RawReading, file: PurePosixPath, table: Table) -> bool:
    """Whether the numbers are fractions of the pictures' sides: as asked, or as all show."""
    if reading.sizes.unit is not None:
        return reading.sizes.unit == FRACTION
    boxes = table.corners[np.isfinite(table.corners).all(axis=1)].tolist()
    if not are_fractions(boxes):
        return False
    reading.warnings.append(
        f"{file}: the corners of all {counted(len(boxes), 'box', 'boxes')} lie between 0 and 1; "
        "they are taken for fractions of the pictures' sides. --unit 1px says otherwise"
    )
    return True


def _by_picture(table: Table) -> dict[str, list[int]]:
    """Indices of the rows of each picture."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(table.pictures):
        found.setdefault(name, []).append(index)
    return found


def _placed(
    reading: RawReading, source: RawSource, table: Table, rows: list[int], fractions: bool
) -> _Placed | None:
    """The rows of a picture with their boxes in its pixels; None, with a problem, without one."""
    n_objects = sum(not table.empty[row] for row in rows)
    whole = RawSource(source.file, source.place, n_objects=n_objects)
    image = _picture(reading, whole)
    if image is None or not reading.claim(image, whole):
        return None
    image.split = split_in_name(source.file.stem) or split_of(source.file) or split_of(image.file)
    width, height = table.sides[rows[0]].tolist()
    if np.isfinite(width + height) and not reading.fits(image, (width, height), whole):
        return None
    corners = table.corners[rows] * _scale(reading, image, fractions)
    if table.assumed and reading.sizes.xy == "center":
        corners = _around(corners)
    return _Placed(source.of(image), image, rows, corners)


def _around(corners: Floats) -> Floats:
    """Boxes (N, 4) whose middle is where the upper left corner of the given ones is."""
    half = (corners[:, 2:] - corners[:, :2]) / 2
    return np.asarray(corners - np.concatenate([half, half], axis=1))


def _question_corners(file: PurePosixPath, placed: Sequence[_Placed]) -> None:
    """Ask what x and y beside a width and a height are, where the pictures' edges do not show it.

    Raises:
        DatasetError: They may be the boxes' centres.
    """
    corner = sum(_n_beyond(entry.image, entry.corners) for entry in placed)
    center = sum(_n_beyond(entry.image, _around(entry.corners)) for entry in placed)
    if center and not corner:
        return
    raise DatasetError(
        f"{file}: x and y beside a width and a height: a box's corner or its centre? As corners "
        f"{corner} of the boxes reach beyond their pictures, as centres {center}. Say which: --xy "
        "corner or --xy center"
    )


def _n_beyond(image: RawImage, corners: Floats) -> int:
    """Number of boxes that reach beyond their picture."""
    side = np.array([image.width, image.height])
    beyond = np.maximum(-corners[:, :2], corners[:, 2:] - side).max(axis=1)
    return int((beyond > SLACK_PX).sum())


def _add_boxes(reading: RawReading, entry: _Placed, table: Table) -> None:
    for row, corners in zip(entry.rows, entry.corners, strict=True):
        if table.empty[row]:
            continue
        place = ", ".join(filter(None, (entry.source.place, f"row {table.rows[row]}")))
        here = entry.source.at(place)
        if not np.isfinite(corners).all():
            reading.problem(Kind.MALFORMED, here, "expected four numbers")
            continue
        label = reading.object_class if table.labels is None else table.labels[row]
        add_box(reading, entry.image, label, corners.tolist(), here)


def _picture(reading: RawReading, source: RawSource) -> RawImage | None:
    if source.place == OWN_NAME:
        own = picture_named_like(reading.folder, source.file)
        return None if own is None else reading.open(own)
    try:
        name = findable(reading.folder, source.place, source.file)
    except LeavesFolderError as error:
        reading.problem(Kind.LEAVES_FOLDER, source, str(error))
        return None
    return reading.image(name, source)


def _scale(reading: RawReading, image: RawImage, fractions: bool) -> Floats:
    """Pixels of one unit of the corners, along x, y, x and y.

    Raises:
        DatasetError: `--unit` is a length that pixels do not tell.
    """
    unit = reading.sizes.unit
    if fractions:
        return np.array([image.width, image.height] * 2, dtype=np.float64)
    if not isinstance(unit, Length):
        return np.ones(4)
    if unit.unit != "px":
        raise DatasetError(f"--unit: expected fraction or px for boxes, as 4px, got {unit.text}")
    return np.full(4, unit.value)
