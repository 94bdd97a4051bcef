import json
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.errors import ExportError
from analysis.models.card import model_card
from analysis.models.export import config_of, export_best, write_forms
from analysis.report.report import write_report
from analysis.report.summary import summarise
from tests.support.rehearsed_study import rehearse
from tests.support.samples.crowd import prepare_crowd
from trainables.registry import engine_info
from tune.best.configuration import BestConfig, ConfigOrigin, InStore, Reached, TrainedOn
from tune.best.file import load_best, to_yaml
from tune.directory.reader import StudyDir, TrialRecord
from tune.errors import BestConfigError
from tune.progress.status import status_lines
from tune.study.study import Bound

FILES = {
    "best.json",
    "best.yaml",
    "classes.txt",
    "experiment.json",
    "metrics.json",
    "model.pt",
    "model_card.md",
    "native/model.json",
    "overrides.txt",
}


@dataclass(frozen=True)
class OtherTrials(StudyDir):
    """A study directory with other trials than its journal's."""

    records: tuple[TrialRecord, ...] = ()

    def trials(self) -> tuple[TrialRecord, ...]:
        return self.records


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def best_of(study: StudyDir) -> TrialRecord:
    leader = summarise(study).best
    assert leader is not None
    return leader


def config(**changes: Any) -> BestConfig:
    values = {
        "engine": "simulated",
        "params": {"lr0": 1e-05, "optimizer": "AdamW", "batch": 8},
        "sampled": ("lr0",),
        "epochs": 20,
        "seed": 4294967295,
        "objective": Reached(metric="seg_metrics/F1", value=0.1 + 0.2, epoch=7),
        "data": TrainedOn(path=Path("/data/powder"), name="powder", fingerprint="0123"),
        "classes": ("Powder", "no", "1.0", "Ünïcode"),
        "metrics": {"seg_metrics/F1": 0.1 + 0.2, "seg_metrics/confidence": 1 / 3},
        "confidences": {"seg_metrics": 1 / 3},
        "source": ConfigOrigin(study="powder-yolo", trial=3, trials=9),
    }
    return BestConfig(**{**values, **changes})


def written(folder: Path, text: str) -> Path:
    path = folder / "best.yaml"
    path.write_text(text)
    return path


# --- best.yaml


def test_a_configuration_loads_back_unchanged(tmp_path: Path) -> None:
    assert load_best(written(tmp_path, to_yaml(config()))) == config()


OLD_FILE = """\
# Best configuration of the study powder, written by segtune.
# Train it again: segtune retrain best.yaml --data DATA --out FOLDER
format: 1
engine: simulated
params:
  noise: 0.0
  lr0: 0.003
sampled:
- lr0
epochs: 20
seed: 3964924996
cpus: null
train_metrics:
  every: 1
  images: auto
objective:
  metric: seg_metrics/F1
  mode: max
  value: 0.75
  epoch: 20
  constraints:
    measure/count_error:
      at_most: 0.5
      at_least: null
data:
  path: /data/powder
  name: powder
  fingerprint: a08a
classes:
- sphere
metrics:
  seg_metrics/F1: 0.75
confidences:
  seg_metrics: 0.25
source:
  study: powder
  trial: 3
  trials: 9
  retrained: false
  segtune: 0.1.0
notes:
- no zoo here
"""
"""As segtune 0.1.0 wrote it."""


def test_a_best_yaml_of_segtune_0_1_opens_and_is_written_back_to_the_letter(tmp_path: Path) -> None:
    loaded = load_best(written(tmp_path, OLD_FILE))
    assert loaded.objective == Reached(
        metric="seg_metrics/F1",
        value=0.75,
        epoch=20,
        constraints={"measure/count_error": Bound(at_most=0.5)},
    )
    assert loaded.source == ConfigOrigin(study="powder", trial=3, trials=9, segtune="0.1.0")
    assert (loaded.params, loaded.sampled) == ({"noise": 0.0, "lr0": 0.003}, ("lr0",))
    assert (loaded.classes, loaded.notes) == (("sphere",), ("no zoo here",))
    assert to_yaml(loaded) == OLD_FILE


def test_a_place_in_a_store_does_not_go_into_the_file() -> None:
    kept = config(kept=InStore(backbone="", recorded="2026-11-21T08:00:00+00:00"))
    assert kept.told == "seg_metrics/F1 0.3000 (powder-yolo, trial 3, 2026-11-21)"
    assert to_yaml(kept) == to_yaml(config())
    assert config().told == "seg_metrics/F1 0.3000 (powder-yolo, trial 3)"


