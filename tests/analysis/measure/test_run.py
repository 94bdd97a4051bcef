"""`segtune predict` and `segtune measure` on a real local Ray, with a real model."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.job.pace import PACE
from analysis.measure.run import MeasureResult, run_measure
from tests.support.samples.measured_grains import (
    CPU,
    empty_picture,
    grains_picture,
    planned,
    write_model,
    write_picture,
)
from tune.cli.main import main
from tune.verbs.models.measuring import predict

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

TABLES = ("particles.csv", "pictures.csv", "figures.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def names(rows: list[dict[str, str]]) -> list[str]:
    return [Path(row["image"]).name for row in rows]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five files, one of them a stack and one broken, and a model beside it."""
    folder = tmp_path_factory.mktemp("run")
    for name in "ab":
        write_picture(folder / "in" / f"{name}.tif", grains_picture())
    (folder / "in" / "broken.tif").write_bytes(b"no picture")
    write_picture(folder / "in" / "none.tif", empty_picture())
    write_picture(folder / "in" / "stack.tif", np.stack([grains_picture()] * 2))
    write_model(folder / "model")
    return folder


def measured(inputs: Path, out: Path, **values: Any) -> MeasureResult:
    values = {"scale": {"pixel_size": "2nm"}, **values}
    return run_measure(planned([inputs / "in"], inputs / "model", out, **values))


@pytest.fixture(scope="module")
def first(local_ray: None, inputs: Path) -> MeasureResult:
    """The measurement of all."""
    return measured(inputs, inputs / "out")


@pytest.fixture
def again(first: MeasureResult, inputs: Path, tmp_path: Path) -> Path:
    """Inputs and what was measured, as they were after the first run, to be changed."""
    shutil.copytree(inputs, tmp_path / "again", copy_function=shutil.copy2)
    return tmp_path / "again"


def done_at(out: Path) -> dict[str, int]:
    """When each picture was last done."""
    return {path.stem: path.stat().st_mtime_ns for path in (out / "done").iterdir()}


def test_a_picture_that_cannot_be_read_is_a_row_and_the_rest_completes(
    first: MeasureResult,
) -> None:
    rows = read(first.out / "pictures.csv")
    assert names(rows) == [
        "a.tif", "b.tif", "broken.tif", "none.tif", "stack.tif", "stack_p1.tif",
    ]  # fmt: skip
    assert [row["state"] for row in rows] == [
        "measured", "measured", "failed", "measured", "measured", "measured",
    ]  # fmt: skip
    assert "not a TIFF file" in rows[2]["reason"]
    assert [row["particles"] for row in rows] == ["3", "3", "", "0", "3", "3"]
    assert [Path(name).name for name in first.failed] == ["broken.tif"]
    assert first.particles == 12
    assert first.unit == "nm"
    assert first.warnings()[0].startswith("1 of 6 pictures failed, see ")


def test_pictures_of_the_same_grains_have_the_same_rows(first: MeasureResult) -> None:
    rows = read(first.out / "particles.csv")
    assert names(rows) == [
        n for n in ("a.tif", "b.tif", "stack.tif", "stack_p1.tif") for _ in "123"
    ]
    for row in rows:
        row.pop("image")
    assert rows[:3] == rows[3:6] == rows[6:9] == rows[9:12]


def test_the_second_run_skips_what_is_done_and_writes_the_same_tables(
    again: Path, first: MeasureResult
) -> None:
    out = again / "out"
    same = {name: (out / name).read_bytes() for name in TABLES}
    for record in (out / "done").iterdir():  # the copies lie elsewhere but are the same pictures
        assert json.loads(record.read_text())["settings"]
    before = done_at(out)
    result = measured(again, out)
    assert result.before == 5
    assert done_at(out) == before
    old, new = str(first.out.parent), str(again)
    for name in TABLES:
        assert (out / name).read_bytes().replace(new.encode(), old.encode()) == same[name]


def test_a_changed_picture_alone_is_redone(again: Path) -> None:
    before = done_at(again / "out")
    write_picture(again / "in" / "b.tif", empty_picture())
    result = measured(again, again / "out")
    assert result.before == 4
    assert [record.row["particles"] for record in result.records] == [3, 0, 0, 3, 3]
    changed = {n for n, at in done_at(again / "out").items() if at != before[n]}
    assert changed == {"b"}


def test_other_settings_redo_all(again: Path) -> None:
    result = measured(again, again / "out", finding={"min_size_px": 400})
    assert result.before == 0
    assert result.particles == 4, "only the large grain is left"


