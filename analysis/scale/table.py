"""Pixel sizes of many pictures in one CSV file, as people write it or `segtune scale` does."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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


@dataclass(frozen=True)
class ScaleTable:
    """Pixel sizes by picture.

    Attributes:
        path: The CSV file.
        scales: Scale by the picture's absolute path, or its bare name, and its page, or None for
            every page of it.
    """

    path: Path
    scales: Mapping[tuple[str, int | None], Scale] = field(repr=False)

    def of(self, picture: Path, page: int) -> Scale | None:
        """The scale of a picture, by its path, else by its name alone; None where none is said."""
        for key in (str(picture.resolve()), picture.name):
            for wanted in (page, None):
                if (key, wanted) in self.scales:
                    return self.scales[key, wanted]
        return None


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
    rows = list(csv.DictReader(lines, delimiter=delimiter, restval=""))
    columns = (
        list(rows[0])
        if rows
        else [name.strip() for name in csv.reader(lines[:1]).__next__()]
        if lines
        else []
    )
    _check_columns(path, columns)
    scales: dict[tuple[str, int | None], Scale] = {}
    names: dict[tuple[str, int | None], set[Scale]] = {}
    problems: list[str] = []
    for number, row in enumerate(rows, start=2):
        try:
            _add(path, row, scales, names)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = len(problems) - _MOST_SHOWN
        shown = problems[:_MOST_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        noun = "problem" if len(problems) == 1 else "problems"
        raise ScaleError("\n  ".join([f"--table {path}: {len(problems)} {noun}", *shown]))
    alone = {key: next(iter(found)) for key, found in names.items() if len(found) == 1}
    return ScaleTable(path, {**alone, **scales})


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table without a picture's name or without a pixel size.

    Raises:
        ScaleError: A column is missing.
    """
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


def _add(
    path: Path,
    row: Mapping[str, str],
    scales: dict[tuple[str, int | None], Scale],
    names: dict[tuple[str, int | None], set[Scale]],
) -> None:
    """Take a row into the table.

    Raises:
        ValueError: It says no picture, no pixel size, or another one than an earlier row.
    """
    file = from_csv_cell(row[FILE].strip())
    if not file:
        raise ValueError("expected the name of a picture, got none")
    page = _page(row.get("page", ""))
    scale = _scale(row)
    if scale is None:
        return
    places = {str((base / file).resolve()) for base in (Path(), path.parent)}
    for place in places:
        known = scales.setdefault((place, page), scale)
        if known.um_per_px != scale.um_per_px:
            raise ValueError(f"{file} has another pixel size than in a line before")
    names.setdefault((Path(file).name, page), set()).add(scale)


def _page(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdigit():
        raise ValueError(f"page: expected a whole number, got {text!r}")
    return int(text)


def _scale(row: Mapping[str, str]) -> Scale | None:
    """The scale of a row; None where its cells are empty.

    Raises:
        ValueError: It is no length above 0.
    """
    way = next(
        (way for way in _WAYS if all(row.get(name, "").strip() for name in way)),
        (),
    )
    if not way:
        return None
    texts = [row[name].strip() for name in way]
    factor = UM[_unit(row)] if way == ("pixel_size",) else 1.0
    sides = [_number(name, text) * factor for name, text in zip(way, texts, strict=True)]
    stated = row.get("rel_uncertainty", "").strip()
    uncertainty = _number("rel_uncertainty", stated) if stated else rounding(texts[0])
    detail = f"table, {', '.join(texts)} {row.get('unit', '').strip() if factor != 1 else 'um'}"
    return Scale(sides[0], sides[-1], Source.TABLE, uncertainty, detail)


def _unit(row: Mapping[str, str]) -> str:
    text = row.get("unit", "").strip()
    unit = unit_named(text)
    if unit is None:
        raise ValueError(f"unit: expected one of {', '.join(UM)}, got {text or 'none'}")
    return unit


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number above 0, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a number above 0, got {text}")
    return value
