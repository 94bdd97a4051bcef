"""Tables in pixels to tables in units of length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.errors import MeasureError
from analysis.measure.geometry.columns import COLUMNS
from analysis.measure.geometry.runs import Floats

_READ: Final = ("nm", "um", "mm")
"""Units that people write areas in."""

_EASY: Final = 0.1

UM_PER_UNIT: Final = {"pm": 1e-6, "A": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3}
"""Units of length and their micrometres; A is the angstrom."""

_SQUARE: Final = 1e-3
"""Sides of a pixel that differ by less are equal: a thousandth is below any scale's uncertainty."""


def calibrated(
    table: Mapping[str, Floats], um_per_px: float | tuple[float, float] | None, unit: str
) -> dict[str, Floats]:
    """A table of one picture in a unit of length, which stands in every column's name.

    Args:
        table: Columns in pixels, as `shape_table` and `intensity_table` give them.
        um_per_px: Micrometres a pixel is wide, or (wide, high); None or NaN where no scale is
            known: lengths and areas are then NaN, never pixels under a unit's name.
        unit: "pm", "A", "nm", "um" or "mm".

    Raises:
        MeasureError: The unit is none of these, the scale is no positive number, or the pixels are
            not square.
    """
    factor = _square(um_per_px) / UM_PER_UNIT[_known(unit)]
    return {
        COLUMNS[name].titled(unit): values * factor ** (COLUMNS[name].dimension or 0)
        if COLUMNS[name].dimension
        else values
        for name, values in table.items()
    }


def in_pixels(table: Mapping[str, Floats]) -> dict[str, Floats]:
    """The table itself, with `px` in the names of lengths and `px2` in those of areas."""
    return {COLUMNS[name].titled("px"): values for name, values in table.items()}


def units(table: Mapping[str, Floats], unit: str) -> dict[str, str]:
    """Unit of each column of a table in `unit`, by the name the column has there."""
    return {COLUMNS[name].titled(unit): COLUMNS[name].unit_in(unit) for name in table}


def aliases(unit: str) -> dict[str, str]:
    """Column names of the system replaced to the names of the same columns here, in `unit`.

    Names that say micrometres are left out where the unit is another one.
    """
    return {
        alias: column.titled(unit)
        for column in COLUMNS.values()
        for alias in column.aliases
        if unit == "um" or not alias.endswith(("_um", "_um2"))
    }


def choose_unit(lengths_um: Floats) -> str:
    """The unit in which the median length is a number from 1 to 1000: "nm", "um" or "mm".

    Args:
        lengths_um: Lengths of a run's particles in micrometres, such as their equivalent diameters;
            NaN counts for nothing, and without any length it is "um".

    Example:
        >>> choose_unit(np.array([0.02, 0.05, 3.0]))
        'nm'
    """
    known = lengths_um[np.isfinite(lengths_um)]
    median = float(np.median(known)) if len(known) else 1.0
    if median < 1:
        return "nm"
    return "um" if median < 1e3 else "mm"


def _known(unit: str) -> str:
    if unit not in UM_PER_UNIT:
        allowed = ", ".join(UM_PER_UNIT)
        raise MeasureError(f"expected a unit of length, one of {allowed}, got {unit!r}")
    return unit


def _square(um_per_px: float | tuple[float, float] | None) -> float:
    """Side of a square pixel in micrometres, NaN where it is not known."""
    wide, high = um_per_px if isinstance(um_per_px, tuple) else (um_per_px, um_per_px)
    if wide is None or high is None or math.isnan(wide) or math.isnan(high):
        return math.nan
    if not (0 < wide < math.inf and 0 < high < math.inf):
        raise MeasureError(f"expected a positive number of um per pixel, got {wide:g} x {high:g}")
    if abs(wide - high) > _SQUARE * min(wide, high):
        raise MeasureError(
            f"expected square pixels, got {wide:g} x {high:g} um; lengths would depend on their "
            "direction. Resample the picture to square pixels and measure that."
        )
    return math.sqrt(wide * high)


def area_unit(per_area: float, unit: str) -> tuple[str, float]:
    """The unit of area in which a number per area is easily read, and what it is multiplied by.

    Of the square of the unit itself and those of larger ones it is the least in which the number is
    0.1 or more; of pixels the next one is a million.

    Args:
        per_area: Number per square of the unit.
        unit: Unit of lengths, or "px".

    Example:
        >>> area_unit(9.056e-07, "nm"), area_unit(0.4, "um"), area_unit(7.6e-05, "px")
        (('um^2', 1000000.0), ('um^2', 1.0), ('Mpx', 1000000.0))
    """
    if unit == "px":
        known = {"px^2": 1.0, "Mpx": 1e6}
    else:
        larger = [u for u in _READ if UM_PER_UNIT[u] > UM_PER_UNIT[unit]]
        factors = {u: round(UM_PER_UNIT[u] / UM_PER_UNIT[unit]) ** 2 for u in [unit, *larger]}
        known = {f"{u}^2": float(factor) for u, factor in factors.items()}
    fits = [u for u, factor in known.items() if per_area * factor >= _EASY]
    chosen = fits[0] if fits else next(reversed(known)) if per_area > 0 else next(iter(known))
    return chosen, known[chosen]
