"""The tables of a run: a row a particle, a row a picture, put together from the pictures' parts.

Parts are read one after the other, so a run of any size needs the memory of one picture. Rows
follow the order in which pictures were asked for, so two runs of the same pictures are the same
files.
"""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.measure.geometry.calibration import (
    aliases,
    calibrated,
    choose_unit,
    in_pixels,
    units,
)
from analysis.measure.geometry.columns import COLUMNS
from analysis.measure.job.folder import JobFolder, PictureRecord
from analysis.measure.job.stages import CLASS, MASK, PARTICLE, ROW, SCORE, empty_part
from analysis.measure.outputs.coco import FoundPicture, write_coco
from analysis.measure.settings import MeasureSettings
from analysis.measure.statistics.border import BorderRule
from analysis.pictures.micrographs import Micrograph
from trainables.files.cells import csv_cell
from trainables.files.whole import new_file, write_whole
from trainables.results import Instances

PARTICLES: Final = "particles"

PICTURES: Final = "pictures"

COCO: Final = "coco.json"

IMAGE, WEIGHT = "image", "border_weight"

SIZE: Final = "equivalent_diameter"

WIDTH: Final = "box_width"
"""In its place where a model gives boxes alone."""

SIZES: Final = (SIZE, WIDTH)
"""Columns of which one is a particle's size."""

BOXES: Final = ("box_x_px", "box_y_px", WIDTH, "box_height")
"""Columns of a particle's box."""

EDGE_PX: Final = 1
"""Pixels from the edge within which a mask is not known to be whole."""

_HALF: Final = 0.5
"""What lies between the edge of a mask's outermost pixels and its outline, on average."""

_MEANINGS: Final = {
    IMAGE: "Name of the picture, with the page where its file has several.",
    PARTICLE: "Number of the particle in its picture, from 1.",
    CLASS: "Class that the model gave it.",
    SCORE: "How sure the model is of it, 0 to 1.",
    WEIGHT: "How often it counts in the figures of the run; 0 where the border cuts it.",
    MASK: "Its pixels as COCO's compressed run lengths.",
}

STATE, REASON = "state", "reason"

PICTURE_COLUMNS: Final = (IMAGE, STATE, REASON, *ROW)
"""Columns of the table of pictures."""

Columns = dict[str, Any]


@dataclass(frozen=True)
class DonePictures:
    """The pictures of a run that are measured, in the order asked for.

    Attributes:
        folder: Folder of the run.
        records: Records by picture.
        settings: Settings of the run.
    """

    folder: JobFolder
    records: Mapping[Micrograph, PictureRecord]
    settings: MeasureSettings

    def parts(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Micrograph, PictureRecord, pa.Table]]:
        """Each picture with its record and its particles.

        Args:
            columns: The only columns that are read, where they are there; None for all.
        """
        for picture, record in self.records.items():
            yield picture, record, self.folder.part(picture, columns)

    def weights(self, record: PictureRecord, part: pa.Table) -> Any:
        """(N,) float64, how often each particle of a picture counts in the run's figures."""
        rule = BorderRule(self.settings.border.rule, self.settings.border.guard_px)
        return rule.weights(boxes_of(part), counting_of(record, rule))


def area_of(record: PictureRecord, rule: BorderRule) -> float:
    """Area of a picture that its particles stand for, px^2: without a scale bar that lies on it."""
    left, top, right, bottom = analysed_of(record)
    share = float(record.row["analysed_px"]) / ((right - left) * (bottom - top))
    return rule.area_px2(counting_of(record, rule)) * share


def counting_of(record: PictureRecord, rule: BorderRule) -> tuple[float, float, float, float]:
    """The rectangle in which a particle is whole, x0 y0 x1 y1: the one that was searched, drawn in.

    A mask of a particle that the edge cuts often ends a pixel before the edge: counted as whole,
    such particles would be too many, and too small. A mask that begins at the next pixel counts;
    outlines of such particles begin from half a pixel before it on.
    """
    left, top, right, bottom = analysed_of(record)
    if rule.rule == "all" or min(right - left, bottom - top) <= 2 * (EDGE_PX + 1):
        return left, top, right, bottom
    edge = EDGE_PX + _HALF
    return left + edge, top + edge, right - edge, bottom - edge


