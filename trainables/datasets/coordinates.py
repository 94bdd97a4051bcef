"""Files of particle coordinates: what `segtune prepare` reads and what picking writes.

Conventions, one for all of them:

- Coordinates are in pixels of the micrograph, continuous: (0, 0) is the upper left corner of the
  first pixel, x runs along a row, y from the first row of the file on. Nothing is flipped: RELION
  and EMAN count an MRC file's rows in the order of the file too, and so does the array that is
  trained on, whatever way up a viewer shows it.
- `.star`: rlnCoordinateX and rlnCoordinateY are a particle's centre.
- `.box` (EMAN 1): x, y, width, height; x and y are the box's first column and row, so the centre
  is x + width / 2, y + height / 2. A box is larger than its particle: its size is no radius.
- `.csv`: a header with x and y (or rlnCoordinateX, x_coord and the like): a particle's centre.
- `.json`: {"image.png": [[x, y], ...]}, a particle's centre.

`.star` and `.csv` may have a column that names the micrograph; without one, and in `.box`, a file
speaks of the micrograph whose name it bears; so does a `.star` that is empty or names a table
without columns, which says that there is nothing in it. A confidence is a third number in JSON, and
a column in `.star` (rlnAutopickFigureOfMerit) and `.csv` (confidence, score).
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainables.files.cells import from_csv_cell
from trainables.files.text import read_text

Floats = npt.NDArray[np.float64]

OWN_NAME: Final = ""
"""Key of the particles of the micrograph that bears the file's own name."""

_X: Final = ("rlncoordinatex", "x", "x_coord", "xcoord", "x_coordinate", "center_x")

_Y: Final = ("rlncoordinatey", "y", "y_coord", "ycoord", "y_coordinate", "center_y")

_MICROGRAPH: Final = (
    "rlnmicrographname",
    "micrograph",
    "micrograph_name",
    "image",
    "image_name",
    "filename",
    "file_name",
    "file",
)

_SCORE: Final = ("rlnautopickfigureofmerit", "confidence", "score")

_RADIUS: Final = ("radius", "radius_px")

_STAR_SIGN: Final = b"_rlnCoordinateX"

_HEAD_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Points:
    """Particles of one micrograph, in the order of their file.

    Attributes:
        centers: (N, 2) float64, x y in pixels; NaN where the file has no number.
        rows: (N,) int64, where each stands: the number of the row, or of the entry in JSON, from 1.
        scores: (N,) float64 confidences, or None where the file has none.
        radii: (N,) float64 in pixels, or None where the file has none.
    """

    centers: Floats
    rows: npt.NDArray[np.int64]
    scores: Floats | None = None
    radii: Floats | None = None

    def __len__(self) -> int:
        return len(self.centers)


Coordinates = Mapping[str, Points]
"""Micrograph as the file names it (`OWN_NAME` where it names none) to its particles."""


def read_coordinates(path: Path) -> Coordinates | None:
    """Particles of a `.star`, `.box` or `.csv` file; None if it holds other things.

    Raises:
        ValueError: It is such a file, but broken.
        OSError: It cannot be read.
    """
    readers = {".star": _read_star, ".box": _read_box, ".csv": _read_csv}
    return readers[path.suffix.lower()](path)


def coordinates_of_json(document: Any) -> Coordinates | None:
    """Particles of a parsed JSON file; None if it is not {name: [[x, y], ...]}."""
    if not isinstance(document, dict) or not document:
        return None
    if not all(isinstance(value, list) for value in document.values()):
        return None
    if any(isinstance(entry, str | dict) for value in document.values() for entry in value):
        return None
    return {str(name): _points_of_list(entries) for name, entries in document.items()}


def _points_of_list(entries: Sequence[Any]) -> Points:
    numbers = np.array([_three(entry) for entry in entries], dtype=np.float64).reshape(-1, 3)
    scored = len(numbers) > 0 and bool(np.isfinite(numbers[:, 2]).all())
    rows = np.arange(1, len(numbers) + 1)
    return Points(numbers[:, :2], rows, scores=numbers[:, 2] if scored else None)


def _three(entry: Any) -> tuple[float, float, float]:
    """x, y and confidence; NaN for what is no number."""
    values = entry if isinstance(entry, list) and len(entry) in (2, 3) else [None, None]
    x, y, score = (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan
        for value in (*values, None)[:3]
    )
    return x, y, score


