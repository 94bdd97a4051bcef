"""What an earlier segtune wrote opens with today's: studies, checkpoints, exported models.

The set is made by `make.py` and described in `README.md`. Everything here goes through the command
line, so that it holds wherever the modules behind it lie; but where the engine changes meanwhile.
"""

import csv
import importlib
import json
import pickletools
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import Field, create_model

from analysis.models.export import export_best
from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from search_spaces.schema import Hyperparameters
from tests.support.command_line import segtune
from trainables.contract import EngineInfo
from trainables.registry import engine_info
from tune.directory.layout import CHECK
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir
from tune.progress.status import status_lines

HERE: Final = Path(__file__).parent
PLACEHOLDER: Final = "@GOLDEN@"
EXPECTED: Final[Mapping[str, Any]] = json.loads((HERE / "expected.json").read_text())
FRAMEWORKS: Final = {"yolo": "ultralytics", "unet": "torch", "mask": "detectron2"}
"""What must be installed to open a real engine's study."""

PICKLED: Final = {"__builtin__", "collections", "torch", "ultralytics"}
"""Packages that the set's files name: none of ours, so that our modules may move."""


def unpack(study: str, folder: Path) -> Path:
    """Put the set's data and one study, as they were, into an empty folder; the study's own."""
    engine = EXPECTED[study]["engine"]
    archive = HERE / "set" / f"{engine}.tar.xz"
    names = ["data"] if archive.is_file() else ["data", f"studies/{study}"]
    for file in (file for name in names for file in (HERE / "set" / name).rglob("*")):
        place = folder / file.relative_to(HERE / "set")
        if file.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    if archive.is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".png" and not zipfile.is_zipfile(file):
            file.write_text(file.read_text().replace(PLACEHOLDER, str(folder)))
    return folder / "studies" / study


def needs_framework(study: str) -> None:
    framework = FRAMEWORKS.get(study)
    if framework is not None and find_spec(framework) is None:
        pytest.skip(f"needs {framework}")


