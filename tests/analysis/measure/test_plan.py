"""What is asked of a measurement, checked before anything is computed or written."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure import plan as planning
from analysis.measure.job.pace import remember_pace
from analysis.measure.job.stages import PictureReader
from analysis.measure.plan import plan_measure
from analysis.measure.settings import MeasureSettings, read_measure_settings
from analysis.models.find import find_model
from cluster.storage.bucket_files import BucketFiles
from cluster.storage.copying import send
from cluster.storage.opening import open_files
from tests.support.samples.measured_grains import (
    CPU,
    grains_picture,
    measured_here,
    planned,
    write_model,
    write_picture,
)
from trainables.files.errors import UserError

pytestmark = pytest.mark.usefixtures("threshold")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    stack = np.stack([grains_picture()] * 2)
    return [write_picture(tmp_path / "in" / f"{name}.tif", stack) for name in "ab"]


@pytest.fixture
def known_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models whose classes are on record, as those of a study are."""
    monkeypatch.setattr(
        planning,
        "find_model",
        lambda path, trainable: replace(find_model(path, trainable), classes=("grain", "pore")),
    )


def test_a_plan_says_what_would_be_done_and_writes_nothing(
    pictures: list[Path], tmp_path: Path
) -> None:
    plan = planned(pictures, write_model(tmp_path / "model"), tmp_path / "out")
    assert [picture.stem for picture in plan.pictures] == ["a", "a_p1", "b", "b_p1"]
    assert plan.lines() == [
        "4 pictures, 0 of them done before, with model (threshold) on cpu",
        f"writes {tmp_path / 'out'}",
    ]
    assert not (tmp_path / "out").exists()


def test_a_model_of_boxes_writes_nothing_that_needs_outlines_and_says_so(
    pictures: list[Path], tmp_path: Path
) -> None:
    plan = planned(pictures, write_model(tmp_path / "model"), tmp_path / "out")
    assert plan.without_outlines == []
    boxes = replace(plan, models=[replace(plan.models[0], engine="detector")])
    written = {
        name: boxes.folder.writes(name) for name in ("labels", "overlays", "labelme", "rois")
    }
    assert written == {"labels": False, "overlays": True, "labelme": False, "rois": False}
    said = "labels, labelme, rois: not written, as the model finds boxes without outlines"
    assert boxes.lines()[-1] == said


def test_what_is_done_is_counted_and_the_rest_is_given_a_time(
    pictures: list[Path], tmp_path: Path
) -> None:
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    measured_here(planned(pictures[:1], model, out))
    (out / "measure.json").write_text('{"settings": {}}')
    plan = planned(pictures, model, out)
    remember_pace(out, plan.kind(), 30.0)
    first, *_, last = plan.lines()
    assert first.startswith("4 pictures, 2 of them done before")
    assert last == "about 60 s, by what earlier runs of this kind took"
    beside = planned(pictures, model, tmp_path / "new").lines()
    assert beside[-1] == "about 120 s, by what earlier runs of this kind took"
    assert len(planned(pictures, model, out, finding={"iou": 0.6}).lines()) == 2


@pytest.mark.parametrize(
    ("changed", "done"),
    [
        ({}, 2),
        ({"border": {"rule": "all"}, "unit": "um"}, 2),
        ({"finding": {"iou": 0.6}}, 0),
        ({"scale": {"pixel_size": "2nm"}}, 0),
        ({"feret": "corner"}, 0),
        ({"write": ["labels"]}, 0),
    ],
)
def test_a_picture_is_redone_with_settings_that_change_its_part(
    pictures: list[Path], tmp_path: Path, changed: dict[str, Any], done: int
) -> None:
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    measured_here(planned(pictures[:1], model, out))
    (out / "measure.json").write_text('{"settings": {}}')
    [first, *_] = planned(pictures[:1], model, out, **changed).lines()
    assert first.startswith(f"2 pictures, {done} of them done before")


def test_a_picture_is_redone_with_another_model_and_another_table_of_scales(
    pictures: list[Path], tmp_path: Path
) -> None:
    table = tmp_path / "scale.csv"
    table.write_text("file,um_per_px\na.tif,0.002\n")
    model, out = write_model(tmp_path / "model"), tmp_path / "out"

    def hashed() -> dict[str, Any]:
        return planned(pictures, model, out, scale={"table": str(table)}).of_a_picture()

    before = hashed()
    assert before == hashed()
    table.write_text("file,um_per_px\na.tif,0.003\n")
    other_table = hashed()
    assert other_table != before
    write_model(tmp_path / "model", threshold=0.45)
    assert hashed() != other_table


