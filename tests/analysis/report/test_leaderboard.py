import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from analysis.report.leaderboard import FIRST_COLUMNS, varied_keys, write_leaderboard
from analysis.report.pareto import fronts_of, pareto_fronts
from tests.support.rehearsed_study import rehearse
from trainables.goal import Goal
from trainables.trials.keeping import read_kept
from tune.directory.ranking import best_trial, ranked
from tune.directory.reader import StudyDir, TrialRecord


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def record(finished: StudyDir) -> TrialRecord:
    return finished.trials()[0]


def test_the_first_columns_are_the_agreed_ones(finished: StudyDir) -> None:
    header = write_leaderboard(finished).read_text().splitlines()[0].split(",")
    assert tuple(header[:7]) == FIRST_COLUMNS
    assert header[7:11] == ["params/lr0", "params/batch", "params/optimizer", "params/momentum"]
    assert header[11].startswith("seg_metrics/")


def test_every_trial_has_a_row_with_its_metrics_at_the_best_epoch(finished: StudyDir) -> None:
    trials = {str(trial.number): trial for trial in finished.trials()}
    found = rows(write_leaderboard(finished))
    assert len(found) == len(trials) == 14
    for row in found:
        trial = trials[row["trial"]]
        assert float(row["objective"]) == trial.objective
        assert float(row["seg_metrics/F1"]) == trial.objective
        assert float(row["train_seg_metrics/F1"]) == trial.best_metrics["train_seg_metrics/F1"]
        assert row["stop_reason"] == trial.stop_reason
        assert float(row["params/lr0"]) == trial.params["lr0"]


def test_a_key_that_a_trial_does_not_have_is_an_empty_cell(finished: StudyDir) -> None:
    for row in rows(write_leaderboard(finished)):
        assert (row["params/momentum"] == "") == (row["params/optimizer"] == "AdamW")


def test_the_largest_objective_leads(finished: StudyDir) -> None:
    values = [float(row["objective"]) for row in rows(write_leaderboard(finished))]
    assert values == sorted(values, reverse=True)


def test_the_smallest_objective_leads_where_less_is_better(minimised: StudyDir) -> None:
    values = [float(row["objective"]) for row in rows(write_leaderboard(minimised))]
    assert values == sorted(values)


def test_failed_trials_come_last(troubled: StudyDir) -> None:
    states = [row["state"] for row in rows(write_leaderboard(troubled))]
    assert states == ["complete", "complete", "failed", "failed"]


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 2)])
def test_a_trial_is_ranked_by_its_best_epoch_and_never_ahead_of_one_by_missing_values(
    record: TrialRecord, mode: Literal["max", "min"], best: int
) -> None:
    trials = [
        replace(record, number=0, objective=None, state="running"),
        replace(record, number=1, objective=0.8, last=0.1),
        replace(record, number=2, objective=0.4, last=0.4),
        replace(record, number=3, objective=0.8 if mode == "max" else 0.4),
        replace(record, number=4, objective=0.99 if mode == "max" else 0.01, state="failed"),
    ]
    order = [trial.number for trial in ranked(trials, Goal("seg_metrics/F1", mode))]
    assert order == ([1, 3, 2, 0, 4] if mode == "max" else [2, 3, 1, 0, 4])
    leader = best_trial(trials, Goal("seg_metrics/F1", mode))
    assert leader is not None
    assert leader.number == best


def test_a_failed_trial_never_leads(record: TrialRecord) -> None:
    failed = replace(record, number=1, objective=0.9, state="failed")
    silent = replace(record, number=2, objective=None, state="running")
    assert best_trial([failed, silent], Goal("seg_metrics/F1")) is None
    assert best_trial([silent], Goal("seg_metrics/F1")) is None


def test_a_fixed_key_is_shown_only_if_a_resumed_study_changed_it(record: TrialRecord) -> None:
    def with_fixed(**fixed: Any) -> TrialRecord:
        return replace(record, params={"lr0": 0.1}, fixed=fixed)

    same = [with_fixed(imgsz=640), with_fixed(imgsz=640)]
    assert varied_keys(same) == ["lr0"]
    assert varied_keys([*same, with_fixed(imgsz=320)]) == ["lr0", "imgsz"]


def test_a_study_without_trials_has_a_leaderboard_with_a_header_only(not_begun: StudyDir) -> None:
    assert rows(write_leaderboard(not_begun)) == []


def test_an_unfinished_study_has_a_leaderboard(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path, budget={"trials": 3, "epochs": 5}, stop_after=7, scheduler={"kind": "none"}
    )
    states = {row["trial"]: row["state"] for row in rows(write_leaderboard(study))}
    assert states == {"0": "complete", "1": "waiting"}


def test_the_overfit_gap_comes_with_its_level(finished: StudyDir) -> None:
    for row in rows(write_leaderboard(finished)):
        gap = float(row["overfit_gap"])
        assert row["overfit_level"] == ("normal" if gap < 0.15 else "warning")


def test_trials_that_keep_the_constraints_lead_the_others(constrained: StudyDir) -> None:
    found = rows(write_leaderboard(constrained))
    broken = [float(row["violation"]) for row in found]
    kept = [float(row["objective"]) for row in found if float(row["violation"]) == 0]
    assert 0 < len(kept) < len(found)
    assert broken == sorted(broken)
    assert kept == sorted(kept, reverse=True)
    assert min(kept) < max(float(row["objective"]) for row in found[len(kept) :])
    for row in found:
        assert (float(row["violation"]) == 0) == (float(row["measure/count_error"]) <= 0.535)


def test_status_leaderboard_and_kept_model_agree_on_the_best_epoch_under_constraints(
    constrained: StudyDir,
) -> None:
    trials = constrained.trials()
    for trial in trials:
        assert trial.best_model is not None
        kept = read_kept(trial.best_model.parent, "seg_metrics/F1")
        assert kept is not None
        assert (kept.epoch, kept.value) == (trial.best_epoch, trial.objective)


def test_the_fronts_of_a_trial_have_a_column(finished: StudyDir) -> None:
    found = {row["trial"]: row["pareto"].split() for row in rows(write_leaderboard(finished))}
    fronts = pareto_fronts(finished.trials())
    assert len(fronts) == 3
    for trial in finished.trials():
        assert found[str(trial.number)] == fronts_of(trial, fronts)