def test_the_exported_configuration_is_the_best_trials(finished: StudyDir, tmp_path: Path) -> None:
    leader = best_of(finished)
    loaded = load_best(export_best(finished, tmp_path / "out"))
    assert loaded == config_of(finished, leader, None, 14)
    assert loaded.params == {**leader.fixed, **leader.params}
    assert loaded.objective.value == leader.objective
    assert loaded.seed == leader.seed


def test_a_file_a_folder_and_a_study_directory_name_the_same_configuration(
    finished: StudyDir,
) -> None:
    best = export_best(finished)
    assert load_best(best) == load_best(best / "best.yaml") == load_best(finished.path)


def test_a_number_that_yaml_reads_as_text_is_a_number(tmp_path: Path) -> None:
    text = to_yaml(config()).replace("lr0: 1.0e-05", "lr0: 1e-5")
    assert "lr0: 1e-5" in text
    assert load_best(written(tmp_path, text)).params["lr0"] == 1e-5


def test_all_problems_are_told_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    content = yaml.safe_load(to_yaml(config()))
    content["epochs"] = 0
    content["sead"] = 3
    del content["classes"]
    content["objective"]["mod"] = "max"
    with pytest.raises(BestConfigError) as caught:
        load_best(written(tmp_path, yaml.safe_dump(content)))
    message = str(caught.value)
    assert "best.yaml: 4 problems" in message
    assert "epochs: Input should be greater than 0, got 0" in message
    assert "sead: unknown key; did you mean seed?" in message
    assert "objective.mod: unknown key; did you mean mode?" in message
    assert "classes: expected this key, got none" in message


def test_hyperparameters_that_the_engine_refuses_are_named(tmp_path: Path) -> None:
    bad = config(params={"lr0": -1.0, "bacth": 8})
    with pytest.raises(BestConfigError) as caught:
        load_best(written(tmp_path, to_yaml(bad)))
    message = str(caught.value)
    assert "params.lr0: expected a number above 0 and of at most 1, got -1.0" in message
    assert "params.bacth" in message
    assert "did you mean batch?" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: [1", "cannot be read", id="no YAML"),
        pytest.param("- 1\n", "a mapping), got list", id="a list"),
        pytest.param("", "a mapping), got NoneType", id="empty"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BestConfigError, match=r"expected a best\.yaml") as caught:
        load_best(written(tmp_path, text))
    assert said in str(caught.value)


def test_an_unknown_engine_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BestConfigError, match="did you mean simulated"):
        load_best(written(tmp_path, to_yaml(config(engine="simulatd"))))


def test_a_missing_file_is_told_with_what_is_near(tmp_path: Path) -> None:
    written(tmp_path, "")
    with pytest.raises(BestConfigError, match=r"did you mean .*best\.yaml"):
        load_best(tmp_path / "bset.yaml")


def test_a_study_that_was_not_exported_says_so(not_begun: StudyDir) -> None:
    with pytest.raises(BestConfigError, match="run `segtune export"):
        load_best(not_begun.path)


# --- the folder


def test_the_export_holds_every_form(finished: StudyDir) -> None:
    best = export_best(finished)
    assert best == finished.path / "best"
    assert files(best) == FILES
    assert (best / "classes.txt").read_text() == "particle\n"
    metrics = json.loads((best / "metrics.json").read_text())
    leader = best_of(finished)
    assert metrics["epoch"] == leader.best_epoch
    assert metrics["values"]["seg_metrics/F1"] == leader.objective
    assert json.loads((best / "best.json").read_text())["engine"] == "simulated"


def test_the_weights_are_those_of_the_best_epoch_not_of_the_last(finished: StudyDir) -> None:
    model = json.loads((export_best(finished) / "model.pt").read_text())
    assert model["epoch"] == best_of(finished).best_epoch


def test_the_lowest_epoch_is_exported_where_less_is_better(minimised: StudyDir) -> None:
    leader = best_of(minimised)
    loaded = load_best(export_best(minimised))
    assert loaded.objective == Reached(
        metric="val/loss", mode="min", value=leader.objective or 0.0, epoch=leader.best_epoch or 0
    )
    assert leader.objective == min(
        row["val/loss"] for trial in minimised.trials() for row in trial.metrics
    )
    model = json.loads((minimised.path / "best" / "model.pt").read_text())
    assert model["epoch"] == leader.best_epoch


