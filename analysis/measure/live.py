"""The table of pictures while a run goes on: a row as each is done, so that mistakes show early.

When all are done the table is written once more, in the order in which pictures were asked for
(`tables`).
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.measure.geometry.calibration import UM_PER_UNIT, choose_unit
from analysis.measure.job.folder import PictureRecord
from analysis.measure.tables import PICTURE_COLUMNS, PICTURES, picture_cells, picture_row
from trainables.files.words import counted


class LiveTable:
    """`pictures.csv` of a run that goes on.

    Args:
        out: Folder of the run.
        done: Records of the pictures that are done before.
    """

    def __init__(self, out: Path, done: Sequence[PictureRecord]) -> None:
        self._path = out / f"{PICTURES}.csv"
        rows = [picture_row(record.picture, record, "") for record in done]
        self._write("w", [dict(zip(PICTURE_COLUMNS, PICTURE_COLUMNS, strict=True)), *rows])

    def add(self, name: str, record: PictureRecord | None, reason: str) -> None:
        """Add the row of a picture that is done, or that failed for a reason."""
        self._write("a", [picture_row(name, record, reason)])

    def _write(self, mode: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._path.open(mode, encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            for row in rows:
                writer.writerow(picture_cells(row))


def first_words(record: PictureRecord) -> str:
    """What a person checks first: how many particles a picture has, and the size of its pixels.

    Nothing is said of a scale that nobody asked for.
    """
    row = record.row
    said = [f"first done: {record.picture}: {counted(row['particles'], 'particle')}"]
    if um := row["um_per_px"]:
        unit = choose_unit(np.array([um]))
        said.append(f"a pixel is {um / UM_PER_UNIT[unit]:.4g} {unit} ({row['scale_source']})")
    elif row["flags"]:
        said.append(str(row["flags"]))
    return "; ".join(said)
