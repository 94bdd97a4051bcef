"""A study directory read back: whole, torn, damaged, or while a driver writes on."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.rehearsed_study import rehearse
from trainables.trials.layout import METRICS
from tune.directory.layout import (
    CHECK,
    JOURNAL,
    NOTES,
    OUTCOME,
    PARAMS,
    RESOLVED,
    latest_attempt,
    read_metrics,
)
from tune.directory.lock import LOCK, DriverLock
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir, refuse_begun
from tune.directory.trials import Proposal, TrialAssignment, TrialOutcome
from tune.directory.writer import Recorder
from tune.errors import StoreError


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A finished study of three trials of four epochs."""
    return rehearse(
        tmp_path_factory.mktemp("written"),
        budget={"trials": 3, "epochs": 4},
        search="random",
        scheduler={"kind": "none"},
    )


@pytest.fixture
def study(written: StudyDir, tmp_path: Path) -> StudyDir:
    """A copy of the study to be damaged."""
    return StudyDir.open(shutil.copytree(written.path, tmp_path / written.path.name))


def test_a_trial_has_what_its_journal_and_its_folder_hold(study: StudyDir) -> None:
    trials = study.trials()
    assert [trial.number for trial in trials] == [0, 1, 2]
    for trial in trials:
        lines = [json.loads(line) for line in (trial.directory / METRICS).read_text().splitlines()]
        assert all(len(line.pop(CHECK)) == 8 for line in lines)
        assert list(trial.metrics) == lines
        assert (trial.state, trial.stop_reason, trial.epochs) == ("complete", "epochs", 4)
        assert trial.objective == max(line["seg_metrics/F1"] for line in lines)
        assert trial.best_metrics["seg_metrics/F1"] == trial.objective
        assert trial.last == lines[-1]["seg_metrics/F1"]
        outcome = json.loads((trial.directory / "outcome.json").read_text())
        assert trial.seconds == outcome["seconds"] >= lines[-1]["elapsed_s"] > 0
        assert trial.attempt == trial.directory / "attempt-1"
        assert trial.notes == ()


def test_the_best_trial_has_the_best_epoch(study: StudyDir) -> None:
    best = best_trial(study.trials(), study.study.objective.goal)
    assert best is not None
    assert best.objective == max(trial.objective or 0 for trial in study.trials())


def test_of_equal_epochs_the_last_is_the_best_in_journal_folder_and_report(tmp_path: Path) -> None:
    flat = {"behaviour": "flat", "noise": 0.0}
    opened = rehearse(
        tmp_path,
        budget={"trials": 1, "epochs": 4},
        fixed=flat,
        search_space={"lr0": {"uniform": [0.1, 0.2]}},
        scheduler={"kind": "none"},
    )
    (trial,) = opened.trials()
    assert trial.objective == 0
    assert trial.best_epoch == 4, "an F1 of 0 all along: the first epoch's model is hardly trained"
    assert trial.attempt is not None
    kept = json.loads((trial.attempt / "best" / "metrics.json").read_text())
    assert kept["epoch"] == 4
    kept["epoch"] = 1
    (trial.attempt / "best" / "metrics.json").write_text(json.dumps(kept))
    (earlier,) = opened.trials()
    assert earlier.best_epoch == 1, "an earlier version kept the first: that model is told of"


def test_a_line_that_is_half_written_is_not_read(study: StudyDir) -> None:
    whole = study.trials()[0].metrics
    with (study.path / "trials" / "0" / METRICS).open("a") as file:
        file.write('{"epoch": 5, "seg_met')
    assert study.trials()[0].metrics == whole


def test_an_epoch_that_the_journal_lacks_is_not_read(study: StudyDir) -> None:
    whole = study.trials()[0].metrics
    with (study.path / "trials" / "0" / METRICS).open("a") as file:
        file.write(json.dumps({**whole[-1], "epoch": 5}) + "\n")
    assert study.trials()[0].metrics == whole


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("no JSON\n", "Expecting value", id="no JSON"),
        pytest.param("[1]\n", "expected a JSON object, got list", id="another value"),
        pytest.param("\n", "Expecting value", id="an empty line"),
    ],
)
def test_a_damaged_line_is_named_by_file_and_number(study: StudyDir, line: str, why: str) -> None:
    path = study.path / "trials" / "1" / METRICS
    path.write_text(path.read_text() + line)
    said = f"{path}, line 5: the study directory cannot be read: {why}"
    with pytest.raises(StoreError) as raised:
        study.trials()
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("name", [PARAMS, OUTCOME, NOTES])
def test_a_damaged_file_is_named(study: StudyDir, name: str) -> None:
    path = study.path / "trials" / "1" / name
    path.write_text("{")
    with pytest.raises(StoreError, match=f"{path}: the study directory cannot be read: Expecting"):
        study.trials()