def test_a_second_export_replaces_the_first(finished: StudyDir, tmp_path: Path) -> None:
    first = export_best(finished, tmp_path / "out")
    (first / "stale").touch()
    export_best(finished, tmp_path / "out")
    assert files(first) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_killed_half_way_leaves_the_old_one_and_does_not_hinder_the_next(
    finished: StudyDir, tmp_path: Path
) -> None:
    first = export_best(finished, tmp_path / "out")
    first.rename(tmp_path / ".out.old-1")
    half = tmp_path / ".out.new-1"
    half.mkdir()
    (half / "best.yaml").touch()
    assert files(export_best(finished, tmp_path / "out")) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_of_a_like_name_are_left_alone(finished: StudyDir, tmp_path: Path) -> None:
    mine = {name: tmp_path / name for name in ("out.old", "out.new")}
    for folder in mine.values():
        folder.mkdir()
        (folder / "best.json").write_text("mine")
    export_best(finished, tmp_path / "out")
    export_best(finished, tmp_path / "out")
    assert all((folder / "best.json").read_text() == "mine" for folder in mine.values())
    assert {path.name for path in tmp_path.iterdir()} == {"out", *mine}


@pytest.mark.parametrize("what", ["a folder with other files", "a file"])
def test_a_place_that_holds_something_else_is_left_alone(
    finished: StudyDir, tmp_path: Path, what: str
) -> None:
    place = tmp_path / "out"
    if what == "a file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match=f"got {what}; choose another with --to"):
        export_best(finished, place)
    assert place.read_text() if what == "a file" else (place / "thesis.txt").read_text() == "mine"


def test_a_study_without_a_value_has_nothing_to_export(not_begun: StudyDir) -> None:
    with pytest.raises(ExportError, match="expected a trial with a value of seg_metrics/F1, got 0"):
        export_best(not_begun)


def test_of_a_study_whose_trials_all_failed_nothing_is_exported(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path,
        budget={"trials": 2, "epochs": 5},
        scheduler={"kind": "none"},
        fixed={"behaviour": "nan"},
    )
    trials = study.trials()
    assert [(trial.state, trial.stop_reason) for trial in trials] == [("failed", "diverged")] * 2
    assert all(trial.objective is not None for trial in trials)
    with pytest.raises(ExportError) as raised:
        export_best(study)
    assert str(raised.value) == (
        f"{study.path}: expected a trial with a value of seg_metrics/F1 that did not fail, got 2 "
        f"trials without one (2 failed); the last failure: {trials[1].message}. The model of trial "
        f"1's best epoch: {trials[1].best_model}"
    )
    assert not (study.path / "best").exists()
    assert not any(line.startswith("best F1 0") for line in status_lines(study, width=80))
    assert json.loads(write_report(study).with_suffix(".json").read_text())["best"] is None


def test_a_model_that_was_deleted_is_named(finished: StudyDir) -> None:
    leader = replace(best_of(finished), attempt=None)
    study = OtherTrials(finished.path, finished.study, finished.resolved, (leader,))
    with pytest.raises(ExportError, match=f"expected the model of trial {leader.number}'s best"):
        export_best(study)


def test_weights_of_another_epoch_are_exported_with_that_epochs_metrics(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path, budget={"trials": 1, "epochs": 4}, scheduler={"kind": "none"}, search="random"
    )
    trial = study.trials()[0]
    assert trial.attempt is not None
    kept = {"epoch": 2, "values": {"seg_metrics/F1": trial.metrics[1]["seg_metrics/F1"]}}
    (trial.attempt / "best" / "metrics.json").write_text(json.dumps(kept))
    loaded = load_best(export_best(study))
    assert loaded.objective.epoch == 2
    assert loaded.objective.value == trial.metrics[1]["seg_metrics/F1"]


def test_metrics_of_kept_weights_that_the_trials_table_has_others_of_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = rehearse(tmp_path, budget={"trials": 1, "epochs": 3}, search="random")
    (trial,) = study.trials()
    assert trial.attempt is not None
    path = trial.attempt / "best" / "metrics.json"
    kept = json.loads(path.read_text())
    table = kept["values"]["seg_metrics/recall"]
    kept["values"]["seg_metrics/recall"] = 0.986
    path.write_text(json.dumps(kept))
    folder = export_best(study)
    said = f"differ at epoch {trial.best_epoch} in 1 metric: seg_metrics/recall 0.986 and {table}"
    assert said in caplog.text
    assert said in (folder / "model_card.md").read_text()


