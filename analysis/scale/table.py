"""Pixel sizes of many pictures in one CSV file, as people write it or `segtune scale` does."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from analysis.errors import ScaleError
from analysis.scale.scale import Scale, Source
from search_spaces.names import nearest_name
from trainables.datasets.units import UM, rounding, unit_named
from trainables.files.cells import from_csv_cell

FILE: Final = "file"

_WAYS: Final = (("um_per_px_x", "um_per_px_y"), ("um_per_px",), ("pixel_size",))
"""Columns that say a pixel size, the most exact first."""

_KNOWN: Final = (FILE, "page", "um_per_px", "um_per_px_x", "um_per_px_y", "pixel_size", "unit")

_FILE_WORDS: Final = ("filename", "image", "micrograph", "name", "path", "picture")
"""Names that other tools give to the column of pictures."""

_PER_PIXEL: Final = re.compile(r"(_per_|/)(px|pix|pixel)$")

_MOST_SHOWN: Final = 10

_SAME: Final = 1e-3
"""Relative difference of two cells of a row that say one pixel size, each with its rounding."""

Scales = dict[tuple[str, int | None], Scale | None]
"""Scales by picture and page, None for every page; None where the table says none is known."""


@dataclass(frozen=True)
class ScaleTable:
    """Pixel sizes by picture.

    Attributes:
        path: The CSV file.
        scales: Scale by the picture's absolute path and its page, or None for every page of it;
            None where the table says that none is known.
        alone: The same by bare name, of names that mean one file, or one pixel size.
        bare: Those of these names that the table says without a folder.
    """

    path: Path
    scales: Scales = field(repr=False)
    alone: Scales = field(repr=False)
    bare: Collection[str] = field(repr=False)

    def of(self, picture: Path, page: int) -> Scale | None:
        """The scale of a picture, by its path, else by its name alone; None where none is said."""
        place = str(picture.resolve())
        for known, key in ((self.scales, place), (self.alone, picture.name)):
            for wanted in (page, None):
                if (key, wanted) in known:
                    return known[key, wanted]
        return None

    def among(self, pictures: Collection[Path]) -> "ScaleTable":
        """The table for these pictures: a row with a folder is not that of two of one name.

        Args:
            pictures: Files of the pictures.
        """
        often = Counter(file.name for file in {picture.resolve() for picture in pictures})
        alone = {
            (name, page): scale
            for (name, page), scale in self.alone.items()
            if often[name] < 2 or name in self.bare
        }
        return replace(self, alone=alone)


def read_table(path: Path) -> ScaleTable:
    """Read a table of pixel sizes.

    Raises:
        ScaleError: It cannot be read, lacks a column, or a row says no pixel size; all problems at
            once.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScaleError(f"--table {path}: cannot be read: {why}") from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter, restval="")
    _check_columns(path, [name.strip() for name in reader.fieldnames or ()])
    rows: list[tuple[int, _Row]] = []
    problems: list[str] = []
    for number, row in enumerate(reader, start=2):
        try:
            rows.append((number, _row(row)))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    scales = _by_place(path, rows, problems)
    if problems:
        more = len(problems) - _MOST_SHOWN
        shown = problems[:_MOST_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        noun = "problem" if len(problems) == 1 else "problems"
        raise ScaleError("\n  ".join([f"--table {path}: {len(problems)} {noun}", *shown]))
    said = [row for _, row in rows]
    bare = frozenset(row.file for row in said if Path(row.file).name == row.file)
    return ScaleTable(path, scales, _by_name(said), bare)


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table without a picture's name or without a pixel size.

    Raises:
        ScaleError: A column is missing.
    """
    twice = [name for name in _KNOWN if columns.count(name) > 1]
    if twice:
        raise ScaleError(f"--table {path}: expected each column once, got {', '.join(twice)} twice")
    has_size = any(all(name in columns for name in way) for way in _WAYS)
    if FILE in columns and has_size:
        return
    lacking = [] if FILE in columns else [FILE]
    lacking += [] if has_size else ["um_per_px (or pixel_size and unit)"]
    unknown = [name for name in columns if name not in _KNOWN]
    hints = [f"{name}{hint}" for name in unknown if (hint := _column_meant(name, columns))]
    raise ScaleError(
        f"--table {path}: expected the column {' and '.join(lacking)}, got "
        f"{', '.join(columns) or 'none'}{' (' + '; '.join(hints) + ')' if hints else ''}"
    )


def _column_meant(name: str, columns: Sequence[str]) -> str:
    """A hint at the column that a name of another one stands for; "" where none is like it.

    >>> _column_meant("Picture", ["Picture"]), _column_meant("nm_per_px", ["nm_per_px"])
    ('; did you mean file?', '; did you mean pixel_size, with nm as its unit?')
    """
    folded = name.strip().lower()
    unit = unit_named(_PER_PIXEL.sub("", folded)) if _PER_PIXEL.search(folded) else None
    if unit not in (None, "um"):
        return f"; did you mean pixel_size, with {unit} as its unit?"
    lacking = [known for known in _KNOWN if known not in columns]
    return nearest_name(FILE if folded in _FILE_WORDS else folded, lacking)


@dataclass(frozen=True)
class _Row:
    """A row: the file of a picture, its page or None for all, and its scale if it says one."""

    file: str
    page: int | None
    scale: Scale | None


def _row(row: Mapping[Any, Any]) -> _Row:
    """What a row says.

    Raises:
        ValueError: It says no picture, or a pixel size that is none.
    """
    further = [cell for cell in row.get(None, ()) if cell.strip()]
    if further:
        raise ValueError(
            f"expected as many cells as columns, got {', '.join(further)} beyond the last; a "
            "number with a decimal comma is written with a point, a name with a comma in quotes"
        )
    cells = {name.strip(): cell.strip() for name, cell in row.items() if name is not None}
    file = from_csv_cell(cells[FILE])
    if not file:
        raise ValueError("expected the name of a picture, got none")
    return _Row(file, _page(cells.get("page", "")), _scale(cells))


def _by_place(table: Path, rows: Sequence[tuple[int, _Row]], problems: list[str]) -> Scales:
    """Scales by path, from where the user is and from the table's folder; adds problems."""
    scales: Scales = {}
    for number, row in rows:
        for place in {str((base / row.file).resolve()) for base in (Path(), table.parent)}:
            known = scales.get((place, row.page))
            if known and row.scale and known.sides != row.scale.sides:
                problems.append(
                    f"line {number}: {row.file} has another pixel size than in a line before"
                )
                break
            scales[place, row.page] = known or row.scale
    return scales


def _by_name(rows: Sequence[_Row]) -> Scales:
    """Scales by bare name: of those that one file has, or whose rows all say the same."""
    named: dict[str, list[_Row]] = {}
    for row in rows:
        named.setdefault(Path(row.file).name, []).append(row)
    alone: Scales = {}
    for name, those in named.items():
        said = {row.scale and row.scale.sides for row in those}
        if len(said) == 1 or len({row.file for row in those}) == 1:
            for row in those:
                alone[name, row.page] = alone.get((name, row.page)) or row.scale
    return alone


def _page(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdigit():
        raise ValueError(f"page: expected a whole number, got {text!r}")
    return int(text)


def _scale(cells: Mapping[str, str]) -> Scale | None:
    """The scale of a row; None where its cells are empty.

    Raises:
        ValueError: It is no length above 0, or its cells contradict each other.
    """
    ways = [way for way in _WAYS if all(cells.get(name) for name in way)]
    if not ways:
        return None
    scales = [_scale_by(way, cells) for way in ways]
    for way, other in zip(ways[1:], scales[1:], strict=True):
        if not scales[0].is_near(other, _SAME):
            first, second = (", ".join(f"{k} {cells[k]}" for k in w) for w in (ways[0], way))
            raise ValueError(
                f"{first} and {second} are not one pixel size: correct both, or leave one empty"
            )
    return scales[0]


def _scale_by(way: tuple[str, ...], cells: Mapping[str, str]) -> Scale:
    """The scale that some cells of a row say.

    Raises:
        ValueError: It is no length above 0.
    """
    texts = [cells[name] for name in way]
    sized = way == ("pixel_size",)
    unit = _unit(cells) if sized else "um"
    if not (sized or cells.get("pixel_size")):
        _check_is_um(way[0], cells.get("unit", ""))
    sides = [_number(name, text) * UM[unit] for name, text in zip(way, texts, strict=True)]
    stated = cells.get("rel_uncertainty")
    uncertainty = _number("rel_uncertainty", stated) if stated else rounding(texts[0])
    detail = f"table, {', '.join(texts)} {cells['unit'] if sized else unit}"
    return Scale(sides[0], sides[-1], Source.TABLE, uncertainty, detail)


def _check_is_um(column: str, unit: str) -> None:
    """Refuse another unit beside a column whose name says micrometres.

    Raises:
        ValueError: It is another one.
    """
    if unit and unit_named(_PER_PIXEL.sub("", unit)) != "um":
        raise ValueError(
            f"unit: expected um or none beside {column}, got {unit}; a number in {unit} stands in "
            "the column pixel_size"
        )


def _unit(cells: Mapping[str, str]) -> str:
    text = cells.get("unit", "")
    unit = unit_named(text)
    if unit is None:
        raise ValueError(f"unit: expected one of {', '.join(UM)}, got {text or 'none'}")
    return unit


def _number(name: str, text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # which Python leaves out of numbers
    except ValueError:
        raise ValueError(f"{name}: expected a number above 0, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a number above 0, got {text}")
    return value
