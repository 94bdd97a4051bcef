"""Studies that go on after their engine has changed."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field

import trainables.engines.simulated.params as simulated
from analysis.models.export import export_best
from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from search_spaces.schema import Hyperparameters
from tests.support.rehearsed_study import rehearse
from tune.directory.layout import RESOLVED
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir
from tune.errors import StudyError
from tune.plan.resume import plan_resumed
from tune.progress.status import status_lines


class Renamed(Hyperparameters):
    """The simulated engine's, with another name for its learning rate."""

    aliases: ClassVar = {"lr0": "learning_rate"}

    learning_rate: float = Field(0.01, gt=0, le=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    batch: int = Field(16, ge=1, le=1024)
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    noise: float = Field(0.01, ge=0, le=1)


class Narrowed(simulated.SimulatedParams):
    """The simulated engine's, with a smaller bound."""

    lr0: float = Field(0.01, gt=0, le=0.05)


@pytest.fixture
def begun(tmp_path: Path) -> StudyDir:
    """A study of 6 trials that was interrupted in the third."""
    began = rehearse(tmp_path, budget={"trials": 6, "epochs": 12}, scheduler="none", stop_after=30)
    return StudyDir.open(began.path)


def change_engine(monkeypatch: pytest.MonkeyPatch, params: type[Hyperparameters]) -> None:
    monkeypatch.setattr(simulated, "INFO", replace(simulated.INFO, params=params))


CHANGED = pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            Renamed,
            "search_space.lr0: expected a hyperparameter of simulated, got lr0 = "
            "{'loguniform': [1e-05, 0.1]}; did you mean learning_rate?",
        ),
        (
            Narrowed,
            "search_space.lr0: expected a number above 0 and of at most 0.05, got 0.1; the nearest "
            "is 0.05 (the search space has 1e-05 to 0.1, log scale)",
        ),
    ],
    ids=["a key is renamed", "a bound is narrowed"],
)


@CHANGED
def test_a_study_does_not_go_on_with_an_engine_that_takes_its_values_no_longer(
    begun: StudyDir, monkeypatch: pytest.MonkeyPatch, params: type[Hyperparameters], said: str
) -> None:
    change_engine(monkeypatch, params)
    with pytest.raises(StudyError) as error:
        plan_resumed(StudyDir.open(begun.path), ["budget.trials=8"])
    first, key, end = str(error.value).splitlines()
    assert first == f"{begun.path / 'study.yaml'}: 1 problem"
    assert key.partition(": ")[2] == said
    assert end == (
        "The study began with these values, so none of its trials can go on here. If simulated has "
        "changed since, install its version of then; or begin another study. `segtune status`, "
        "`report` and `export` read this one all the same."
    )


@CHANGED
def test_a_study_of_a_changed_engine_is_shown_and_reported(
    begun: StudyDir, monkeypatch: pytest.MonkeyPatch, params: type[Hyperparameters], said: str
) -> None:
    del said
    before = status_lines(begun, width=80)
    change_engine(monkeypatch, params)
    opened = StudyDir.open(begun.path)
    assert status_lines(opened, width=80) == before
    assert len(write_leaderboard(opened).read_text().splitlines()) == 1 + 3
    assert "lr0" in write_report(opened).read_text()


@pytest.mark.parametrize("changed", [Renamed, Narrowed])
def test_a_study_of_a_changed_engine_is_exported(
    begun: StudyDir, changed: type[Hyperparameters], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_engine(monkeypatch, changed)
    opened = StudyDir.open(begun.path)
    best = best_trial(opened.trials(), opened.study.objective.goal)
    assert best is not None
    exported = (export_best(opened) / "best.yaml").read_text()
    assert f"lr0: {best.params['lr0']}" in exported


def test_a_problem_of_an_override_is_told_as_such(begun: StudyDir) -> None:
    with pytest.raises(StudyError) as error:
        plan_resumed(begun, ["resources.cpus_per_trial=0", "sed=1"])
    first, *problems = str(error.value).splitlines()
    assert first == f"{begun.path / 'study.yaml'}: 2 problems"
    assert {line.split(":")[1] for line in problems} == {" resources.cpus_per_trial", " sed"}


def test_a_study_goes_on_with_more_trials_as_it_was_planned(begun: StudyDir) -> None:
    plan = plan_resumed(begun, ["budget.trials=8"])
    assert (plan.trials, plan.directory) == (8, begun.path)
    assert plan.data.fingerprint == begun.resolved["fingerprint"]


@pytest.mark.parametrize("place", ["storage=/elsewhere", " storage = elsewhere"])
def test_a_study_goes_on_in_its_own_folder_alone(begun: StudyDir, place: str) -> None:
    with pytest.raises(StudyError) as error:
        plan_resumed(begun, [place])
    assert str(error.value) == (
        f"{begun.path}: --set storage=: expected none on resume, where a study goes on in its own "
        f"folder, got {place}; to move it, move the folder, then resume it there"
    )


def test_a_study_in_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    begun: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != begun.path)  # root may all
    with pytest.raises(StudyError) as error:
        plan_resumed(begun, [])
    assert str(error.value).splitlines()[1:] == [
        f"  expected a folder to write, got {begun.path}: {begun.path} may not be written to. A "
        "study goes on in its own folder: make it writable, or copy it to where you may write, "
        f"then segtune resume COPY/{begun.path.name}"
    ]


def test_where_moved_data_are_is_said_by_set_data(begun: StudyDir) -> None:
    data = Path(begun.resolved["data"])
    moved = data.rename(data.with_name("moved"))
    with pytest.raises(StudyError) as error:
        plan_resumed(begun, [])
    assert f"{data}: expected a prepared data set, the folder does not exist" in str(error.value)
    assert f"If it was moved: segtune resume {begun.path} --set data=PLACE" in str(error.value)
    assert plan_resumed(begun, [f"data={moved}"]).data.root == moved


def test_a_study_that_goes_on_keeps_the_rungs_it_began_with(tmp_path: Path) -> None:
    begun = rehearse(tmp_path, budget={"trials": 4, "epochs": 12}, stop_after=5)
    assert begun.resolved["rungs"] == [3, 6, 12]
    resolved = json.loads((begun.path / RESOLVED).read_text())
    (begun.path / RESOLVED).write_text(json.dumps({**resolved, "rungs": [1, 2, 4, 8]}))
    assert plan_resumed(StudyDir.open(begun.path), []).rungs == (1, 2, 4, 8), "an earlier version's"
