"""A trial in the process that the tuner gives it, and the same trial trained again by `retrain`."""

from pathlib import Path
from random import Random

import pytest

from analysis.retrain.retrain import retrain
from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from tests.contract.conftest import CHEAP
from trainables.contract import Device, Engine, EngineInfo, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from trainables.metrics.names import direction
from trainables.trials.keeping import read_kept
from trainables.trials.layout import BEST_FOLDER
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, trained_on
from tune.study.study import TrainMetricsSpec
from tune.trial.messages import Ended, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

EPOCHS = 3


@pytest.mark.long
def test_a_replay_matches_the_trial_at_its_best_epoch(
    engine: Engine, info: EngineInfo, discs: PreparedDataset, tmp_path: Path
) -> None:
    space, _ = parse_space(presets(info.name)["smoke"].space)
    sampled = space.draw(Random(0))
    params = {**space.constants, **sampled, **CHEAP.get(info.name, {})}
    goal = Goal(info.objective, direction(info.objective))
    device = Device("cpu", cpus=1)
    task = TrialTask(
        engine=info.name,
        study="replay",
        number=0,
        params=params,
        sampled=frozenset(sampled),
        data=discs,
        epochs=EPOCHS,
        seed=5,
        device=device,
        directory=tmp_path / "attempt-1",
        resume_from=None,
        reported=0,
        goal=goal,
        train_metrics=TrainMetrics(1, 3),
    )
    assert train(task) == EPOCHS
    kept = read_kept(task.directory / BEST_FOLDER, goal.metric)
    assert kept is not None
    config = BestConfig(
        engine=info.name,
        params=params,
        sampled=tuple(sampled),
        epochs=EPOCHS,
        seed=5,
        cpus=1,
        train_metrics=TrainMetricsSpec(every=1, images=3),
        objective=Reached(metric=goal.metric, mode=goal.mode, value=kept.value, epoch=kept.epoch),
        data=trained_on(discs),
        classes=discs.classes,
        metrics=dict(kept.values),
        source=ConfigOrigin(study="replay", trial=0),
    )
    result = retrain(config, None, tmp_path / "out", device="cpu", replay=True)
    assert result.replayed is not None
    assert result.replayed.same, result.replayed.told(result.epoch)
    assert result.replayed.metrics >= 3
    assert result.value == pytest.approx(kept.value, abs=1e-6)
    assert result.epochs_done == kept.epoch


def train(task: TrialTask) -> int:
    """Train a trial as its actor does; the number of epochs it reported."""
    task.directory.mkdir()
    runner = TrialRunner(task.engine)
    runner.start(task)
    reports = 0
    try:
        while not isinstance(event := runner.next_event(), Ended):
            if isinstance(event, Reported):
                reports += 1
                runner.go_on()
        assert event.rule is None, event.message
    finally:
        runner.stop()
    return reports
