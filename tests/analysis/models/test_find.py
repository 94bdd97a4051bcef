"""The model that a path means."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.errors import AnalysisError, EvaluateError
from analysis.models.export import export_best
from analysis.models.find import TrainedModel, find_model, load_model
from analysis.models.layout import IDENTITY
from analysis.retrain.retrain import retrain
from tests.support.discs import CLASSES, prepare_discs
from tests.support.places import ROOT
from tests.support.rehearsed_study import rehearse
from trainables.contract import Device, InfeasibleParams
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import EngineError, engine_info, load_engine
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir
from tune.errors import StoreError

BROKEN = ['{"engine": ', "[]", "", "half"]


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def study(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """Three trials of a simulated engine on pictures that are there."""
    return rehearse(
        tmp_path_factory.mktemp("study"),
        data=str(discs.root),
        budget={"trials": 3, "epochs": 4},
        search="random",
        scheduler={"kind": "none"},
    )


@pytest.fixture(scope="module")
def leader(study: StudyDir) -> int:
    best = best_trial(study.trials(), study.study.objective.goal)
    assert best is not None
    return best.number


@pytest.fixture
def attempt(study: StudyDir) -> Path:
    return study.path / "trials" / "1" / "attempt-1"


def test_a_study_is_its_best_trial(study: StudyDir, leader: int) -> None:
    model = find_model(study.path)
    assert model.path == study.path / f"trials/{leader}/attempt-1/best/model.pt"
    assert (model.engine, model.classes) == ("simulated", CLASSES)
    assert f"study {study.study.study}, trial {leader}, epoch " in model.origin
    assert model.fingerprint == study.resolved["fingerprint"]
    assert model.metrics["seg_metrics/F1"] > 0
    assert model.picture_px == 80


@pytest.mark.parametrize("given", ["folder", "best.yaml", "model.pt"])
def test_an_export_is_known_wherever_it_lies(study: StudyDir, tmp_path: Path, given: str) -> None:
    best = export_best(study, tmp_path / "elsewhere")
    model = find_model(best if given == "folder" else best / given)
    assert model.picture_px == 80
    assert model.path == best / "model.pt"
    assert (model.engine, model.classes) == ("simulated", CLASSES)


@pytest.mark.parametrize("retrained", [False, True])
def test_the_native_form_is_known_by_the_folder_it_was_exported_to(
    study: StudyDir, tmp_path: Path, caplog: pytest.LogCaptureFixture, retrained: bool
) -> None:
    best = export_best(study, tmp_path / "exported")
    if retrained:
        best = retrain(best, None, tmp_path / "again", epochs=2).model.parent
    (best / "native").mkdir(exist_ok=True)
    native = Path(shutil.copy(best / "model.pt", best / "native" / "best.pt"))
    assert find_model(native) == replace(find_model(best), path=native)
    assert caplog.messages == []


def test_a_retrained_folder_and_its_best_are_one_model(study: StudyDir, tmp_path: Path) -> None:
    retrain(export_best(study, tmp_path / "best"), None, tmp_path / "again", epochs=2)
    model = find_model(tmp_path / "again")
    assert model == find_model(tmp_path / "again" / "best")
    assert model.path == tmp_path / "again" / "best" / "model.pt"
    assert "retrained" in model.origin
    assert model.name == "again"


def test_an_unfinished_retraining_is_known_by_what_it_trains_and_said_to_be_unfinished(
    study: StudyDir, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    retrain(export_best(study, tmp_path / "best"), None, tmp_path / "again", epochs=2)
    for name in ("best.yaml", "best.json"):
        (tmp_path / "again" / "best" / name).unlink()
    model = find_model(tmp_path / "again")
    assert model.engine == "simulated"
    assert "unfinished retraining" in model.origin
    assert [line.partition(": ")[2] for line in caplog.messages] == [
        "its training is not finished (2 of 2 epochs)"
    ]
    assert model.fingerprint == study.resolved["fingerprint"]


@pytest.mark.parametrize(
    "content",
    ['{"engine": "simul', "[]", "{}", '{"engine": "simulated", "params": [1], "fingerprint": ""}'],
    ids=["half", "list", "empty", "other"],
)
def test_an_unfinished_retraining_whose_word_is_damaged_is_named(
    attempt: Path, tmp_path: Path, content: str
) -> None:
    again = tmp_path / "again"
    shutil.copytree(attempt / "best", again / "best")
    (again / IDENTITY).write_text(content)
    with pytest.raises(EvaluateError, match=rf"{IDENTITY}: expected what .*with --trainable$"):
        find_model(again)


def test_a_model_of_an_engine_that_is_not_here_is_told_with_those_that_are(
    attempt: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(attempt / "best", again / "best")
    identity = {"engine": "simulted", "params": {}, "epochs": 2, "fingerprint": ""}
    (again / IDENTITY).write_text(json.dumps(identity))
    with pytest.raises(EvaluateError, match=r"one of simulted .*did you mean simulated\?$"):
        find_model(again)


@pytest.mark.parametrize("place", ["best", "checkpoint", "work/checkpoint", ""])
def test_a_model_alone_is_called_by_the_folder_that_tells_it_from_others(
    attempt: Path, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "powder" / place
    folder.mkdir(parents=True)
    shutil.copy(attempt / "best" / "model.pt", folder)
    assert find_model(folder, "simulated").name == "powder"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", "best"),
        ("attempt-1", "best"),
        ("attempt-1/best", "best"),
        ("attempt-1/checkpoint", "checkpoint"),
        ("attempt-1/checkpoint/model.pt", "checkpoint"),
    ],
)
def test_a_folder_of_a_trial_is_that_trial(
    study: StudyDir, attempt: Path, place: str, found: str
) -> None:
    model = find_model(attempt.parent / place)
    assert model.path == attempt / found / "model.pt"
    assert model.engine == "simulated"
    assert model.origin.startswith(f"study {study.study.study}, trial 1, epoch ")
    assert "lr0" in model.params
    assert model.metrics


def test_a_trial_that_is_still_trained_is_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = rehearse(
        tmp_path, budget={"trials": 3, "epochs": 5}, stop_after=7, scheduler={"kind": "none"}
    )
    assert [trial.state for trial in study.trials()] == ["complete", "waiting"]
    find_model(study.path / "trials" / "0")
    assert caplog.messages == []
    find_model(study.path / "trials" / "1")
    assert caplog.messages[0].endswith("its training is not finished (2 of 5 epochs)")


def test_a_checkpoint_is_of_the_last_epoch(attempt: Path) -> None:
    assert find_model(attempt / "checkpoint").origin.endswith("epoch 4")


def test_a_file_alone_needs_the_name_of_its_engine(attempt: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(attempt / "best" / "model.pt", tmp_path / "mine.pt"))
    with pytest.raises(EvaluateError, match=r"mine\.pt: .*--trainable .*simulated"):
        find_model(alone)
    model = find_model(alone, "simulated")
    assert model == TrainedModel("simulated", alone, "mine", "a file")
    assert model.limit is None


def test_another_engine_than_the_one_that_trained_it_is_refused(study: StudyDir) -> None:
    with pytest.raises(EvaluateError, match=r"--trainable: expected simulated, .*got yolo_seg"):
        find_model(study.path, "yolo_seg")
    assert find_model(study.path, "simulated").engine == "simulated"


def test_an_unknown_engine_is_refused_by_name(attempt: Path) -> None:
    with pytest.raises(EngineError, match="did you mean simulated"):
        find_model(attempt, "simulatd")


def test_a_path_that_is_not_there_is_told_with_the_nearest_one(study: StudyDir) -> None:
    wrong = study.path.with_name(study.path.name + "s")
    with pytest.raises(EvaluateError, match=f"did you mean {study.path.name}"):
        find_model(wrong)
    with pytest.raises(EvaluateError, match="does not exist either"):
        find_model(wrong / "more")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"got a folder without model\.pt"):
        find_model(tmp_path)


def test_a_study_without_a_trial_is_refused(not_begun: StudyDir, all_failed: StudyDir) -> None:
    with pytest.raises(AnalysisError, match=r"expected a trial with a value of .*, got 0 trials"):
        find_model(not_begun.path)
    failed = all_failed.path / "trials" / "0"
    for place in failed.rglob("model.pt"):
        assert find_model(place).origin.startswith("study")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, text) for name in ("resolved.json", "trials/1/params.json") for text in BROKEN),
        ("resolved.json", '{"engine": "simulated"}'),
    ],
)
def test_a_damaged_study_says_what_cannot_be_read(
    study: StudyDir, tmp_path: Path, name: str, content: str
) -> None:
    copy = shutil.copytree(study.path, tmp_path / study.path.name)
    (copy / name).write_text(content)
    with pytest.raises(StoreError, match=rf"{name}: .* cannot be read"):
        find_model(copy)


def test_a_line_of_metrics_that_is_none_is_named(study: StudyDir, tmp_path: Path) -> None:
    copy = shutil.copytree(study.path, tmp_path / study.path.name)
    table = copy / "trials" / "1" / "metrics.jsonl"
    first, *rest = table.read_text().splitlines(keepends=True)
    table.write_text("".join([first, "half\n", *rest]))
    with pytest.raises(StoreError, match=r"metrics\.jsonl, line 2: .* cannot be read"):
        find_model(copy)


def test_metrics_that_cannot_be_read_are_left_out(attempt: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(attempt / "best", tmp_path / "loose")
    assert find_model(folder, "simulated").metrics
    (folder / "metrics.json").write_text(json.dumps(["nothing"]))
    assert find_model(folder, "simulated").metrics == {}


def fix(study: Path, fixed: Mapping[str, object]) -> None:
    """Let a study have begun with these fixed values."""
    for file in (study / "resolved.json", *study.glob("trials/*/params.json")):
        file.write_text(json.dumps({**json.loads(file.read_text()), "fixed": fixed}))


@pytest.mark.parametrize("place", ["", "trials/1"])
def test_hyperparameters_of_another_version_hinder_no_model(
    study: StudyDir, leader: int, tmp_path: Path, place: str
) -> None:
    copy = Path(shutil.copytree(study.path, tmp_path / study.path.name))
    trial = copy / (place or f"trials/{leader}")
    params = json.loads((trial / "params.json").read_text())
    params["fixed"] |= {"lr1": 0.5, "noise": -7, "max_det": 12}
    fix(copy, params["fixed"])
    model = find_model(copy / place)
    assert model.path == trial / "attempt-1" / "best" / "model.pt"
    assert {"lr1": 0.5, "noise": -7}.items() <= model.params.items()
    assert model.limit == 12
    assert load_model(model, Device()).classes == CLASSES


def test_a_file_of_another_version_is_refused_with_every_hyperparameter_it_is_about(
    attempt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = engine_info("simulated").params

    def refuse(*_: object) -> None:
        schema.model_validate({"lr0": 7, "mosaics": 1})

    monkeypatch.setattr(type(load_engine("simulated")), "load", refuse)
    with pytest.raises(EvaluateError) as error:
        load_model(find_model(attempt), Device())
    said = str(error.value)
    assert "its hyperparameters are of another version: " in said
    assert "got 7; mosaics: " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            InfeasibleParams("{}: expected a model, got a poem"),
            "^{}: expected a model, got a poem$",
        ),
        (InfeasibleParams("a poem"), "^{}: expected a .* cannot read: InfeasibleParams: a poem$"),
        (RuntimeError("line\n" * 400), r"^{}: .*RuntimeError: line line [^\n]{{1,300}}\.\.\.$"),
    ],
    ids=["names the file", "does not", "very long"],
)
def test_what_an_engine_says_of_a_file_is_told_once_and_in_short(
    attempt: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    model = find_model(attempt)

    def refuse(*_: object) -> None:
        raise type(error)(str(error).format(model.path))

    monkeypatch.setattr(type(load_engine("simulated")), "load", refuse)
    with pytest.raises(EvaluateError, match=told.format(re.escape(str(model.path)))):
        load_model(model, Device())


def test_hyperparameters_are_as_the_engine_reads_them(study: StudyDir, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(study.path, tmp_path / study.path.name))
    file = copy / "trials" / "1" / "params.json"
    params = json.loads(file.read_text())
    params["fixed"]["noise"] = "1e-5"  # as YAML 1.1 reads it
    fix(copy, params["fixed"])
    assert find_model(file.parent).params["noise"] == 1e-5


LOADS = """
from pathlib import Path
from analysis.models.find import TrainedModel, load_model
from trainables.contract import Device
try:
    load_model(TrainedModel("unet_selftraining", Path("none"), "none", ""), Device())
except Exception as error:
    print("refused:", error)
import torch
"""


@pytest.mark.parametrize(("set_before", "said"), [("", "PASSIVE"), ("active", "ACTIVE")])
def test_threads_sleep_between_layers_unless_the_user_says_otherwise(
    set_before: str, said: str
) -> None:
    """OpenMP reads it once, when torch is imported, and is asked here for what it read."""
    pytest.importorskip("torch")
    before = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    asked = {"OMP_DISPLAY_ENV": "TRUE", "PYTHONPATH": str(ROOT)}
    own = {"OMP_WAIT_POLICY": set_before} if set_before else {}
    answer = subprocess.run(
        [sys.executable, "-c", LOADS],
        env={**before, **asked, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "refused:" in answer.stdout
    policies = [line for line in answer.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies
    assert all(f"'{said}'" in line for line in policies), policies