def _read_star(path: Path) -> Coordinates | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if _STAR_SIGN not in head:
        return {OWN_NAME: _points_of_list([])} if _has_no_column(head) else None
    import starfile  # type: ignore[import-untyped]  # not at the top: it takes a quarter second

    try:
        blocks = starfile.read(path, always_dict=True)
    except (IndexError, KeyError, TypeError) as error:  # of a table it cannot make sense of
        raise ValueError(f"the table cannot be read: {error}") from error
    for block in blocks.values():
        lists = {name: _as_list(column) for name, column in block.items()}
        if (found := _from_columns(lists)) is not None:
            return found
    raise ValueError("expected the columns rlnCoordinateX and rlnCoordinateY in one table")


def _has_no_column(star: bytes) -> bool:
    """Whether a STAR file is empty, or names a table without saying anything in it."""
    lines = [line.strip() for line in star.splitlines()]
    return all(not line or line.startswith((b"#", b"data_")) or line == b"loop_" for line in lines)


def _as_list(column: Any) -> list[Any]:
    """A column of a table; of a block without a loop its one value."""
    return list(column) if hasattr(column, "__len__") and not isinstance(column, str) else [column]


def _read_csv(path: Path) -> Coordinates | None:
    head, _, rest = read_text(path).partition("\n")
    separator = max(",;\t", key=head.count)
    try:
        header = next(csv.reader([head], delimiter=separator), [])
        if not _has_coordinates(header):
            return None
        body = [
            [*map(from_csv_cell, row)]
            for row in csv.reader(io.StringIO(rest, newline=""), delimiter=separator)
            if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise ValueError(f"the table cannot be read: {error}") from error
    width = len(header)
    columns = zip(*([*row, *[""] * width][:width] for row in body), strict=True)
    return _from_columns(
        dict(zip(header, columns, strict=True)) if body else dict.fromkeys(header, ())
    )


def _read_box(path: Path) -> Coordinates | None:
    lines = read_text(path).splitlines()
    words = {n: line.split() for n, line in enumerate(lines, start=1) if line.strip()}
    if words and len(next(iter(words.values()))) < 4:
        return None
    numbers = _numbers(word for row in words.values() for word in (*row, "", "", "", "")[:4])
    corner, size = numbers.reshape(-1, 4)[:, :2], numbers.reshape(-1, 4)[:, 2:]
    return {OWN_NAME: Points(corner + size / 2, np.array(list(words), dtype=np.int64))}


def _from_columns(columns: Mapping[str, Sequence[Any]]) -> Coordinates | None:
    """Particles of a table by micrograph; None if it has no coordinates."""
    x, y, names, scores, radii = (
        _column(columns, aliases) for aliases in (_X, _Y, _MICROGRAPH, _SCORE, _RADIUS)
    )
    if x is None or y is None:
        return None
    centers = np.stack([_numbers(x), _numbers(y)], axis=1)
    whole = Points(
        centers,
        np.arange(1, len(centers) + 1),
        None if scores is None else _numbers(scores),
        None if radii is None else _numbers(radii),
    )
    if names is None or not len(whole):  # an empty table is about the picture of its own name
        return {OWN_NAME: whole}
    places: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        places.setdefault(str(name).strip(), []).append(row)
    return {name: _taken(whole, rows) for name, rows in places.items()}


def _has_coordinates(header: Sequence[str]) -> bool:
    names = {name.strip().casefold() for name in header}
    return bool(names & {*_X}) and bool(names & {*_Y})


def _column(columns: Mapping[str, Sequence[Any]], aliases: Sequence[str]) -> Sequence[Any] | None:
    """The column that has the first of these names, whatever its case; None if none has."""
    folded = {name.strip().casefold(): values for name, values in columns.items()}
    return next((folded[alias] for alias in aliases if alias in folded), None)


def _taken(points: Points, rows: Sequence[int]) -> Points:
    return Points(
        points.centers[rows],
        points.rows[rows],
        None if points.scores is None else points.scores[rows],
        None if points.radii is None else points.radii[rows],
    )


def _numbers(cells: Iterable[Any]) -> Floats:
    """Cells as numbers, NaN for what is none."""
    return np.array([_number(cell) for cell in cells], dtype=np.float64)


def _number(cell: Any) -> float:
    """A cell as a number, with a point or the decimal comma of a spreadsheet; NaN for none."""
    try:
        return float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
