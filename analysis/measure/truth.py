"""What was measured in simulated micrographs beside what was drawn, by one border rule."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.measure.figures import ALL, ClassFigures
from analysis.measure.geometry.calibration import UM_PER_UNIT
from analysis.measure.job.folder import PictureRecord
from analysis.measure.statistics.border import BorderRule
from analysis.measure.statistics.uncertainty import Uncertainty
from analysis.measure.tables import counting_of
from trainables.datasets import geometry
from trainables.files.words import digits


@dataclass(frozen=True)
class Comparison:
    """Particles of a class as measured and as drawn.

    Attributes:
        name: Name of the class.
        unit: Unit of the diameters.
        measured: Mean equivalent diameter that was measured, with its uncertainty.
        true: That of the particles that were drawn, with their border weights; NaN of none.
        n_measured: Particles that count among those measured.
        n_true: Particles that count among those drawn.
    """

    name: str
    unit: str
    measured: Uncertainty
    true: float
    n_measured: int
    n_true: int

    @property
    def line(self) -> str:
        """The comparison in a line for the user."""
        count = f"{self.n_measured} counted, {self.n_true} drawn"
        if not self.n_measured or not self.n_true:
            return f"{self.name}: {count}"
        value, unit = self.measured.value, self.unit
        half = self.measured.relative
        interval = "" if half is None else f" +- {digits(half * value, 2)}"
        return (
            f"{self.name}: mean diameter {digits(value, 4)}{interval} {unit} measured, "
            f"{digits(self.true, 4)} {unit} true ({100 * (value / self.true - 1):+.1f} %); {count}"
        )


def compare(
    figures: Sequence[ClassFigures],
    records: Sequence[PictureRecord],
    truth: Path,
    rule: BorderRule,
) -> list[Comparison]:
    """Compare the classes of a measurement with the particles that were drawn.

    Of both, the same particles count: by the boxes of what is visible, in the same part of the
    picture. A drawn particle's diameter is that of its whole shape, also where another hides it.

    Args:
        figures: Figures of the measurement.
        records: Records of its pictures; those without a scale have to be left out where others
            have one.
        truth: `truth.csv` of the simulation.
        rule: Border rule of the measurement.
    """
    drawn = _drawn(truth)
    unit = figures[0].unit if figures else "px"
    rows = [
        (row, weight)
        for record in records
        for row, weight in _weighted(drawn.get(Path(record.picture).name, []), record, rule)
    ]
    several = [one for one in figures if one.name != ALL] or list(figures)
    return [
        _comparison(one, [(r, w) for r, w in rows if one.name in (ALL, r["class"])], unit)
        for one in several
    ]


def _drawn(truth: Path) -> dict[str, list[Mapping[str, str]]]:
    """Rows of the visible particles by the name of their picture."""
    found: dict[str, list[Mapping[str, str]]] = {}
    with truth.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["visible_px"]):
                found.setdefault(Path(row["file"]).name, []).append(row)
    return found


def _weighted(
    rows: Sequence[Mapping[str, str]], record: PictureRecord, rule: BorderRule
) -> list[tuple[Mapping[str, str], float]]:
    """The particles of a picture that count, with their border weights."""
    size = [record.row["height"], record.row["width"]]
    boxes = np.array(
        [
            geometry.box({"size": size, "counts": row["visible_rle"].encode("ascii")})
            for row in rows
        ],
        np.float64,
    ).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    weights = rule.weights(boxes, counting_of(record, rule)).tolist()
    return [(row, weight) for row, weight in zip(rows, weights, strict=True) if weight > 0]


def _comparison(
    one: ClassFigures, rows: Sequence[tuple[Mapping[str, str], float]], unit: str
) -> Comparison:
    column, factor = (
        ("equivalent_diameter_px", 1.0)
        if unit == "px"
        else ("equivalent_diameter_um", 1 / UM_PER_UNIT[unit])
    )
    total = sum(weight for _, weight in rows)
    mean = sum(float(row[column]) * weight for row, weight in rows) / total if rows else math.nan
    return Comparison(
        name=one.name,
        unit=unit,
        measured=one.combined["mean_1_0"],
        true=mean * factor,
        n_measured=one.estimates["mean_1_0"].n_particles,
        n_true=len(rows),
    )
