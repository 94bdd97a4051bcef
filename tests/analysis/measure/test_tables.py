"""The tables of a run, read back by others, beside what was drawn."""

import csv
import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from analysis.measure.job.folder import PictureRecord
from analysis.measure.live import first_words
from analysis.measure.settings import BorderSettings
from analysis.measure.statistics.border import BorderRule
from analysis.measure.tables import (
    DonePictures,
    area_of,
    classes_of,
    counting_of,
    particle_rows,
    unit_of,
    write_instances,
    write_particles,
    write_pictures,
)
from analysis.pictures.micrographs import Micrograph
from tests.support.samples.measured_grains import (
    CUT,
    HEIGHT,
    LARGE,
    SMALL,
    WIDTH,
    empty_picture,
    grains_picture,
    mask_of,
    measured_here,
    planned,
    write_model,
    write_picture,
)

pytestmark = pytest.mark.usefixtures("threshold")

ABOUT = {"segtune": "1", "models": [{"name": "model"}]}

AREAS = [int(mask_of(grain).sum()) for grain in (LARGE, CUT, SMALL)]


@pytest.fixture(scope="module")
def done(threshold: None, tmp_path_factory: pytest.TempPathFactory) -> DonePictures:
    """Grains at 2 nm a pixel, a picture without any, and one whose scales contradict."""
    folder = tmp_path_factory.mktemp("tables")
    pictures = [
        write_picture(folder / "=grains.tif", grains_picture()),
        write_picture(folder / "none.tif", empty_picture()),
        write_picture(folder / "two_scales.tif", grains_picture(), nm_per_px=2.1),
    ]
    plan = planned(
        pictures,
        write_model(folder / "model", ("grain", "pore")),
        folder / "out",
        scale={"pixel_size": "2nm"},
    )
    return measured_here(plan)