def analysed_of(record: PictureRecord) -> tuple[int, int, int, int]:
    """The rectangle of a picture that was searched, x0 y0 x1 y1."""
    row = record.row
    return row["analysed_x0"], row["analysed_y0"], row["analysed_x1"], row["analysed_y1"]


def values_of(part: pa.Table, name: str) -> Any:
    """Values of a column of a part, (N,)."""
    return part[name].to_numpy(zero_copy_only=False)


def boxes_of(part: pa.Table) -> Any:
    """Boxes of a part's particles, (N, 4) float64, x0 y0 x1 y1 in pixels."""
    x0, y0, width, height = (values_of(part, name) for name in BOXES)
    return np.column_stack([x0, y0, x0 + width, y0 + height])


def classes_of(done: DonePictures) -> list[str]:
    """Names of the classes that the models know, each once."""
    return list(dict.fromkeys(c for record in done.records.values() for c in record.classes))


def unit_of(done: DonePictures) -> str:
    """Unit of the calibrated columns; "" where no picture has a scale."""
    scaled = [record for record in done.records.values() if record.row["um_per_px"]]
    if not scaled:
        return ""
    if done.settings.unit != "auto":
        return done.settings.unit
    lengths = [
        values_of(part, size_column(part)) * (record.row["um_per_px"] or np.nan)
        for _, record, part in done.parts(SIZES)
    ]
    return choose_unit(np.concatenate(lengths))


def size_column(part: pa.Table) -> str:
    """The column that is a particle's size: its equivalent diameter, or a box's width."""
    return SIZE if SIZE in part.column_names else WIDTH


def write_particles(done: DonePictures, unit: str, about: Mapping[str, Any]) -> None:
    """Write `particles.parquet` and `particles.csv`.

    Args:
        done: The pictures.
        unit: Unit of the calibrated columns; "" for none.
        about: What stands in the Parquet file's own metadata: settings, models, versions.
    """
    out = done.folder.out
    places = (out / f"{PARTICLES}.parquet", out / f"{PARTICLES}.csv")
    with new_file(places[0]) as parquet, new_file(places[1]) as plain:
        _to_files(particle_rows(done, unit), unit, about, parquet, plain)


def particle_rows(done: DonePictures, unit: str) -> Iterator[pa.Table]:
    """The rows of the particles, a table a picture; of no picture at all, one without rows."""
    if not done.records:
        yield _rows_of("", None, empty_part(), np.empty(0), unit)
    for picture, record, part in done.parts():
        um_per_px = record.row["um_per_px"]
        yield _rows_of(picture.name, um_per_px, part, done.weights(record, part), unit)


def _rows_of(
    name: str, um_per_px: float | None, part: pa.Table, weights: Any, unit: str
) -> pa.Table:
    """The rows of one picture's particles.

    Args:
        name: Name of the picture.
        um_per_px: Side of its pixels, if it is known.
        part: Its particles, in pixels.
        weights: (N,) how often each counts.
        unit: Unit of the calibrated columns; "" for none.
    """
    plain = {column: values_of(part, column) for column in part.column_names if column in COLUMNS}
    columns: Columns = {
        IMAGE: pa.array([name] * len(part), pa.string()),
        PARTICLE: part[PARTICLE],
        CLASS: part[CLASS],
        SCORE: part[SCORE],
        **in_pixels(plain),
    }
    if unit:
        columns |= calibrated(plain, um_per_px, unit)
    return pa.table(columns | {WEIGHT: weights, MASK: part[MASK]})