def said(folder: Path, *arguments: str) -> str:
    """What a command says that ends well."""
    answer = segtune(folder, *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def leaderboard(study: Path) -> list[dict[str, str]]:
    with (study / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same_rows(study: Path, expected: list[dict[str, str]]) -> None:
    """The leaderboard has these trials, with the same ends and values."""
    rows = leaderboard(study)
    assert expected
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        found = {name: row[name] for name in wanted}
        assert numbers(found) == pytest.approx(numbers(wanted), abs=1e-9, nan_ok=True)
        assert words(found) == words(wanted)


def numbers(row: Mapping[str, str]) -> dict[str, float]:
    return {key: float(row[key] or "nan") for key in ("objective", "best_epoch", "epochs")}


def words(row: Mapping[str, str]) -> dict[str, str]:
    return {key: row[key] for key in ("trial", "state", "stop_reason")}


def metrics_in(file: Path) -> list[dict[str, float]]:
    """Rows of a metrics table without their checksums, of which version 0.1.0 wrote none."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != CHECK} for row in rows]


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each study of the set in turn; tests may only add to it."""
    needs_framework(request.param)
    return unpack(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=sorted(FRAMEWORKS))
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The study of each real engine in turn, and a copy for each test."""
    needs_framework(request.param)
    return unpack(request.param, tmp_path)


def test_status_tells_how_far_a_study_is(study: Path) -> None:
    expected = EXPECTED[study.name]
    ended = sum(row["state"] != "waiting" for row in expected["leaderboard"])
    answer = said(study.parents[1], "status", str(study))
    assert f"{ended} of {expected['budget']['trials']} trials ended" in answer
    assert f"{float(expected['leaderboard'][0]['objective']):.3f}" in answer
    assert "segtune resume" in answer


@pytest.mark.slow
def test_report_finds_every_trial_with_its_end_and_its_best_epoch(study: Path) -> None:
    table = study / "leaderboard.csv"
    table.write_text(table.read_text().replace(",running,", ",waiting,"))  # as 0.1.0 called it
    assert_same_rows(study, EXPECTED[study.name]["leaderboard"])
    table.unlink()
    said(study.parents[1], "report", str(study))
    assert_same_rows(study, EXPECTED[study.name]["leaderboard"])
    assert EXPECTED[study.name]["best"]["metric"] in (study / "report.html").read_text()


@pytest.mark.slow
def test_export_writes_the_best_model_as_it_was(study: Path) -> None:
    said(study.parents[1], "export", str(study), "--to", "again")
    again, before = study.parents[1] / "again", study / "best"
    for name in ("model.pt", "classes.txt", "best.yaml", "metrics.json"):
        assert (again / name).read_bytes() == (before / name).read_bytes(), name
    best = json.loads((again / "metrics.json").read_text())
    assert best["epoch"] == EXPECTED[study.name]["best"]["epoch"]
    assert_f1(best["values"], EXPECTED[study.name])


def assert_f1(values: Mapping[str, float], expected: Mapping[str, Any]) -> None:
    f1 = expected["best"]["F1"]
    assert any(value > 0 for value in f1.values())
    assert {name: values[name] for name in f1} == pytest.approx(f1, abs=1e-3)


@pytest.mark.slow
def test_models_find_what_they_found_when_they_were_trained(trained: Path) -> None:
    models = {"of the study": trained, "exported": trained / "best"}

    def measured(name: str) -> Mapping[str, float]:
        how = ("--split", "val", "--device", "cpu", "--overlays", "0", "--out", name)
        said(trained.parents[1], "evaluate", str(models[name]), "data", *how)
        found = json.loads((trained.parents[1] / name / "metrics.json").read_text())
        values: Mapping[str, float] = found["metrics"]
        return values

    with ThreadPoolExecutor(2) as pool:
        for values in pool.map(measured, models):
            assert_f1(values, EXPECTED[trained.name])


@pytest.mark.slow
@pytest.mark.ray
def test_a_trial_goes_on_from_its_checkpoint(trained: Path) -> None:
    table = trained / "trials" / "0" / "metrics.jsonl"
    before, n_epochs = metrics_in(table), EXPECTED[trained.name]["budget"]["epochs"]
    assert 0 < len(before) < n_epochs
    said(trained.parents[1], "resume", str(trained))
    after = metrics_in(table)
    assert after[: len(before)] == before
    assert [line["epoch"] for line in after] == list(range(1, n_epochs + 1))
    (row,) = leaderboard(trained)
    assert (row["state"], row["stop_reason"]) == ("complete", "epochs")
    assert float(row["objective"]) >= float(EXPECTED[trained.name]["leaderboard"][0]["objective"])


@pytest.mark.slow
@pytest.mark.ray
def test_an_interrupted_study_goes_on_as_it_would_have(tmp_path: Path) -> None:
    study = unpack("interrupted", tmp_path)
    said(tmp_path, "resume", str(study))
    assert_same_rows(study, EXPECTED["interrupted"]["resumed"])


@pytest.mark.slow
@pytest.mark.ray
def test_a_finished_study_takes_more_trials(tmp_path: Path) -> None:
    study, expected = unpack("finished", tmp_path), EXPECTED["finished"]["leaderboard"]
    said(tmp_path, "resume", str(study), "--set", f"budget.trials={len(expected) + 1}")
    rows = {row["trial"]: row for row in leaderboard(study)}
    assert rows.keys() == {str(trial) for trial in range(len(expected) + 1)}
    for row in expected:
        assert words(rows[row["trial"]]) == words(row)


@pytest.mark.slow
def test_an_exported_configuration_is_trained_again(tmp_path: Path) -> None:
    study = unpack("finished", tmp_path)
    said(tmp_path, "retrain", str(study / "best" / "best.yaml"), "--out", "again")
    best = json.loads((tmp_path / "again" / "best" / "metrics.json").read_text())
    assert_f1(best["values"], EXPECTED["finished"])


def test_no_model_or_checkpoint_names_a_module_of_ours(trained: Path) -> None:
    named = {name.split(".")[0] for file in trained.rglob("*.pt*") for name in pickled_names(file)}
    assert "torch" in named
    assert named <= PICKLED


def pickled_names(file: Path) -> Iterator[str]:
    """Every class and function that a file of PyTorch's names."""
    with zipfile.ZipFile(file) as parts:
        for part in parts.namelist():
            if not part.endswith(".pkl"):
                continue
            words: list[str] = []
            for operation, argument, _ in pickletools.genops(parts.read(part)):
                if operation.name == "GLOBAL":
                    yield str(argument).replace(" ", ".")
                elif operation.name == "STACK_GLOBAL":
                    yield ".".join(words[-2:])
                elif isinstance(argument, str):
                    words.append(argument)


def other_hyperparameters(info: EngineInfo, study: StudyDir) -> type[Hyperparameters]:
    """The engine's hyperparameters with one renamed, and one narrowed, that the study uses."""
    trial = study.trials()[0]
    used = {**trial.fixed, **trial.params}
    narrowed = next(key for key, value in used.items() if isinstance(value, float) and value > 0)
    renamed = next(key for key in used if key != narrowed)
    fields: dict[str, Any] = {
        key: (field.annotation, field)
        for key, field in info.params.model_fields.items()
        if key != renamed
    }
    old = info.params.model_fields[renamed]
    fields[f"{renamed}_of_today"] = (old.annotation, old.default)
    fields[narrowed] = (float, Field(used[narrowed] / 4, gt=0, lt=used[narrowed] / 2))
    return create_model("OfToday", __base__=Hyperparameters, **fields)


def test_a_study_opens_after_its_engine_renamed_a_hyperparameter_and_narrowed_another(
    study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = StudyDir.open(study)
    before = status_lines(opened, width=100)
    info = engine_info(opened.study.trainable)
    module = importlib.import_module(info.params.__module__)
    of_today = replace(info, params=other_hyperparameters(info, opened))
    monkeypatch.setattr(module, "INFO", of_today)
    assert engine_info(opened.study.trainable) is of_today
    opened = StudyDir.open(study)
    assert status_lines(opened, width=100) == before
    write_leaderboard(opened)
    assert_same_rows(study, EXPECTED[study.name]["leaderboard"])
    assert write_report(opened).stat().st_size > 100_000
    best = best_trial(opened.trials(), opened.study.objective.goal)
    if best is None or best.best_model is None:
        return
    exported = export_best(opened, tmp_path / "exported")
    assert (exported / "model.pt").read_bytes() == best.best_model.read_bytes()