@pytest.fixture(scope="module")
def rows(done: DonePictures) -> list[dict[str, str]]:
    """Rows of `particles.csv` in nanometres."""
    write_particles(done, "nm", ABOUT)
    return read(done.folder.out / "particles.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_a_particle_in_the_order_asked_for(rows: list[dict[str, str]]) -> None:
    shown = [(Path(row["image"]).name, row["particle"], row["class"]) for row in rows]
    assert shown == [
        (name, number, "grain")
        for name in ("=grains.tif", "two_scales.tif")
        for number in ("1", "2", "3")
    ]


def test_sizes_are_right_in_pixels_and_in_nanometres(rows: list[dict[str, str]]) -> None:
    for row, area in zip(rows[:3], AREAS, strict=True):
        diameter = float(np.sqrt(4 * area / np.pi))
        assert float(row["area_px2"]) == area
        assert float(row["area_nm2"]) == pytest.approx(4 * area, rel=1e-6)
        assert float(row["equivalent_diameter_px"]) == pytest.approx(diameter, rel=1e-6)
        assert float(row["equivalent_diameter_nm"]) == pytest.approx(2 * diameter, rel=1e-6)


def test_without_a_scale_calibrated_columns_are_empty_and_never_pixels(
    rows: list[dict[str, str]],
) -> None:
    calibrated = [name for name in rows[0] if re.search(r"_nm2?$", name)]
    assert "area_nm2" in calibrated
    for row, area in zip(rows[3:], AREAS, strict=True):
        assert float(row["area_px2"]) == area
        assert {row[name] for name in calibrated if name != "wavelength_nm"} == {""}


def test_weights_are_those_of_miles_and_lantuejoul(rows: list[dict[str, str]]) -> None:
    def weight(radius: float) -> float:
        side, across, down = 2 * radius, WIDTH - 3, HEIGHT - 3  # drawn in by 1.5 px all around
        return across * down / ((across - side) * (down - side))

    weights = [float(row["border_weight"]) for row in rows[:3]]
    assert weights == pytest.approx([weight(LARGE[2]), 0, weight(SMALL[2])], rel=1e-6)


def test_without_border_correction_every_particle_counts_once(done: DonePictures) -> None:
    settings = done.settings.model_copy(update={"border": BorderSettings(rule="all")})
    again = DonePictures(done.folder, done.records, settings)
    for _, record, part in again.parts():
        assert again.weights(record, part).tolist() == [1.0] * len(part)


@pytest.mark.parametrize(
    ("rule", "rectangle", "share"),
    [("weights", (1.5, 1.5, 98.5, 58.5), 97 * 57), ("all", (0, 0, 100, 60), 6000)],
)
def test_a_mask_a_pixel_from_the_edge_is_not_known_to_be_whole(
    rule: Literal["weights", "all"], rectangle: tuple[float, ...], share: int
) -> None:
    corners = {"analysed_x0": 0, "analysed_y0": 0, "analysed_x1": 100, "analysed_y1": 60}
    record = PictureRecord("a", {}, [0, 0], {**corners, "analysed_px": 3000}, ["grain"], {})
    assert counting_of(record, BorderRule(rule)) == rectangle
    assert area_of(record, BorderRule(rule)) == share / 2, "half of it is left out"


@pytest.mark.usefixtures("rows")
def test_a_column_of_the_parquet_file_says_its_unit_and_its_definition(done: DonePictures) -> None:
    table = pq.read_table(done.folder.out / "particles.parquet")

    def said(name: str) -> dict[bytes, bytes]:
        return dict(table.schema.field(name).metadata or {})

    assert [said(name)[b"unit"] for name in ("area_px2", "area_nm2", "feret_max_nm")] == [
        b"px^2",
        b"nm^2",
        b"nm",
    ]
    assert all(len(said(name)[b"definition"]) > 10 for name in table.column_names)
    assert said("perimeter_nm")[b"also"] == b"Chord length"
    assert b"also" not in said("perimeter_px"), "theirs are in a unit"
    assert json.loads(table.schema.metadata[b"segtune"]) == ABOUT
    assert table["area_px2"].to_pylist() == AREAS * 2
    assert np.isnan(table["area_nm2"].to_numpy()[3:]).all()


@pytest.mark.usefixtures("rows")
def test_masks_of_the_parquet_file_are_the_pixels(done: DonePictures) -> None:
    table = pq.read_table(done.folder.out / "particles.parquet")
    for counts, grain in zip(table["mask"].to_pylist(), (LARGE, CUT, SMALL), strict=False):
        mask = rle.decode({"size": [HEIGHT, WIDTH], "counts": counts.encode("ascii")})
        np.testing.assert_array_equal(mask, mask_of(grain))


def test_without_a_unit_there_are_no_calibrated_columns(done: DonePictures, tmp_path: Path) -> None:
    write_particles(done, "", ABOUT)
    names = read(done.folder.out / "particles.csv")[0]
    assert "area_px2" in names
    assert [name for name in names if re.search(r"_nm2?$", name)] == ["wavelength_nm"]
    write_particles(done, "nm", ABOUT)


def test_the_unit_suits_the_particles_or_is_the_one_asked_for(done: DonePictures) -> None:
    assert unit_of(done) == "nm"
    settings = done.settings.model_copy(update={"unit": "A"})
    assert unit_of(DonePictures(done.folder, done.records, settings)) == "A"
    unscaled = {p: r for p, r in done.records.items() if not r.row["um_per_px"]}
    assert unit_of(DonePictures(done.folder, unscaled, settings)) == ""


def test_a_row_a_picture_with_its_state_reason_and_flags(done: DonePictures) -> None:
    bad = Micrograph(Path("bad.tif"), 0, "bad.tif", "bad")
    write_pictures(done, [bad, *done.records], {bad: "it ends early"})
    rows = read(done.folder.out / "pictures.csv")
    assert [row["state"] for row in rows] == ["failed", "measured", "measured", "measured"]
    assert [row["reason"] for row in rows] == ["it ends early", "", "", ""]
    assert [row["particles"] for row in rows] == ["", "3", "0", "3"]
    assert [row["um_per_px"] for row in rows] == ["", "0.002", "0.002", ""]
    assert [bool(row["flags"]) for row in rows] == [False, False, False, True]
    assert pq.read_table(done.folder.out / "pictures.parquet").num_rows == 4


def test_a_name_that_a_spreadsheet_would_run_is_quoted(
    threshold: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "=1+1.tif", grains_picture())
    monkeypatch.chdir(tmp_path)
    done = measured_here(
        planned([Path("=1+1.tif")], write_model(tmp_path / "m"), tmp_path / "out", write=[])
    )
    write_particles(done, "", ABOUT)
    write_pictures(done, list(done.records), {})
    for name in ("particles", "pictures"):
        assert read(done.folder.out / f"{name}.csv")[0]["image"] == "'=1+1.tif"


def test_coco_opens_and_has_the_pixels_of_each_row(done: DonePictures) -> None:
    assert classes_of(done) == ["grain", "pore"]
    write_instances(done, classes_of(done), ABOUT)
    coco = COCO(done.folder.out / "coco.json")
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["grain", "pore"]
    names = [Path(image["file_name"]).name for image in coco.loadImgs(coco.getImgIds())]
    assert names == ["=grains.tif", "none.tif", "two_scales.tif"]
    counts = [len(coco.getAnnIds([image])) for image in coco.getImgIds()]
    assert counts == [3, 0, 3]
    found: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds())
    assert [one["id"] for one in found] == [1, 2, 3, 4, 5, 6]
    for one, grain in zip(found, (LARGE, CUT, SMALL) * 2, strict=True):
        np.testing.assert_array_equal(coco.annToMask(one), mask_of(grain))


def test_a_run_without_any_picture_has_tables_without_rows(
    done: DonePictures, tmp_path: Path
) -> None:
    plan = planned(
        [next(iter(done.records)).path], write_model(tmp_path / "model"), tmp_path / "out"
    )
    plan.folder.begin()
    nothing = DonePictures(plan.folder, {}, plan.settings)
    assert unit_of(nothing) == ""
    write_particles(nothing, "", ABOUT)
    there = next(particle_rows(done, "")).column_names
    empty = pq.read_table(plan.out / "particles.parquet")
    assert (empty.num_rows, empty.column_names) == (0, there)
    with (plan.out / "particles.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [[name for name in there if name != "mask"]]


@pytest.mark.parametrize(
    ("um_per_px", "said"),
    [
        (0.000177, "; a pixel is 0.177 nm (given)"),
        (0.0093457944, "; a pixel is 9.346 nm (given)"),
        (1.5, "; a pixel is 1.5 um (given)"),
        (1000.0, "; a pixel is 1 mm (given)"),
        (None, ""),
    ],
)
def test_a_pixel_is_told_in_the_unit_that_fits_it(um_per_px: float | None, said: str) -> None:
    row = {"particles": 2, "um_per_px": um_per_px, "scale_source": "given", "flags": ""}
    record = PictureRecord("a.tif", {}, [0, 0], row, ["grain"], {})
    assert first_words(record) == f"first done: a.tif: 2 particles{said}"
