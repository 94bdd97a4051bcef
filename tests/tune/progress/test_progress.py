import io
import json
import logging
import os
import pty
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_study
from trainables.goal import Limit
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.lock import DriverLock, is_driven
from tune.directory.trials import TrialOutcome
from tune.driver.parts import controller_of
from tune.plan.eta import StudyEta
from tune.plan.loading import load_study
from tune.plan.plan import StudyPlan, plan_study
from tune.plan.resume import load_for_resume
from tune.progress.board import Board
from tune.progress.lines import LineProgress
from tune.progress.observer import Observer
from tune.progress.status import status_lines
from tune.progress.terminal import FRAME_ROWS, TerminalProgress, make_progress
from tune.progress.words import ending
from tune.stopping.decision import GO_ON

METRIC = "seg_metrics/F1"
STOPPED = TrialOutcome("pruned", "asha", 25, 0.407, 0.312, 25, seconds=310.0)


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    return plan_of(tmp_path, trials=4, epochs=50)


def plan_of(folder: Path, trials: int, epochs: int, **changes: Any) -> StudyPlan:
    asked = {
        "budget": {"trials": trials, "epochs": epochs},
        "resources": {"concurrent": 2, "cpus_per_trial": 1, "gpus_per_trial": 0},
        "scheduler": {"kind": "asha", "grace_period": 25},
        "storage": str(folder / "studies"),
        **changes,
    }
    return plan_study(load_study(write_study(folder, **asked)))


def board(trials: int = 60, mode: Any = "max") -> Board:
    return Board("powder", METRIC, mode, 50, StudyEta(trials, 50, 2))


def filled(trials: int, running: int = 2, mode: Any = "max") -> Board:
    """Trials of rising value, the last ones running."""
    made = board(trials + 5, mode)
    for number in range(trials):
        made.start(number, float(number))
        made.report(number, 25, {METRIC: number / 100}, number + 0.4)
        if number < trials - running:
            made.end(number, STOPPED, number + 0.5)
    return made


# --- words


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(
            STOPPED, "stopped by ASHA at epoch 25: 0.312 < cut-off 0.407", id="worse than the rung"
        ),
        pytest.param(
            TrialOutcome("complete", "epochs", 50, 0.4, 0.6, 50),
            "trained to its end at epoch 50",
            id="end",
        ),
        pytest.param(
            TrialOutcome("complete", "plateau", None, 0.001, 0.0004, 40),
            "converged at epoch 40",
            id="flat",
        ),
        pytest.param(
            TrialOutcome("pruned", "collapsed", None, 0.01, 0.0, 26),
            "collapsed at epoch 26: never above 0.010",
            id="flat at nothing",
        ),
        pytest.param(
            TrialOutcome("failed", "diverged", epoch=3), "diverged at epoch 3", id="not finite"
        ),
        pytest.param(
            TrialOutcome("pruned", "budget", epoch=9), "out of time at epoch 9", id="hours"
        ),
        pytest.param(
            TrialOutcome("failed", "error", epoch=2, message="no memory\nat line 3"),
            "failed at epoch 2: no memory",
            id="first line of an error",
        ),
        pytest.param(
            TrialOutcome("pruned", "patience", epoch=8),
            "ended by its engine's patience at epoch 8",
            id="patience",
        ),
        pytest.param(
            TrialOutcome("pruned", "moon", epoch=8), "moon at epoch 8", id="a reason unknown"
        ),
    ],
)
def test_an_end_has_its_reason_in_words(outcome: TrialOutcome, expected: str) -> None:
    assert ending(outcome, "max") == expected


def test_a_loss_is_stopped_above_its_cut_off() -> None:
    outcome = TrialOutcome("pruned", "asha", 25, 0.4, 0.9, 25)
    assert ending(outcome, "min") == "stopped by ASHA at epoch 25: 0.900 > cut-off 0.400"


# --- the board


