"""Files of coordinates by their suffix, and EMAN's boxes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from trainables.datasets.coordinates.cryosparc import read_cs
from trainables.datasets.coordinates.points import OWN_NAME, Coordinates, Points, as_numbers
from trainables.datasets.coordinates.star import read_star
from trainables.datasets.coordinates.tables import read_table
from trainables.files.text import read_text

TABLES: Final = (".csv", ".tsv", ".txt")
"""Suffixes of tables with a header."""

_BOX_CELLS: Final = 4


def read_coordinates(path: Path) -> Coordinates | None:
    """Particles of a `.star`, `.box` or `.cs` file or a table; None if it holds other things.

    Raises:
        ValueError: It is such a file, but broken.
        OSError: It cannot be read.
    """
    return _READERS[path.suffix.lower()](path)


def _read_box(path: Path) -> Coordinates | None:
    lines = read_text(path).splitlines()
    words = {n: line.split() for n, line in enumerate(lines, start=1) if line.strip()}
    if words and len(next(iter(words.values()))) < _BOX_CELLS:
        return None
    numbers = as_numbers(word for row in words.values() for word in (*row, *[""] * 4)[:_BOX_CELLS])
    corners, boxes = np.split(numbers.reshape(-1, _BOX_CELLS), 2, axis=1)
    rows = np.array(list(words), dtype=np.int64)
    return {OWN_NAME: Points(corners + boxes / 2, rows, boxes=boxes)}


_READERS: Final[Mapping[str, Callable[[Path], Coordinates | None]]] = {
    ".star": read_star,
    ".box": _read_box,
    ".cs": read_cs,
    **dict.fromkeys(TABLES, read_table),
}