@pytest.mark.parametrize(
    "known",
    [{"metrics": {"seg_metrics/confidence": 0.3}}, {"picture_px": 320}],
    ids=["its confidence", "the size of its pictures"],
)
def test_a_picture_is_redone_where_something_else_is_on_record_of_the_same_model(
    pictures: list[Path], tmp_path: Path, known: dict[str, Any]
) -> None:
    plan = planned(pictures[:1], write_model(tmp_path / "model"), tmp_path / "out")
    measured_here(plan)
    assert len(plan.done()) == 2
    other = replace(plan, models=[replace(plan.models[0], **known)])
    assert other.done() == []


@pytest.mark.usefixtures("known_classes")
@pytest.mark.parametrize(
    "finding",
    [
        {"classes": {"grian": {"confidence": 0.3}}},
        {"rules": {"containment_rules": {"pore": "grian"}}},
        {"rules": {"overlap_rules": {"grian": {}}}},
    ],
)
def test_an_unknown_class_is_refused_by_name(
    pictures: list[Path], tmp_path: Path, finding: dict[str, Any]
) -> None:
    with pytest.raises(MeasureError, match=r"grian.*did you mean grain|grian.*grain, pore"):
        planned(pictures, write_model(tmp_path / "model"), tmp_path / "out", finding=finding)
    assert not (tmp_path / "out").exists()


def test_so_it_is_of_a_model_whose_file_alone_knows_its_classes(
    pictures: list[Path], tmp_path: Path
) -> None:
    finding = {"classes": {"grian": {"confidence": 0.3}}}
    with pytest.raises(MeasureError, match=r"classes\.grian: .*did you mean grain") as refused:
        planned(pictures, write_model(tmp_path / "model"), tmp_path / "out", finding=finding)
    assert "\n" not in str(refused.value)
    broken = write_model(tmp_path / "broken")
    broken.write_text("no model")
    with pytest.raises(MeasureError, match="expected a model of the engine threshold"):
        planned(pictures, broken, tmp_path / "out", finding=finding)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    scale = {"source": "table", "pixel_size": "2 stones"}
    settings = MeasureSettings.model_validate({"scale": scale})
    with pytest.raises(MeasureError) as refused:
        plan_measure([str(tmp_path / "no.tif")], [tmp_path / "no.pt"], out, settings, device=CPU)
    said = str(refused.value)
    assert said.startswith("measure: ")
    for part in ("no.tif", "no.pt", "--pixel-size", "with something else in it; choose another"):
        assert part in said, said


def test_a_measurement_needs_a_model(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="--model: expected at least one model, got none"):
        plan_measure([str(pictures[0])], [], tmp_path / "out", MeasureSettings(), device=CPU)


def test_a_folder_with_the_trace_of_a_kill_is_free(pictures: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".measure.json.1").write_text("{")
    assert planned(pictures, write_model(tmp_path / "model"), out).out == out


def test_settings_are_read_from_yaml_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "measure.yaml"
    file.write_text("finding: {confidence: 0.3, scales: [1, 2]}\nunit: nm\nwrite: [coco]\n")
    settings = read_measure_settings(file, ["finding.confidence=0.4", "border.rule=all"])
    assert settings.finding.confidence == 0.4
    assert settings.finding.scales == (1.0, 2.0)
    assert (settings.unit, settings.write, settings.border.rule) == ("nm", ("coco",), "all")


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "measure.yaml"
    file.write_text("finding: {confidenc: 0.3}\nunit: inch\nborder: {rule: guard}\n")
    with pytest.raises(MeasureError) as refused:
        read_measure_settings(file)
    said = str(refused.value)
    for part in ("3 problems", "confidenc", "confidence", "inch", "guard_px"):
        assert part in said, said
    with pytest.raises(MeasureError, match=r"no\.yaml"):
        read_measure_settings(tmp_path / "no.yaml")


def test_a_picture_that_leaves_its_bucket_is_a_reason_and_ends_no_measurement(
    pictures: list[Path], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    send(pictures[0].parent, files := open_files(f"{bucket}/in"))
    plan = planned([f"{bucket}/in"], write_model(tmp_path), tmp_path / "out")
    assert isinstance(files, BucketFiles)
    files.remove("a.tif")
    shutil.rmtree(tmp_path / "cache")
    assert plan.kind()["pixels"] == []
    with pytest.raises(UserError, match=r"in/a\.tif: expected a file, found none"):
        PictureReader(plan.pictures, None)(0)