def test_the_best_trial_is_that_of_the_best_epoch() -> None:
    made = board()
    for number, values in enumerate([(0.2, 0.5, 0.1), (0.3, 0.4, 0.45), (float("nan"), 0.1, 0.2)]):
        made.start(number, 0.0)
        for epoch, value in enumerate(values, 1):
            made.report(number, epoch, {METRIC: value}, float(epoch))
    assert made.best is made.trials[0]
    assert (made.best.best, made.best.best_epoch, made.best.last) == (0.5, 2, 0.1)
    assert [view.number for view in made.ranked] == [0, 1, 2]


def test_of_a_loss_the_best_is_the_lowest() -> None:
    made = filled(10, mode="min")
    assert made.best is made.trials[0]


def test_a_trial_that_keeps_the_constraints_is_best_however_high_the_others_are() -> None:
    made = board()
    made.limits = (Limit("measure/count_error", at_most=0.1),)
    for number, rows in enumerate([[(0.9, 0.3), (0.8, 0.2)], [(0.4, 0.05), (0.7, 0.2)]]):
        made.start(number, 0.0)
        for epoch, (value, error) in enumerate(rows, 1):
            made.report(number, epoch, {METRIC: value, "measure/count_error": error}, float(epoch))
    assert [(view.number, view.best, view.best_epoch) for view in made.ranked] == [
        (1, 0.4, 1),
        (0, 0.8, 2),
    ]
    assert made.trials[0].violation == pytest.approx(0.1)


def test_a_metric_that_is_missing_is_shown_as_missing() -> None:
    made = board()
    made.start(0, 0.0)
    made.report(0, 1, {}, 1.0)
    assert made.trials[0].last is None
    assert made.best is None


def test_all_trials_are_shown_where_there_is_room() -> None:
    (section,) = filled(12).sections(20)
    assert [view.number for view in section.trials] == list(range(12))


@pytest.mark.parametrize("rows", [14, 20, 40])
@pytest.mark.parametrize("running", [2, 8, 30])
def test_of_many_trials_the_running_the_best_and_the_last_are_shown(
    rows: int, running: int
) -> None:
    made = filled(60, running)
    current, best, last = made.sections(rows)
    shown = [view.number for section in (current, best, last) for view in section.trials]
    assert len(shown) == len(set(shown))
    assert {view.state for view in current.trials} == {"running"}
    assert current.hidden == running - len(current.trials)
    assert best.trials[0].number == 59 - running
    assert last.trials[0].number == 59 - running - len(best.trials)


def test_the_time_left_runs_on_between_two_estimates_and_is_held_to_the_budget() -> None:
    made = filled(10)
    first, second = made.left(10.0), made.left(11.0)
    assert first is not None
    assert second is not None
    assert second.seconds == pytest.approx(first.seconds - 1)
    made.hours = 15 / 3600
    held = made.left(11.0)
    assert held is not None
    assert held.seconds <= 4.0


# --- plain lines


