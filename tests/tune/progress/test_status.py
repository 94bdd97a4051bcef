"""The status of a study directory."""

import json
import re
from pathlib import Path

import pytest

from tests.support.rehearsed_study import rehearse
from tune.directory.layout import PARAMS
from tune.directory.lock import DriverLock, is_driven
from tune.directory.ranking import best_trial
from tune.plan.eta import StudyEta
from tune.plan.resume import plan_resumed
from tune.progress.board import Board, TrialView
from tune.progress.status import best_first, status_lines


def test_the_status_of_a_study_lists_every_trial_and_how_it_ended(tmp_path: Path) -> None:
    opened = rehearse(
        tmp_path,
        budget={"trials": 8, "epochs": 12},
        scheduler={"kind": "asha", "grace_period": 3},
    )
    lines = status_lines(opened, width=110)
    trials = opened.trials()
    best = best_trial(opened.trials(), opened.study.objective.goal)
    assert best is not None
    assert "8 of 8 trials ended, 0 running" in lines[0]
    assert f"(trial {best.number}, epoch {best.best_epoch})" in lines[1]
    for trial in trials:
        assert any(re.match(rf" *{trial.number} +{trial.epochs}/12 ", line) for line in lines)
    assert any("stopped by ASHA: " in line for line in lines)
    assert all(len(line) <= 110 for line in lines[:-1]), "a command is not broken"


def test_the_status_of_an_interrupted_study_says_how_to_go_on(tmp_path: Path) -> None:
    early = {"kind": "asha", "grace_period": 1}
    budget = {"trials": 6, "epochs": 12}
    opened = rehearse(tmp_path, budget=budget, scheduler=early, stop_after=15)
    lines = status_lines(opened, width=80)
    assert "not running" in lines[0]
    assert any("waiting" in line for line in lines)
    assert lines[-1] == f"`segtune resume {opened.path}` goes on"


def test_the_status_of_a_mirrored_study_that_stands_still_names_its_mirror(tmp_path: Path) -> None:
    mirror = {"place": str(tmp_path / "shared")}
    budget = {"trials": 6, "epochs": 12}
    opened = rehearse(tmp_path, budget=budget, mirror=mirror, stop_after=15)
    last = status_lines(opened, width=110)[-1]
    assert f"`segtune status {tmp_path / 'shared' / opened.study.study}` shows it" in last


def test_a_long_study_shows_its_best_and_what_runs_and_says_how_many_more(tmp_path: Path) -> None:
    early = {"kind": "asha", "grace_period": 1}
    opened = rehearse(tmp_path, budget={"trials": 12, "epochs": 4}, scheduler=early)
    every, few = (status_lines(opened, width=110, rows=rows) for rows in (None, 5))
    numbers = [line.split()[0] for line in every[5:17]]
    assert sorted(map(int, numbers)) == list(range(12))
    assert [line.split()[0] for line in few[5:10]] == numbers[:5], "the best ones"
    assert "... 7 more" in few[10]
    assert few[-2] == "`--all` shows every trial"
    assert not any("--all" in line for line in every)


def test_trials_that_run_are_shown_whatever_their_rank() -> None:
    board = Board(
        study="s", metric="F1", mode="max", epochs=4, eta=StudyEta(trials=6, epochs=4, concurrent=1)
    )
    for number in range(6):
        board.trials[number] = TrialView(number, state="complete", best=number / 10)
    board.trials[0].state = "running"
    shown = best_first(board, 3)
    assert [view.number for view in shown.trials] == [5, 4, 0]
    assert shown.hidden == 3


@pytest.mark.parametrize(
    ("hours", "elapsed_s", "said"),
    [
        (2.0, 3600, "`segtune resume {path}` goes on"),
        (
            2.0,
            7200,
            "budget.hours is used up; `segtune resume {path} --set budget.hours=4`, or another "
            "number above 2, goes on",
        ),
    ],
)
def test_the_status_of_a_study_out_of_time_names_the_command_that_gives_it_more(
    tmp_path: Path, hours: float, elapsed_s: float, said: str
) -> None:
    budget = {"trials": 6, "epochs": 12, "hours": hours}
    opened = rehearse(tmp_path, budget=budget, stop_after=15)
    (opened.path / "session.json").write_text(json.dumps({"elapsed_s": elapsed_s}))
    lines = status_lines(opened, width=80)
    assert lines[-1] == said.format(path=opened.path)
    command = said.format(path=opened.path).split("`")[1].split()
    overrides = command[command.index("--set") + 1 :] if "--set" in command else []
    assert plan_resumed(opened, overrides).study.budget.hours == (4.0 if overrides else 2.0)


def test_the_status_of_a_finished_study_names_the_command_that_adds_trials(tmp_path: Path) -> None:
    opened = rehearse(tmp_path, budget={"trials": 4, "epochs": 2})
    assert status_lines(opened, width=80)[-1] == (
        f"budget.trials is used up; `segtune resume {opened.path} --set budget.trials=8`, or "
        "another number above 4, tries more"
    )
    space = {"lr0": {"choice": [0.1, 0.2]}}
    grid = rehearse(
        tmp_path, study="grid", budget={"trials": 4, "epochs": 2}, search="grid", search_space=space
    )
    assert status_lines(grid, width=80)[-1] == "every configuration of the search space was tried"


def test_the_status_of_a_study_that_runs_says_so(tmp_path: Path) -> None:
    early = {"kind": "asha", "grace_period": 1}
    budget = {"trials": 6, "epochs": 12}
    opened = rehearse(tmp_path, budget=budget, scheduler=early, stop_after=15)
    lock = DriverLock(opened.path / ".driver")
    assert lock.acquire() is None
    try:
        assert is_driven(opened.path)
        assert "0 running" in status_lines(opened, width=80)[0]
        begun = max(trial.number for trial in opened.trials())
        (opened.path / "trials" / str(begun) / PARAMS).touch()  # as an attempt that begins does
        lines = status_lines(opened, width=80)
    finally:
        lock.release()
    assert "sample running" in lines[0]
    assert "1 running" in lines[0]
    assert "left about" in lines[1] or "left less than a second" in lines[1]
    assert not is_driven(opened.path)
