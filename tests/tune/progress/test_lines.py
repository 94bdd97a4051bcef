"""Progress in a log."""

import io
import re
from collections.abc import Mapping
from pathlib import Path

from tests.support.rehearsed_study import rehearse
from tests.support.shown_studies import METRIC, STOPPED, plan_of, tell
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.ranking import best_trial
from tune.driver.parts import controller_of
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_study
from tune.progress.lines import LineProgress
from tune.progress.terminal import make_progress


class Clock:
    """Time that is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


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
        "study sample: 4 trials of 50 epochs, 2 at a time (1 cpu each), rungs 25, "
        "objective seg_metrics/F1 (max)",
        "trial 0 started: lr0=0.01, optimizer=AdamW",
        "trial 0 ended: stopped by ASHA at epoch 25: 0.312 < cut-off 0.407; "
        "best 0.300 at epoch 25; 5:10",
        "study sample interrupted: 1/4 trials ended, best seg_metrics/F1 0.300 "
        "(trial 0, epoch 25), 0:25 elapsed",
    ]


def test_a_start_says_which_part_of_the_machine_a_trial_has_where_parts_grow(
    plan: StudyPlan,
) -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append, clock_s=Clock())
    progress.study_started(plan, resumed=False)
    for attempt, part in ((1, "1/4 GPU"), (2, "2 GPUs")):
        progress.trial_placed(0, part)
        progress.trial_started(0, {"lr0": 0.01}, attempt)
    assert lines[1:] == [
        "trial 0 started on 1/4 GPU: lr0=0.01",
        "trial 0 started again (attempt 2) on 2 GPUs: lr0=0.01",
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
    best = best_trial(opened.trials(), opened.study.objective.goal)
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
