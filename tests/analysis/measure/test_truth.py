"""Measured beside drawn: the simulation's own masks, measured, agree with its truth."""

import csv
from pathlib import Path

import numpy as np
import pytest

from analysis.finding.finder import Found
from analysis.measure.figures import run_figures
from analysis.measure.job.folder import JobFolder
from analysis.measure.job.stages import PictureMeasurer, ReadPicture, Searched
from analysis.measure.settings import MeasureSettings
from analysis.measure.statistics.border import BorderRule
from analysis.measure.tables import DonePictures
from analysis.measure.truth import Comparison, compare
from analysis.pictures.micrographs import find_micrographs, source_of
from trainables.datasets import geometry
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.results import Instances

CLASSES = ("sphere", "rod")


def compared(folder: Path, *, scaled: bool, left_out: str = "") -> tuple[list[Comparison], Path]:
    """A simulated set whose visible particles are measured as if a model had found them."""
    simulate(SPECS["demo"].model_copy(update={"images": 6}), folder / "raw")
    truth = folder / "raw" / "truth.csv"
    with truth.open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["visible_px"])]
    settings = MeasureSettings(write=())
    job = JobFolder(folder / "run", [])
    job.begin()
    pictures = find_micrographs([str(folder / "raw" / "images")])
    measurer = PictureMeasurer(pictures, job, settings, [{}] * len(pictures))
    for number, picture in enumerate(pictures):
        here = [r for r in rows if Path(r["file"]).name == picture.path.name]
        um_per_px = float(here[0]["um_per_px"]) if scaled else None
        here = [r for r in here if r["class"] != left_out]
        masks = [{"size": [160, 160], "counts": r["visible_rle"].encode()} for r in here]
        boxes = np.array([geometry.box(mask) for mask in masks], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        classes = np.array([CLASSES.index(r["class"]) for r in here], np.int64)
        found = Instances(boxes, np.ones(len(here), np.float32), classes, masks)
        read = ReadPicture(
            source_of(picture), 160, 160, um_per_px=um_per_px, scale_rel_uncertainty=0.0
        )
        measurer(number, read, Searched(Found(found, False, 1, 1, (1.0,), 0, {}, {}, 0.5), CLASSES))
    records = {picture: record for picture in pictures if (record := job.record(picture))}
    figures = run_figures(DonePictures(job, records, settings), "nm" if scaled else "", [])
    return compare(figures, list(records.values()), truth, BorderRule()), truth


def counts_by_hand(truth: Path, name: str) -> int:
    """Particles whose visible pixels stay a pixel away from the edges of their picture."""
    n = 0
    with truth.open() as file:
        for row in csv.DictReader(file):
            if row["class"] != name or not int(row["visible_px"]):
                continue
            x, y, width, height = geometry.box(
                {"size": [160, 160], "counts": row["visible_rle"].encode()}
            )
            n += x > 1 and y > 1 and x + width < 159 and y + height < 159
    return n


@pytest.mark.parametrize("scaled", [True, False])
def test_the_simulations_own_masks_have_its_counts_and_its_diameters(
    tmp_path: Path, scaled: bool
) -> None:
    found, truth = compared(tmp_path, scaled=scaled)
    assert [one.name for one in found] == ["sphere", "rod"]
    for one in found:
        assert one.unit == ("nm" if scaled else "px")
        assert one.n_measured == one.n_true == counts_by_hand(truth, one.name)
        # hidden parts are drawn, too, but not measured
        assert one.measured.value == pytest.approx(one.true, rel=0.05)
        assert f"{one.true:.4g} {one.unit} true" in one.line
        assert f"{one.n_true} counted, {one.n_true} drawn" in one.line


def test_the_true_mean_is_weighted_like_the_measured_one(tmp_path: Path) -> None:
    found, truth = compared(tmp_path, scaled=True)
    sums = [0.0, 0.0]
    with truth.open() as file:
        for row in csv.DictReader(file):
            if row["class"] != "sphere" or not int(row["visible_px"]):
                continue
            x, y, width, height = geometry.box(
                {"size": [160, 160], "counts": row["visible_rle"].encode()}
            )
            if x > 1 and y > 1 and x + width < 159 and y + height < 159:
                weight = 157 * 157 / ((157 - width) * (157 - height))  # 1.5 px less all around
                sums[0] += weight * float(row["equivalent_diameter_um"]) * 1000
                sums[1] += weight
    assert found[0].true == pytest.approx(sums[0] / sums[1])


def test_a_class_that_was_not_found_is_said_by_its_counts_alone(tmp_path: Path) -> None:
    found, truth = compared(tmp_path, scaled=True, left_out="rod")
    assert found[1].line == f"rod: 0 counted, {counts_by_hand(truth, 'rod')} drawn"
