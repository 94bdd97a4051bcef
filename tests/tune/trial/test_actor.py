"""What a trial's actor does when; without Ray, whose calls are made here."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.discs import prepare_discs
from trainables.contract import Device, TrainMetrics
from trainables.goal import Goal
from tune.directory.writer import metrics_line
from tune.study.study import Tracking, Wandb
from tune.tracking.tracker import NullTracker
from tune.trial.actor import CLOSED, ENDED, ActorTask, TrialActor
from tune.trial.task import TrialTask


@pytest.fixture
def task(tmp_path: Path) -> ActorTask:
    attempt = tmp_path / "trials" / "0" / "attempt-1"
    attempt.mkdir(parents=True)
    trial = TrialTask(
        engine="simulated",
        study="try",
        number=0,
        params={},
        sampled=frozenset(),
        data=prepare_discs(tmp_path / "discs"),
        epochs=3,
        seed=0,
        device=Device(),
        directory=attempt,
        resume_from=None,
        reported=0,
        goal=Goal("seg_metrics/F1"),
        train_metrics=TrainMetrics(),
    )
    return ActorTask(trial, Tracking(wandb=Wandb(mode="disabled")), {}, "try-0")


def test_an_actor_that_never_steps_never_trains(task: ActorTask) -> None:
    """Ray makes an actor for a trial, and may give the trial to another that is free sooner."""
    made = TrialActor({"task": task})
    time.sleep(0.3)  # an epoch takes a millisecond
    made.cleanup()
    assert list(task.trial.directory.iterdir()) == []


def test_an_actor_trains_an_epoch_a_step(task: ActorTask) -> None:
    actor = TrialActor({"task": task})
    assert [actor.step()["epoch"] for _ in range(3)] == [1, 2, 3]
    assert actor.step()["event"] == ENDED


class Remembering(NullTracker):
    """Remembers the epochs that it is told of."""

    def __init__(self) -> None:
        self.epochs: list[float] = []

    def log(self, metrics: Mapping[str, float]) -> None:
        self.epochs.append(metrics["epoch"])


@pytest.mark.parametrize(("paused_after", "logged"), [(1, [1]), (2, [1, 2])])
def test_an_epoch_is_logged_when_its_driver_has_taken_it_in_and_that_of_a_fenced_one_is_not(
    task: ActorTask, paused_after: int, logged: list[int]
) -> None:
    actor = TrialActor({"task": task})
    tracker = Remembering()
    actor._tracker = tracker
    assert actor.step()["epoch"] == 1
    assert tracker.epochs == []
    assert actor.step()["epoch"] == 2
    assert tracker.epochs == [1]
    outcome = {"state": "waiting", "stop_reason": "moved", "epoch": paused_after}
    (task.trial.directory.parent / "outcome.json").write_text(json.dumps(outcome))
    assert actor.step()["event"] == CLOSED
    assert tracker.epochs == logged


def test_epochs_of_earlier_attempts_are_not_logged_again_where_they_are_trained_again(
    task: ActorTask,
) -> None:
    lines = "".join(metrics_line({"epoch": epoch}) for epoch in (1, 2))
    (task.trial.directory.parent / "metrics.jsonl").write_text(lines)
    actor = TrialActor({"task": replace(task, trial=replace(task.trial, reported=2))})
    tracker = Remembering()
    actor._tracker = tracker
    assert [actor.step()["epoch"] for _ in range(3)] == [1, 2, 3]
    assert actor.step()["event"] == ENDED
    assert tracker.epochs == [3]