def _schema(first: pa.Table, unit: str, about: Mapping[str, Any]) -> pa.Schema:
    """A table's schema with unit, definition and other names of each column, and what ran."""
    px_units = {column.titled("px"): column.unit_in("px") for column in COLUMNS.values()}
    in_unit = units(dict.fromkeys(COLUMNS, np.empty(0)), unit) if unit else {}
    meaning = _MEANINGS | {
        column.titled(name): column.definition
        for column in COLUMNS.values()
        for name in ("px", unit or "px")
    }
    also: dict[str, str] = {}
    for theirs, ours in (aliases(unit) if unit else {}).items():
        also[ours] = f"{also[ours]}, {theirs}" if ours in also else theirs
    fields = []
    for field in first.schema:
        said = {
            "unit": {**px_units, **in_unit}.get(field.name),
            "definition": meaning.get(field.name),
            "also": also.get(field.name),
        }
        fields.append(field.with_metadata({k: v for k, v in said.items() if v}))
    return pa.schema(fields, {"segtune": json.dumps(about)})


def _to_files(
    tables: Iterator[pa.Table], unit: str, about: Mapping[str, Any], parquet: Path, plain: Path
) -> None:
    """Write rows, a table a picture, as Parquet and as CSV; each table is asked for once."""
    first = next(tables)
    schema = _schema(first, unit, about)
    names = [name for name in first.column_names if name != MASK]
    with (
        pq.ParquetWriter(parquet, schema) as writer,
        plain.open("w", encoding="utf-8", newline="") as stream,
    ):
        cells = csv.writer(stream)
        cells.writerow([csv_cell(name) for name in names])
        for rows in itertools.chain([first], tables):
            writer.write_table(rows.cast(schema))
            columns = [_cells(rows[name]) for name in names]
            cells.writerows([*zip(*columns, strict=True)])


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """Values of a column as cells: numbers with seven digits, what is not defined empty."""
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return ["" if v is None or np.isnan(v) else f"{v:.7g}" for v in values]
    return [csv_cell(value) for value in values]


def write_pictures(
    done: DonePictures, asked: Sequence[Micrograph], failed: Mapping[Micrograph, str]
) -> list[dict[str, Any]]:
    """Write `pictures.csv` and `pictures.parquet`: a row each, failed ones with their reason."""
    rows = [picture_row(p.name, done.records.get(p), failed.get(p, "")) for p in asked]
    out = done.folder.out
    table = pa.table({name: [row[name] for row in rows] for name in PICTURE_COLUMNS})
    write_whole(out / f"{PICTURES}.parquet", lambda file: pq.write_table(table, file))

    def write(file: Path) -> None:
        """Write all rows under a name that is not yet the table's own."""
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(map(csv_cell, PICTURE_COLUMNS))
            writer.writerows([picture_cells(row) for row in rows])

    write_whole(out / f"{PICTURES}.csv", write)
    return rows


def picture_row(name: str, record: PictureRecord | None, reason: str) -> dict[str, Any]:
    """A row of the table of pictures: of a measured one its record's, else why it failed."""
    row = dict.fromkeys(PICTURE_COLUMNS) if record is None else dict(record.row)
    state = "failed" if record is None else "measured"
    return {**row, IMAGE: name, STATE: state, REASON: reason}


def picture_cells(row: Mapping[str, Any]) -> list[Any]:
    """A row of the table of pictures as cells of a CSV file."""
    return ["" if (value := row[name]) is None else csv_cell(value) for name in PICTURE_COLUMNS]


def write_instances(done: DonePictures, classes: Sequence[str], about: Mapping[str, Any]) -> None:
    """Write `coco.json`."""
    write_coco(_found(done, classes), classes, about, done.folder.out / COCO)


def _found(done: DonePictures, classes: Sequence[str]) -> Iterator[FoundPicture]:
    first_id = 1
    for picture, record, part in done.parts((*BOXES, CLASS, SCORE, MASK)):
        size = [record.row["height"], record.row["width"]]
        masks = [
            {"size": size, "counts": text.encode("ascii")}
            for text in part[MASK].to_pylist()
            if text
        ]
        index = np.array([classes.index(name) for name in part[CLASS].to_pylist()], np.int64)
        instances = Instances(
            boxes_of(part).astype(np.float32).reshape(-1, 4),
            values_of(part, SCORE).astype(np.float32),
            index,
            masks if len(masks) == len(part) else None,
        )
        yield FoundPicture(picture.name, size[1], size[0], first_id, instances)
        first_id += len(part)