def test_a_trial_whose_folder_was_cleared_has_its_journals_values(study: StudyDir) -> None:
    before = study.trials()[1]
    shutil.rmtree(before.directory)
    trial = study.trials()[1]
    assert (trial.objective, trial.epochs) == (before.objective, before.epochs)
    assert (trial.metrics, trial.attempt, trial.seconds) == ((), None, 0.0)
    assert trial.best_metrics == {}
    assert trial.best_model is None
    assert trial.artifacts is None


def test_the_latest_attempt_is_the_one_of_the_largest_number(study: StudyDir) -> None:
    directory = study.path / "trials" / "0"
    for number in (2, 10, 9):
        (directory / f"attempt-{number}").mkdir()
    assert study.trials()[0].attempt == directory / "attempt-10"
    assert latest_attempt(directory / "nowhere") is None


def test_a_table_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_remarks_of_the_engine_are_read(study: StudyDir) -> None:
    Recorder(study.path, {}).note(2, "the zoo could not be reached")
    assert [trial.notes for trial in study.trials()] == [(), (), ("the zoo could not be reached",)]


def test_an_unfinished_trial_runs_while_a_driver_trains_it_and_waits_else(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path, budget={"trials": 2, "epochs": 5}, stop_after=7, scheduler={"kind": "none"}
    )
    ended, left = study.trials()
    assert (ended.state, ended.stop_reason) == ("complete", "epochs")
    assert (left.state, left.stop_reason, left.epochs) == ("waiting", "", 2)
    lock = DriverLock(study.path / LOCK)
    assert lock.acquire() is None
    try:
        assert study.trials()[1].state == "waiting", "its turn has not come"
        recorder = Recorder(study.path, left.fixed)
        recorder.begin(TrialAssignment(1, Proposal(left.params), left.seed, 2))
        assert study.trials()[1].state == "running"
        recorder.end(1, TrialOutcome("waiting", "budget", epoch=2))
        assert [trial.state for trial in study.trials()] == ["complete", "waiting"]
        assert study.trials()[1].stop_reason == "budget"
    finally:
        lock.release()
    assert study.trials()[1].state == "waiting"


def test_a_folder_without_a_study_says_what_a_study_has(tmp_path: Path) -> None:
    said = (
        f"{tmp_path}: expected a study directory with study.yaml, resolved.json, optuna.journal; "
        "`segtune tune` makes one at <storage>/<study>"
    )
    with pytest.raises(StoreError) as raised:
        StudyDir.open(tmp_path)
    assert str(raised.value) == said


def test_the_study_that_may_be_meant_is_named(study: StudyDir) -> None:
    for path in (study.path.parent, study.path / "trials", study.path.with_name("sampel")):
        with pytest.raises(StoreError, match=rf"; did you mean {study.path}\?"):
            StudyDir.open(path)


def test_facts_that_the_study_directory_lacks_are_named(study: StudyDir) -> None:
    path = study.path / RESOLVED
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("engine", "epochs")}))
    said = f"{path}: the study directory cannot be read: expected engine, epochs, got none"
    with pytest.raises(StoreError, match=said):
        StudyDir.open(study.path)


def test_a_study_that_has_begun_is_not_begun_again(study: StudyDir, tmp_path: Path) -> None:
    refuse_begun(tmp_path / "new")
    said = f"{study.path}: expected a new study, found one; `segtune resume {study.path}` goes on"
    with pytest.raises(StoreError, match=said):
        refuse_begun(study.path)


def test_trial_folders_without_a_journal_are_not_begun_over(study: StudyDir) -> None:
    (study.path / JOURNAL).unlink()
    said = (
        f"{study.path}: expected a new study, found the trial folders of one that has lost its "
        "optuna.journal; put a copy of it in its place and resume, or move "
        f"{study.path / 'trials'} away"
    )
    with pytest.raises(StoreError) as raised:
        refuse_begun(study.path)
    assert str(raised.value) == said
