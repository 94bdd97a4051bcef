"""Outlines that people corrected, measured as those that a model found."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.job.outlines import OutlineSearcher
from analysis.measure.job.stages import PictureMeasurer, PictureReader
from analysis.measure.plan import MeasurePlan, plan_outlines
from analysis.measure.run import MeasureResult, run_measure
from analysis.measure.settings import MeasureSettings
from analysis.measure.tables import DonePictures, particle_rows, values_of
from cluster.storage.copying import send
from cluster.storage.opening import open_files
from tests.support.samples.measured_grains import (
    LARGE,
    empty_picture,
    grains_picture,
    mask_of,
    measured_here,
    planned,
    write_model,
    write_picture,
)
from tune.cli.main import main

pytestmark = pytest.mark.usefixtures("threshold")

SCALE = {"pixel_size": "2nm"}

HOLE = (*LARGE[:2], 4.0)


@pytest.fixture(scope="module")
def found(threshold: None, tmp_path_factory: pytest.TempPathFactory) -> DonePictures:
    """What a model found: in a picture, in one with a hole in a grain, in none and in a stack."""
    folder = tmp_path_factory.mktemp("outlines")
    holed = grains_picture()
    holed[mask_of(HOLE)] = 1_000
    names = {
        "a": grains_picture(),
        "holed": holed,
        "none": empty_picture(),
        "stack": np.stack([grains_picture(), np.roll(grains_picture(), 3, axis=0)]),
    }
    pictures = [write_picture(folder / "in" / f"{n}.tif", p) for n, p in names.items()]
    return measured_here(planned(pictures, write_model(folder), folder / "out", scale=SCALE))


@pytest.fixture
def corrected(found: DonePictures, tmp_path: Path) -> Path:
    """A copy of pictures and LabelMe files, to be corrected; the folder of the latter."""
    shutil.copytree(found.folder.out.parent, tmp_path / "copy")
    return tmp_path / "copy" / "out" / "labelme"


def plan_of(outlines: Path, **values: Any) -> MeasurePlan:
    settings = MeasureSettings.model_validate({"scale": SCALE})
    return plan_outlines(outlines, outlines.parent.parent / "again", settings, **values)


def measured_outlines(plan: MeasurePlan) -> DonePictures:
    """The outlines of a plan through all stages, in this process and without Ray."""
    plan.folder.begin()
    assert plan.outlines is not None
    read = PictureReader(plan.pictures, plan.wishes)
    search = OutlineSearcher(plan.pictures, plan.outlines.of_each, plan.outlines.classes)
    measure = PictureMeasurer(plan.pictures, plan.folder, plan.settings, plan.of_each())
    for number in range(len(plan.pictures)):
        known = read(number)
        measure(number, known, search([number], [known])[0])
    records = {p: record for p in plan.pictures if (record := plan.folder.record(p)) is not None}
    return DonePictures(plan.folder, records, plan.settings)


def shapes(file: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    content = json.loads(file.read_text())
    content["shapes"] = change(content["shapes"])
    file.write_text(json.dumps(content))


def test_outlines_that_nobody_corrected_have_the_very_same_sizes(
    found: DonePictures, corrected: Path
) -> None:
    again = measured_outlines(plan_of(corrected))
    before, after = (list(particle_rows(done, "nm")) for done in (found, again))
    assert [len(rows) for rows in after] == [3, 3, 0, 3, 3]
    for old, new in zip(before, after, strict=True):
        assert old.column_names == new.column_names
        for name in set(old.column_names) - {"image", "score"}:
            np.testing.assert_array_equal(values_of(old, name), values_of(new, name), name)
    counts = [record.row["particles"] for record in again.records.values()]
    assert counts == [3, 3, 0, 3, 3], "a picture without particles is a row, too"


def test_an_outline_that_is_removed_is_a_row_less(corrected: Path) -> None:
    shapes(corrected / "a.json", lambda old: old[1:])
    again = measured_outlines(plan_of(corrected))
    first = again.folder.part(next(iter(again.records)))
    assert len(first) == 2
    assert int(mask_of(LARGE).sum()) not in values_of(first, "area").tolist()


def test_only_a_picture_whose_outlines_were_corrected_is_measured_again(corrected: Path) -> None:
    measured_outlines(plan_of(corrected))
    again = corrected.parent.parent / "again"
    (again / "measure.json").write_text('{"settings": {}}')
    assert plan_of(corrected).lines()[0] == (
        f"5 pictures, 5 of them done before, with the outlines of {corrected} (labelme)"
    )
    shapes(corrected / "a.json", lambda old: old[1:])
    left = set(plan_of(corrected).pictures) - set(plan_of(corrected).done())
    assert {picture.stem for picture in left} == {"a"}


def test_pictures_may_be_named_and_so_may_the_format(corrected: Path) -> None:
    moved = corrected.parent.parent.rename(corrected.parent.parent.parent / "moved")
    shutil.move(moved / "in", moved.parent / "elsewhere")
    outlines = moved / "out" / "labelme"
    (outlines / "stack_p1.json").rename(moved / "stack_p1.json")  # it has its page in it
    with pytest.raises(MeasureError, match=r"(?s)--from: .*segtune measure IMAGES --from DIR"):
        plan_of(outlines)
    (moved / "stack_p1.json").rename(outlines / "stack_p1.json")
    plan = plan_of(outlines, pictures=[str(moved.parent / "elsewhere")], form="labelme")
    assert [picture.stem for picture in plan.pictures] == [
        "a", "holed", "none", "stack_p000", "stack_p001",
    ]  # fmt: skip
    with pytest.raises(MeasureError, match="no annotations of the format coco"):
        plan_of(outlines, pictures=[str(moved.parent / "elsewhere")], form="coco")


def test_pictures_named_in_a_bucket_are_brought_again_where_they_are_read(
    corrected: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.move(corrected.parent.parent / "in", tmp_path / "elsewhere")
    here = plan_of(corrected, pictures=[str(tmp_path / "elsewhere")])
    send(tmp_path / "elsewhere", open_files(f"{bucket}/in"))
    plan = plan_of(corrected, pictures=[f"{bucket}/in"])
    assert [one.stem for one in plan.pictures] == [one.stem for one in here.pictures]
    assert plan.pictures[0].name == f"{bucket}/in/a.tif"
    shutil.rmtree(tmp_path / "cache")  # as others have taken its room
    done = measured_outlines(plan)
    assert len(done.records) == len(here.pictures)


def test_boxes_are_no_outlines(corrected: Path) -> None:
    images = corrected.parent.parent / "in"
    (images / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.1\n")
    (images / "classes.txt").write_text("small\nlarge\n")
    with pytest.raises(MeasureError, match="got 2 objects with a box alone"):
        plan_of(images)


def test_what_cannot_be_read_of_outlines_is_said_and_flagged(corrected: Path) -> None:
    def spoil(old: list[Any]) -> list[Any]:
        old[0]["points"] = old[0]["points"][:1]
        return old

    shapes(corrected / "a.json", spoil)
    plan = plan_of(corrected)
    assert plan.outlines is not None
    assert not plan.outlines.complete
    assert any("1 problem (1 too few points) in " in line for line in plan.outlines.problems)
    again = measured_outlines(plan)
    flags = {picture.stem: record.row["flags"] for picture, record in again.records.items()}
    assert flags == {
        "a": "1 outline is left out", "holed": "", "none": "", "stack_p000": "", "stack_p001": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda labelme: labelme.parent.parent / "no", "expected the folder of a raw data set"),
        (lambda labelme: labelme.parent.parent / "in", "no annotations of a known format"),
        (lambda labelme: labelme.parent, r"that of a measurement; its outlines are in .*labelme"),
    ],
)
def test_a_folder_without_outlines_is_refused(
    corrected: Path, place: Callable[[Path], Path], said: str
) -> None:
    (corrected.parent / "measure.json").write_text('{"settings": {}}')
    with pytest.raises(MeasureError, match=said):
        plan_outlines(place(corrected), corrected / "new", MeasureSettings())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "x", "--model", "m"], "--model: expected none beside --from"),
        (["--from", "x", "--device", "cpu"], "--device: expected none beside --from"),
        (["in"], "measure: expected --model MODEL, or --from DIR, got none"),
        (["--model", "m"], "measure: expected IMAGES, or --from DIR, got none"),
        (["in", "--model", "m", "--format", "coco"], "--format: expected --from DIR beside it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["measure", *words, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_figures_of_outlines_say_that_no_error_of_a_segmentation_is_known(corrected: Path) -> None:
    result: MeasureResult = run_measure(plan_of(corrected))
    assert result.particles == 12
    with (result.out / "figures.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["figure"]: row for row in csv.DictReader(stream)}
    assert "segmentation" in rows["d50_number"]["not_known"]
    assert result.report is not None
    assert "outlines of" in result.report.read_text()
    about = json.loads((result.out / "measure.json").read_text())["about"]
    assert about["outlines"] == {"folder": str(corrected), "format": "labelme"}