class Clock:
    """Time that is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(
    observer: Observer, number: int, epochs: int, value: float = 0.3, seconds: float = 2.0
) -> Iterator[int]:
    """Train a trial, an epoch each time."""
    observer.trial_started(number, {"lr0": 0.01, "optimizer": "AdamW", "fixed": 1}, 1)
    for epoch in range(1, epochs + 1):
        observer.trial_reported(number, epoch, {METRIC: value * epoch / epochs}, GO_ON)
        yield epoch


def test_in_a_log_each_start_and_each_end_is_one_line(plan: StudyPlan) -> None:
    lines: list[str] = []
    clock = Clock()
    progress = LineProgress(lines.append, clock_s=clock)
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 25):
        clock.now += 1
    progress.trial_ended(0, STOPPED)
    progress.study_ended("interrupted")
    assert lines == [
        "study sample: 4 trials of 50 epochs, 2 at a time (1 cpu each), rungs 25, 50, "
        "objective seg_metrics/F1 (max)",
        "trial 0 started: lr0=0.01, optimizer=AdamW",
        "trial 0 ended: stopped by ASHA at epoch 25: 0.312 < cut-off 0.407; "
        "best 0.300 at epoch 25; 5:10",
        "study sample interrupted: 1/4 trials ended, best seg_metrics/F1 0.300 "
        "(trial 0, epoch 25), 0:25 elapsed",
    ]


def test_in_a_log_the_study_has_a_line_a_minute(plan: StudyPlan) -> None:
    lines: list[str] = []
    clock = Clock()
    progress = LineProgress(lines.append, clock_s=clock)
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 50):
        clock.now += 5
    reports = [line for line in lines if "elapsed" in line]
    assert len(reports) == 4
    assert re.fullmatch(
        r"0/4 trials ended, best seg_metrics/F1 0\.078 \(trial 0, epoch 13\), 1:00 elapsed, "
        r"left about \d\S* min ± \d\S* min; running: 0 at 13/50 0\.078",
        reports[0],
    )


def test_a_resumed_study_says_what_there_is_already(tmp_path: Path) -> None:
    opened = rehearse(tmp_path, budget={"trials": 6, "epochs": 12}, stop_after=30)
    done = [trial for trial in opened.trials() if trial.state != "running"]
    assert done
    plan = plan_study(opened.study)
    lines: list[str] = []
    progress = LineProgress(lines.append)
    progress.study_started(plan, resumed=True)
    best = opened.best()
    assert best is not None
    assert lines[1].startswith(f"resumed: {len(done)}/6 trials ended, best {METRIC} ")
    assert f"(trial {best.number}, epoch {best.best_epoch})" in lines[1]
    unfinished = len(done)
    progress.trial_started(unfinished, {}, 2)
    assert lines[-1].startswith(f"trial {unfinished} started again (attempt 2)")


def test_what_is_no_terminal_gets_plain_lines(plan: StudyPlan) -> None:
    stream = io.StringIO()
    progress = make_progress(stream)
    assert isinstance(progress, LineProgress)
    progress.study_started(plan, resumed=False)
    assert stream.getvalue().startswith("study sample: 4 trials of 50 epochs")
    assert "\x1b" not in stream.getvalue()


# --- the live table


class Screen:
    """A real terminal, of which everything written to it is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._master, self._slave = pty.openpty()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("LINES", "30")
        self.stream = os.fdopen(self._slave, "w")
        self.written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.written += os.read(self._master, 4096)
            except OSError:
                return

    def text(self) -> str:
        """All that was written, without colours and cursor moves."""
        self.stream.flush()
        time.sleep(0.1)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written.decode())


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_a_terminal_gets_a_table_of_the_trials(plan: StudyPlan, screen: Screen) -> None:
    progress = make_progress(screen.stream)
    assert isinstance(progress, TerminalProgress)
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 25):
        pass
    progress.trial_ended(0, STOPPED)
    for _ in tell(progress, 1, 3, value=0.6):
        pass
    progress.study_ended("interrupted")
    last = screen.text().rpartition("sample ")[2]
    assert "interrupted" in last
    assert "1 of 4 trials ended" in last
    assert "best F1 0.600 (trial 1, epoch 3)" in last
    assert re.search(r"\b0 +25/50 +0\.300 +0\.300 +25 +stopped by ASHA: 0\.312 < 0\.407", last)
    assert re.search(r"\b1 +3/50 +0\.600 +0\.600 +3 +waiting", last)


def test_the_table_is_drawn_at_most_four_times_a_second(plan: StudyPlan, screen: Screen) -> None:
    progress = make_progress(screen.stream)
    began = time.monotonic()
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 200):
        time.sleep(0.005)
    progress.study_ended("finished")
    took = time.monotonic() - began
    assert screen.text().count("trials ended") <= 4 * took + 3  # first and last come on top


def test_a_message_appears_above_the_table(
    plan: StudyPlan, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stderr__", screen.stream)
    monkeypatch.setattr(sys, "stderr", screen.stream)
    handler = logging.StreamHandler(screen.stream)
    logging.getLogger().addHandler(handler)
    try:
        progress = make_progress(screen.stream)
        progress.study_started(plan, resumed=False)
        logging.getLogger("tune.driver.driver").warning("trial 0: its worker died")
        progress.study_ended("finished")
    finally:
        logging.getLogger().removeHandler(handler)
    shown = screen.text()
    assert shown.count("trial 0: its worker died") == 1
    assert re.search(r"^trial 0: its worker died\s*$", shown, re.MULTILINE)
    assert shown.index("its worker died") < shown.rindex("trials ended")
    assert handler.stream is screen.stream


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 12)])
@pytest.mark.parametrize("running", [2, 12])
def test_a_study_of_many_trials_fits_the_screen(
    tmp_path: Path, size: tuple[int, int], running: int
) -> None:
    width, height = size
    made = plan_of(tmp_path, 80, 50)
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=True)
    progress = TerminalProgress(console)
    progress.study_started(made, resumed=False)
    for number in range(80):
        for _ in tell(progress, number, 2, value=number / 100):
            pass
        if number < 80 - running:
            progress.trial_ended(number, STOPPED)
    lines = console.render_lines(progress.renderable(), console.options, pad=False)
    progress.study_ended("finished")
    assert len(lines) < max(height, FRAME_ROWS + 9)
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)


