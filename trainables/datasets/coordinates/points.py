"""Particles of micrographs as a file gives them, and the ones of a JSON file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

OWN_NAME: Final = ""
"""Key of the particles of the micrograph that bears the file's own name."""

Unit = Literal["px", "fraction"]


@dataclass(frozen=True)
class Points:
    """Particles of one micrograph, in the order of their file.

    Attributes:
        centers: (N, 2) float64, x y in `unit`; NaN where the file has no number.
        rows: (N,) int64, where each stands: the number of the row, or of the entry in JSON, from 1.
        scores: (N,) float64 confidences, or None where the file has none.
        radii: (N,) float64 in `radius_unit`, or None where the file has none.
        unit: Unit of the centres, as far as the file says it: "fraction" is of the picture's sides.
        boxes: (N, 2) float64 width and height of the boxes whose middle the centres are, or None.
        shifts: (N, 2) float64, to be taken off the centres, or None.
        shift_unit: "px" of the micrograph or "A".
        corner_assumed: Whether x and y of boxes were taken for their corner, as the file does not
            say what they are.
        radius_unit: Unit of the radii: "px" or one of `units.UM`.
        sizes: Names of columns that may say how large the particles are, and are not read.
        sections: (N,) int64 sections of a stack, from 1, or None where the file has none.
    """

    centers: Floats
    rows: npt.NDArray[np.int64]
    scores: Floats | None = None
    radii: Floats | None = None
    unit: Unit = "px"
    boxes: Floats | None = None
    shifts: Floats | None = None
    shift_unit: Literal["px", "A"] = "px"
    sections: npt.NDArray[np.int64] | None = None
    corner_assumed: bool = False
    radius_unit: str = "px"
    sizes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.centers)

    def taken(self, which: Sequence[int] | npt.NDArray[Any]) -> "Points":
        """Some of the particles, by their places in the arrays."""
        chosen: dict[str, Any] = {
            name: values[which]
            for name, values in vars(self).items()
            if isinstance(values, np.ndarray)
        }
        return replace(self, **chosen)


Coordinates = Mapping[str, Points]
"""Micrograph as the file names it (`OWN_NAME` where it names none) to its particles."""


def coordinates_of_json(document: Any) -> Coordinates | None:
    """Particles of a parsed JSON file; None if it is not {name: [[x, y], ...]}."""
    if not isinstance(document, dict) or not document:
        return None
    if not all(isinstance(value, list) for value in document.values()):
        return None
    if any(isinstance(entry, str | dict) for value in document.values() for entry in value):
        return None
    return {str(name): points_of_list(entries) for name, entries in document.items()}


def points_of_list(entries: Sequence[Any]) -> Points:
    """Particles of a list of pairs, or of pairs with a confidence."""
    numbers = np.array([_three(entry) for entry in entries], dtype=np.float64).reshape(-1, 3)
    scored = len(numbers) > 0 and bool(np.isfinite(numbers[:, 2]).all())
    rows = np.arange(1, len(numbers) + 1)
    return Points(numbers[:, :2], rows, scores=numbers[:, 2] if scored else None)


def by_micrograph(whole: Points, names: Sequence[Any] | None) -> Coordinates:
    """Particles of a table by the micrograph that each row names."""
    if names is None or not len(whole):  # an empty table is about the picture of its own name
        return {OWN_NAME: whole}
    places: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        places.setdefault(str(name).strip(), []).append(row)
    return {name: whole.taken(rows) for name, rows in places.items()}


def as_numbers(cells: Iterable[Any]) -> Floats:
    """Cells as numbers, NaN for what is none."""
    return np.array([_number(cell) for cell in cells], dtype=np.float64)


def _three(entry: Any) -> tuple[float, float, float]:
    """x, y and confidence; NaN for what is no number."""
    values = entry if isinstance(entry, list) and len(entry) in (2, 3) else [None, None]
    x, y, score = (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan
        for value in (*values, None)[:3]
    )
    return x, y, score


def _number(cell: Any) -> float:
    """A cell as a number, with a point or the decimal comma of a spreadsheet; NaN for none."""
    try:
        return float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
