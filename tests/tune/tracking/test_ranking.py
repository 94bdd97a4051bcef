"""W&B's runs of a study alone give the order and the figures of its leaderboard."""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from analysis.report.leaderboard import write_leaderboard
from tests.support.servers.wandb_server import wandb_server
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.goal import Goal, Limit
from tune.directory.reader import StudyDir
from tune.driver.driver import run_study
from tune.plan.planning import plan_file
from tune.tracking.offline import OfflineRun, load_offline_run
from tune.tracking.summary import best_summary, goal_of_plain, plain_goal, run_tags
from tune.tracking.upload import upload

pytestmark = pytest.mark.ray

F1 = "seg_metrics/F1"

AIMS: Mapping[str, Mapping[str, Any]] = {
    "max": {"metric": F1},
    "min": {"metric": "val/loss"},
    "constrained": {"metric": F1, "constraints": {"measure/count_error": {"at_most": 0.8}}},
}


@dataclass(frozen=True)
class RunRecord:
    """What W&B shows of a run in its table."""

    config: Mapping[str, Any]
    summary: Mapping[str, Any]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    simulate(SPECS["demo"].model_copy(update={"images": 8}), folder / "raw")
    prepare(folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def nobody_logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("WANDB_") or name == "NETRC":
                patch.delenv(name)
        folder = tmp_path_factory.mktemp("nobody")  # not HOME: Ray keeps its token there
        patch.setenv("NETRC", str(folder / "netrc"))
        patch.setenv("WANDB_CONFIG_DIR", str(folder))
        yield patch


@pytest.fixture(scope="module", params=AIMS)
def study(
    request: pytest.FixtureRequest,
    prepared: Path,
    nobody_logged_in: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StudyDir]:
    """Ties, trials that are stopped, diverge, crash and end themselves, recorded offline."""
    folder = tmp_path_factory.mktemp(request.param)
    aim = {**AIMS[request.param]}
    (folder / "study.yaml").write_text(
        f"study: try\ndata: {prepared}\ntrainable: simulated\nseed: 3\n"
        f"budget: {{trials: 14, epochs: 6}}\nobjective: {aim}\nsearch: grid\n"
        "fixed: {noise: 0.08, momentum: 0.9, lr0: 0.003}\nwarm_start: {points: []}\n"
        "search_space:\n"
        "  behaviour: {choice: [crash, learns, nan, flat, slow, patience]}\n"
        "  batch: {choice: [8, 64]}\n"
        "scheduler: {kind: asha, grace_period: 3}\n"
        "resources: {concurrent: 2, cpus_per_trial: 1}\n"
        "tracking: {wandb: {mode: offline, project: powder}}\n"
    )
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        yield StudyDir.open(run_study(plan_file(folder / "study.yaml"), []).directory)
    finally:
        ray.shutdown()


def offline_runs(study: StudyDir) -> list[OfflineRun]:
    folders = sorted(study.path.glob("trials/*/wandb/offline-run-*"))
    return [load_offline_run(folder) for folder in folders]


def in_leaderboards_order(runs: list[RunRecord]) -> list[RunRecord]:
    """Runs as W&B's table sorts them: failed last, limits kept first, then the objective."""

    def place(run: RunRecord) -> tuple[bool, float, float, int]:
        sign = {"max": -1, "min": 1}[run.config["mode"]]
        value = run.summary.get(f"best/{run.config['objective']}")
        number = run.config["trial"]
        failed = run.summary["state"] == "failed"
        if value is None:
            return failed, math.inf, math.inf, number
        return failed, float(run.summary["best/violation"]), sign * value, number

    return sorted(runs, key=place)


def assert_leaderboard(runs: list[RunRecord], study: StudyDir) -> None:
    """Order, states and every figure of the best epochs are the leaderboard's."""
    rows = list(csv.DictReader(write_leaderboard(study).read_text().splitlines()))
    ordered = in_leaderboards_order(runs)
    assert [str(run.config["trial"]) for run in ordered] == [row["trial"] for row in rows]
    for run, row in zip(ordered, rows, strict=True):
        assert run.summary["state"] == row["state"]
        assert run.summary["study"] == run.config["study"] == "try"
        assert run.summary.get("best/epoch") == (int(row["best_epoch"] or 0) or None)
        shown = {k: v for k, v in run.summary.items() if k.startswith("best/")}
        figures = {name: shown[f"best/{name}"] for name in row if f"best/{name}" in shown}
        assert bool(shown) == bool(row["best_epoch"])
        assert {name: float(row[name]) for name in figures} == figures
        if row["objective"]:
            assert shown[f"best/{run.config['objective']}"] == float(row["objective"])
            assert float(shown["best/violation"]) == float(row["violation"])


def test_offline_runs_alone_rebuild_the_leaderboard(study: StudyDir) -> None:
    trials = study.trials()
    assert {"complete", "pruned", "failed"} <= {trial.state for trial in trials}
    assert {"diverged", "error"} <= {trial.stop_reason for trial in trials}
    values = [trial.objective for trial in trials if trial.objective is not None]
    assert len(set(values)) < len(values), "no ties"
    assert any(trial.best_epoch not in (None, trial.epochs) for trial in trials)
    runs = offline_runs(study)
    assert len(runs) == len(trials)
    assert_leaderboard([RunRecord(run.config, run.summary) for run in runs], study)


def test_uploaded_runs_alone_rebuild_the_leaderboard(
    study: StudyDir, nobody_logged_in: pytest.MonkeyPatch
) -> None:
    with wandb_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
        upload(study)
        goal = study.study.objective.goal
        runs = [RunRecord(run.config, run.summary) for run in server.runs.values()]
        assert len(runs) == len(study.trials())
        assert_leaderboard(runs, study)
        for run in server.runs.values():
            assert {*run.attributes["tags"]} == {"simulated", "raw", "try"}
            assert not {"train/loss", "lr", "box_metrics/F1"} & run.summary.keys()  # the last ones
            best = run.summary.get(f"best/{goal.metric}")
            extreme = {} if best is None or goal.limits else {goal.mode: best}
            assert run.summary.get(goal.metric, {}) == extreme


def test_the_table_shows_the_objectives_extreme_and_no_last_value(study: StudyDir) -> None:
    goal = study.study.objective.goal
    for run in offline_runs(study):
        assert run.derived["*"] == "none"
        assert run.derived[goal.metric] == ("none" if goal.limits else goal.mode)
        assert run.config["objective"] == goal.metric
        assert run.config["constraints"] == [str(limit) for limit in goal.limits]
        assert set(run.tags) == {"simulated", "raw", "try"}


def test_the_best_epoch_keeps_the_limits_and_of_equal_ones_is_the_last() -> None:
    goal = Goal("F1", "max", (Limit("error", at_most=0.1),))
    epochs = {
        1: {"epoch": 1, "F1": 0.9, "error": 0.3},
        2: {"epoch": 2, "F1": 0.5, "error": 0.1},
        3: {"epoch": 3, "F1": 0.5, "error": 0.05},
        4: {"epoch": 4, "F1": math.nan, "error": 0.0},
    }
    found = best_summary(goal, epochs)
    assert found == {
        "best/epoch": 3,
        "best/F1": 0.5,
        "best/error": 0.05,
        "best/violation": 0.0,
    }
    assert best_summary(goal, {1: epochs[1]})["best/violation"] == pytest.approx(0.2)
    assert best_summary(goal, epochs, 2)["best/epoch"] == 2  # as an earlier segtune kept it
    assert best_summary(goal, {4: epochs[4]}) == {}


def test_a_goal_survives_the_way_to_the_recording_process() -> None:
    goal = Goal("val/loss", "min", (Limit("a", at_most=1.0), Limit("b", at_least=0.5)))
    assert goal_of_plain(plain_goal(goal)) == goal


def test_a_tag_is_no_longer_than_wandb_takes() -> None:
    assert run_tags({"engine": "e", "data": "d" * 90, "study": "s"}) == ["e", "d" * 64, "s"]