# --- status


def test_the_status_of_a_study_lists_every_trial_and_how_it_ended(tmp_path: Path) -> None:
    opened = rehearse(
        tmp_path,
        budget={"trials": 8, "epochs": 12},
        scheduler={"kind": "asha", "grace_period": 3},
    )
    lines = status_lines(opened, width=110)
    trials = opened.trials()
    best = opened.best()
    assert best is not None
    assert "8 of 8 trials ended, 0 running" in lines[0]
    assert f"(trial {best.number}, epoch {best.best_epoch})" in lines[1]
    for trial in trials:
        assert any(re.match(rf" *{trial.number} +{trial.epochs}/12 ", line) for line in lines)
    assert any("stopped by ASHA: " in line for line in lines)
    assert all(len(line) <= 110 for line in lines[:-1]), "a command is not broken"


def test_the_status_of_an_interrupted_study_says_how_to_go_on(tmp_path: Path) -> None:
    opened = rehearse(tmp_path, budget={"trials": 6, "epochs": 12}, stop_after=15)
    lines = status_lines(opened, width=80)
    assert "not running" in lines[0]
    assert any("waiting" in line for line in lines)
    assert lines[-1] == f"`segtune resume {opened.path}` goes on"


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
    assert load_for_resume(opened, overrides).budget.hours == (4.0 if overrides else 2.0)


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
    assert "resume" not in status_lines(grid, width=80)[-1]


def test_the_status_of_a_study_that_runs_says_so(tmp_path: Path) -> None:
    opened = rehearse(tmp_path, budget={"trials": 6, "epochs": 12}, stop_after=15)
    lock = DriverLock(opened.path / ".driver")
    assert lock.acquire() is None
    try:
        assert is_driven(opened.path)
        lines = status_lines(opened, width=80)
    finally:
        lock.release()
    assert "sample running" in lines[0]
    assert "1 running" in lines[0]
    assert "left about" in lines[1]
    assert not is_driven(opened.path)


# --- with the real decisions


def test_what_is_shown_is_what_the_controller_decided(tmp_path: Path) -> None:
    made = plan_of(
        tmp_path, 12, 8, scheduler={"kind": "asha", "grace_period": 2}, plateau={"kind": "none"}
    )
    made.directory.mkdir(parents=True)
    controller = controller_of(made, Journal(made.directory / JOURNAL, "sample", "max"))
    lines: list[str] = []
    progress = LineProgress(lines.append)
    progress.study_started(made, resumed=False)
    while (trial := controller.next_trial()) is not None:
        progress.trial_started(trial.number, trial.proposal.params, 1)
        for epoch in range(1, 9):
            values: Mapping[str, float] = {METRIC: (trial.number * 7 % 12) / 20 + epoch / 100}
            decision = controller.report(trial.number, epoch, values)
            progress.trial_reported(trial.number, epoch, values, decision)
            if not decision.go_on:
                break
        progress.trial_ended(trial.number, controller.outcomes[trial.number])
    stopped = [n for n, outcome in controller.outcomes.items() if outcome.stop_reason == "asha"]
    assert stopped
    for number in stopped:
        (line,) = [line for line in lines if line.startswith(f"trial {number} ended")]
        outcome = controller.outcomes[number]
        assert f"stopped by ASHA at epoch {outcome.rung}: " in line
        assert f"{outcome.value:.3f} < cut-off {outcome.cutoff:.3f}" in line
