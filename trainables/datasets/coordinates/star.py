"""RELION's STAR files: particles, and the shifts that a refinement found for them.

A particle lies at its coordinate less its shift. rlnOriginXAngst is in Å, and becomes pixels with
the micrograph's pixel size, which the table of optics groups says (rlnMicrographOriginalPixelSize),
or nobody here; rlnOriginX, of RELION before 3.1, is in pixels of the particle's own picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainables.datasets.coordinates.points import (
    OWN_NAME,
    Coordinates,
    Floats,
    as_numbers,
    points_of_list,
)
from trainables.datasets.coordinates.tables import particles_of

_SIGN: Final = b"_rlnCoordinateX"

_CHUNK_BYTES: Final = 1 << 20

_EMPTY_BYTES: Final = 1 << 16
"""A file that is longer says something."""

_MICROGRAPH_A: Final = ("rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize")

_IMAGE_A: Final = "rlnImagePixelSize"

_DETECTOR: Final = ("rlnDetectorPixelSize", "rlnMagnification")

_ANGSTROM_PER_UM: Final = 1e4


def read_star(path: Path) -> Coordinates | None:
    """Particles of a STAR file; None if it holds other things.

    Raises:
        ValueError: It is such a file, but broken.
        OSError: It cannot be read.
    """
    if not _names_coordinates(path):
        return {OWN_NAME: points_of_list([])} if _has_no_column(path) else None
    import starfile  # type: ignore[import-untyped]  # not at the top: it takes a quarter second

    try:
        blocks = starfile.read(path, always_dict=True)
    except (IndexError, KeyError, TypeError) as error:  # of a table it cannot make sense of
        raise ValueError(f"the table cannot be read: {error}") from error
    tables = [{name: _as_list(cells) for name, cells in block.items()} for block in blocks.values()]
    for table in tables:
        if "rlnCoordinateX" in table and "rlnCoordinateY" in table:
            return _particles(table, _optics(tables))
    raise ValueError("expected the columns rlnCoordinateX and rlnCoordinateY in one table")


def _names_coordinates(path: Path) -> bool:
    """Whether a file names the column of x, behind any number of optics groups."""
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if _SIGN in tail + chunk:
                return True
            tail = chunk[-len(_SIGN) :]
    return False


def _has_no_column(path: Path) -> bool:
    """Whether a STAR file is empty, or names a table without saying anything in it."""
    if path.stat().st_size > _EMPTY_BYTES:
        return False
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    return all(not line or line.startswith((b"#", b"data_")) or line == b"loop_" for line in lines)


def _as_list(cells: Any) -> list[Any]:
    """A column of a table; of a block without a loop its one value."""
    return list(cells) if hasattr(cells, "__len__") and not isinstance(cells, str) else [cells]


def _optics(tables: Sequence[Mapping[str, list[Any]]]) -> dict[str, dict[str, Any]]:
    """Optics groups by their number, each with its columns."""
    for table in tables:
        if "rlnOpticsGroup" in table and "rlnCoordinateX" not in table:
            rows = [
                dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)
            ]
            return {str(row["rlnOpticsGroup"]): row for row in rows}
    return {}


def _particles(
    table: Mapping[str, list[Any]], optics: Mapping[str, Mapping[str, Any]]
) -> Coordinates | None:
    """Particles by micrograph, with their shifts.

    Raises:
        ValueError: They are places in a volume.
    """
    depth = as_numbers(table.get("rlnCoordinateZ", []))
    if (np.nan_to_num(depth) != 0).any():
        raise ValueError("expected places in micrographs, got rlnCoordinateZ: places in a volume")
    found = particles_of(table)
    shifts = _shifts(table, optics)
    if found is None or shifts is None:
        return found
    by_row, unit = shifts
    return {
        name: replace(points, shifts=by_row[points.rows - 1], shift_unit=unit)
        for name, points in found.items()
    }


def _shifts(
    table: Mapping[str, list[Any]], optics: Mapping[str, Mapping[str, Any]]
) -> tuple[Floats, Any] | None:
    """Shifts of the particles and their unit, in pixels of the micrograph where that is known."""
    names = [("rlnOriginXAngst", "rlnOriginYAngst"), ("rlnOriginX", "rlnOriginY")]
    pair = next((pair for pair in names if table.keys() >= {*pair}), None)
    if pair is None:
        return None
    shifts = np.stack([as_numbers(table[name]) for name in pair], axis=1)
    if not np.nan_to_num(shifts).any():
        return None
    micrograph = _by_row(table, optics, _MICROGRAPH_A)
    image = _image_pixels(table, optics)
    if pair == names[1] and image is None:
        return shifts, "px"
    in_angstrom = shifts if pair == names[0] or image is None else shifts * image
    return (in_angstrom, "A") if micrograph is None else (in_angstrom / micrograph, "px")


def _by_row(
    table: Mapping[str, list[Any]], optics: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> Floats | None:
    """A value of the optics group (or of the row itself) of each row, (N, 1); None if one lacks."""
    n = len(table["rlnCoordinateX"])
    for name in names:
        groups = table.get("rlnOpticsGroup", [])
        cells = table.get(name) or [optics.get(str(group), {}).get(name) for group in groups]
        values = as_numbers(cells)
        if len(values) == n and (values > 0).all():
            return values[:, None]
    return None


def _image_pixels(
    table: Mapping[str, list[Any]], optics: Mapping[str, Mapping[str, Any]]
) -> Floats | None:
    """Side of a pixel of each particle's own picture in Å, (N, 1), or None."""
    known = _by_row(table, optics, (_IMAGE_A,))
    if known is not None:
        return known
    detector, magnification = (_by_row(table, optics, (name,)) for name in _DETECTOR)
    if detector is None or magnification is None:
        return None
    return detector * _ANGSTROM_PER_UM / magnification