def test_another_border_rule_and_unit_measure_nothing_again(again: Path) -> None:
    before = done_at(again / "out")
    result = measured(again, again / "out", border={"rule": "all"}, unit="um")
    assert result.before == 5
    assert done_at(again / "out") == before
    rows = read(again / "out" / "particles.csv")
    assert {row["border_weight"] for row in rows} == {"1"}
    assert float(rows[0]["area_um2"]) == pytest.approx(float(rows[0]["area_px2"]) * 4e-6, rel=1e-6)


def test_a_prediction_has_no_calibrated_columns_and_leaves_no_figures(again: Path) -> None:
    (again / "in" / "broken.tif").unlink()
    result = predict(
        again / "in",
        again / "model",
        again / "out",
        overrides=["finding.confidence=0.1"],
        trainable="threshold",
        device=CPU,
    )
    assert (result.failed, result.unit, list(result.figures)) == ({}, "", [])
    header = list(read(again / "out" / "particles.csv")[0])
    assert [name for name in header if name.endswith(("_nm", "_nm2"))] == ["wavelength_nm"]
    assert not (again / "out" / "figures.csv").exists(), "those of the measurement are old"


def test_without_scales_figures_are_in_pixels_and_rows_appear_as_pictures_are_done(
    inputs: Path, tmp_path: Path
) -> None:
    out, rows, told = tmp_path / "out", list[int](), list[str]()
    plan = planned([inputs / "in"], inputs / "model", out, scale={"source": "none"})
    result = run_measure(
        plan, lambda done, total: rows.append(len(read(out / "pictures.csv"))), told.append
    )
    assert rows == [1, 2, 3, 4, 5, 6]
    assert re.match(r"first done: .*: \d particles$", told[-1]), "no scale was asked for"
    assert names(read(out / "pictures.csv"))[2] == "broken.tif", "at last in the order asked for"
    units = {row["unit"] for row in read(out / "figures.csv") if row["figure"] == "d50_number"}
    assert units == {"px"}
    assert result.report is not None


def test_a_corrupt_pace_is_ignored_with_a_word(
    again: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (again / "out" / PACE).write_text("{")
    (again / "out" / "done" / "a.json").unlink()
    result = measured(again, again / "out")
    assert "expected the pace of earlier runs, got something else" in caplog.text
    assert result.before == 4
    assert json.loads((again / "out" / PACE).read_text())["seconds_a_picture"] > 0


@pytest.mark.parametrize(
    ("content", "values", "said"),
    [
        ("no model", {}, r"model\.pt: expected a model of the engine threshold"),
        (None, {"finding": {"confidence": None}}, r"confidence: expected one for grain"),
    ],
)
def test_what_the_model_cannot_do_is_one_message_and_no_picture_is_touched(
    inputs: Path, tmp_path: Path, content: str | None, values: dict[str, Any], said: str
) -> None:
    model = write_model(tmp_path / "model")
    if content is not None:
        model.write_text(content)
    plan = planned([inputs / "in"], model, tmp_path / "out", **values)
    with pytest.raises(MeasureError, match=said) as refused:
        run_measure(plan)
    assert "\n" not in str(refused.value)
    assert not list((tmp_path / "out" / "parts").iterdir())


Exit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Exit:
    """Runs `segtune` in this process; its exit code, and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def options(inputs: Path, out: Path) -> list[object]:
    return [
        inputs / "in", "--model", inputs / "model", "--out", out, "--trainable", "threshold",
        "--device", "cpu", "--set", "finding.confidence=0.1",
    ]  # fmt: skip


def test_exit_code_1_says_that_pictures_failed(inputs: Path, tmp_path: Path, command: Exit) -> None:
    out = tmp_path / "out"
    code, said, warned = command("measure", *options(inputs, out), "--pixel-size", "2nm")
    assert code == 1
    assert "12 particles in 5 of 6 pictures" in said
    assert "1 of 6 pictures failed" in warned
    assert "not a TIFF file" in warned
    assert {path.name for path in out.glob("*.csv")} == set(TABLES)


@pytest.mark.parametrize("verb", ["predict", "measure"])
def test_a_dry_run_writes_nothing(inputs: Path, tmp_path: Path, command: Exit, verb: str) -> None:
    code, said, _ = command(verb, *options(inputs, tmp_path / "out"), "--dry-run")
    assert code == 0
    assert said.startswith("6 pictures, 0 of them done before, with model (threshold) on cpu\n")
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_exit_code_2_and_nothing_is_written(
    inputs: Path, tmp_path: Path, command: Exit
) -> None:
    code, _, warned = command("measure", *options(inputs, tmp_path / "out"), "--pixel-size", "2")
    assert code == 2
    assert "--pixel-size" in warned
    assert not (tmp_path / "out").exists()