@pytest.mark.slow
def test_a_form_that_cannot_be_written_is_told_and_the_others_are_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "model.pt").write_text("no YOLO model")
    params = {"model": "yolo11n-seg.yaml", "lr0": 1e-3, "optimizer": "AdamW"}
    yolo = config(engine="yolo_seg", params=params)
    with caplog.at_level(logging.WARNING):
        write_forms(yolo, folder, None)
    assert "native weights could not be written" in caplog.text
    assert "native weights could not be written" in (folder / "model_card.md").read_text()
    assert files(folder) == (FILES - {"native/model.json"}) | {"native.yaml"}
    native = yaml.safe_load((folder / "native.yaml").read_text())
    assert (native["task"], native["model"], native["lr0"]) == ("segment", "yolo11n-seg.yaml", 1e-3)


def test_what_an_engine_said_of_the_best_trial_and_what_it_breaks_is_exported(
    finished: StudyDir, tmp_path: Path
) -> None:
    notes = ("the zoo could not be reached; trained from scratch instead",)
    leader = replace(best_of(finished), notes=notes, excess={"seg_metrics/recall": 0.2, "x": -0.1})
    study = OtherTrials(finished.path, finished.study, finished.resolved, (leader,))
    folder = export_best(study, tmp_path / "best")
    said = load_best(folder).notes
    recall = leader.best_metrics["seg_metrics/recall"]
    broken = f"keeps its constraints; this one has seg_metrics/recall {recall:.4g}"
    assert said[0] == notes[0]
    assert said[1].endswith(broken)
    card = (folder / "model_card.md").read_text()
    assert f"- Of its training: {notes[0]}" in card
    assert broken in card


# --- the card


def test_the_card_names_the_split_of_every_figure(finished: StudyDir) -> None:
    text = model_card(config(), None)
    assert "| masks F1 | 0.3000 |" in text
    assert "| | validation |\n" in text
    assert "the test part was not looked at" in text
    assert "the best of 9 trials by the same validation part" in text
    tested = model_card(config(), None, {"seg_metrics/F1": 0.25})
    assert "| | validation | test |\n" in tested
    assert "| masks F1 | 0.3000 | 0.2500 |" in tested
    assert "never at its own best one" in tested


def test_the_card_of_a_yolo_model_names_the_agpl() -> None:
    yolo = config(engine="yolo_seg", params={"model": "yolo11n-seg.pt"})
    assert "AGPL-3.0" in model_card(yolo, None)
    assert "pre-trained weights (yolo11n-seg.pt)" in model_card(yolo, None)
    assert "AGPL" not in model_card(config(), None)


def test_a_model_card_has_every_hyperparameter_and_how_the_framework_opens_the_model() -> None:
    info = engine_info("yolo_seg")
    params = {"model": "yolo11n-seg.yaml", "lr0": 0.0012}
    yolo = config(engine="yolo_seg", params=params)
    card = model_card(yolo, None)
    table = card.partition("| --- | --- | --- |\n")[2]
    rows = re.findall(r"^\| ([\w\\]+) \| (.*?) \| (default)? *\|$", table, re.MULTILINE)
    assert {name.replace("\\", "") for name, _, _ in rows} == set(info.params.model_fields)
    found = {name.replace("\\", ""): (value, which) for name, value, which in rows}
    assert found["lr0"] == ("0.0012", "")
    assert found["batch"] == ("16", "default")
    assert 'YOLO("native/best.pt")' in card
    lost = model_card(yolo, None, problems=["native weights could not be written: no space"])
    assert 'YOLO("native/best.pt")' not in lost


def test_the_card_says_what_the_data_leave_out_of_reach_and_unmeasured(tmp_path: Path) -> None:
    data = prepare_crowd(tmp_path)
    card = model_card(config(engine="yolo_seg", params={"max_det": 300}), data)
    assert (
        "Of the data it was trained on: max_det 300 is fewer than the 400 objects of the fullest "
        "picture of val: recall in val cannot exceed 0.75." in card
    )
    assert "class first has no object in val (train has 1)" in card
    roomy = model_card(config(engine="yolo_seg", params={"max_det": 500}), data)
    assert "recall in val" not in roomy
