"""CryoSPARC's `.cs` files: particles as a structured array of numpy, never a pickle.

`location/center_x_frac` and `location/center_y_frac` are fractions of the micrograph's sides, and
`location/micrograph_path` names it, behind cryoSPARC's own number. A particle lies at its place
less the shift that an alignment found (`alignments3D/shift`), in pixels of its own picture.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from trainables.datasets.coordinates.points import Coordinates, Floats, Points, by_micrograph

_X: Final = "location/center_x_frac"

_Y: Final = "location/center_y_frac"

_NAME: Final = "location/micrograph_path"

_SCORE: Final = "pick_stats/ncc_score"

_OWN_NUMBER: Final = re.compile(r"^\d{12,}_")


def read_cs(path: Path) -> Coordinates | None:
    """Particles of a `.cs` file; None if it holds other things.

    Raises:
        ValueError: It is no array of numpy, or is pickled.
        OSError: It cannot be read.
    """
    try:
        table = np.load(path, allow_pickle=False)
    except EOFError as error:
        raise ValueError("the file ends early") from error
    names = table.dtype.names if isinstance(table, np.ndarray) else None
    if not names or _X not in names or _Y not in names:
        return None
    table = table.ravel()
    centers = np.stack([table[_X], table[_Y]], axis=1).astype(np.float64)
    scores = table[_SCORE].astype(np.float64) if _SCORE in names else None
    rows = np.arange(1, len(centers) + 1)
    whole = Points(centers, rows, scores, unit="fraction", shifts=_shifts(table), shift_unit="A")
    micrographs = [_plain_name(cell) for cell in table[_NAME]] if _NAME in names else None
    return by_micrograph(whole, micrographs)


def _shifts(table: Any) -> Floats | None:
    """Shifts that an alignment found, in Å; None without one."""
    for alignment in ("alignments3D", "alignments2D"):
        names = (f"{alignment}/shift", f"{alignment}/psize_A")
        if {*names} <= {*table.dtype.names}:
            shifts = np.asarray(table[names[0]], dtype=np.float64).reshape(len(table), -1)[:, :2]
            return shifts * table[names[1]][:, None] if shifts.any() else None
    return None


def _plain_name(cell: bytes | str) -> str:
    """A micrograph's name without folders and without cryoSPARC's number before it."""
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return _OWN_NUMBER.sub("", PurePosixPath(text).name)
