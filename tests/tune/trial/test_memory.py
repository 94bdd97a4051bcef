"""Trials on the CPU that want more memory than their share."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cluster.machines.memory import machine_bytes
from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from tests.support.discs import prepare_discs
from tests.support.places import THIRD_PARTY
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from trainables.registry import engine_info
from tune.trial.messages import Ended, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has the limit")


@pytest.fixture(autouse=True)
def awkward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def runners() -> Iterator[list[TrialRunner]]:
    begun: list[TrialRunner] = []
    yield begun
    for runner in begun:
        runner.kill()


def task(folder: Path, data: PreparedDataset, engine: str, number: int, **params: Any) -> TrialTask:
    attempt = folder / str(number) / "attempt-1"
    attempt.mkdir(parents=True)
    return TrialTask(
        engine=engine,
        study="try",
        number=number,
        params=params,
        sampled=frozenset(),
        data=data,
        epochs=3,
        seed=0,
        device=Device("cpu", memory_fraction=0.25),
        directory=attempt,
        resume_from=None,
        reported=0,
        goal=Goal(engine_info(engine).objective),
        train_metrics=TrainMetrics(),
    )


def test_a_trial_that_eats_memory_meets_its_own_limit_and_its_neighbour_trains_on(
    tmp_path: Path, discs: PreparedDataset, runners: list[TrialRunner]
) -> None:
    for number, behaviour in enumerate(("eats memory", "trains")):
        runners.append(TrialRunner("awkward"))
        runners[-1].start(task(tmp_path, discs, "awkward", number, behaviour=behaviour))
    for runner in runners:
        assert isinstance(runner.next_event(), Reported)
        runner.go_on()
    ended = runners[0].next_event()
    assert isinstance(ended, Ended)
    assert (ended.out_of_memory, ended.retry, ended.micro_batch) == (True, False, 0)
    assert "Unable to allocate 256. MiB" in ended.message
    assert not (tmp_path / "0" / "error.txt").exists(), "it is no bug of the engine"
    for epoch in (2, 3):
        event = runners[1].next_event()
        assert isinstance(event, Reported)
        assert event.epoch == epoch
        runners[1].go_on()


def test_a_training_that_does_not_fit_into_its_share_says_how_many_samples_it_computed_at_once(
    tmp_path: Path, discs: PreparedDataset, runners: list[TrialRunner]
) -> None:
    """With torch, whose allocator fails: too large a network, then one that fits."""
    pytest.importorskip("torch")
    space, _ = parse_space(presets("unet_selftraining")["smoke"].space)
    params = {**space.constants, **space.draw(Random(0)), "rounds": 0}
    share = Device("cpu", memory_fraction=1.5e9 / machine_bytes())
    events = []
    for number, batch in enumerate((256, 2)):
        large = {**params, "tile_px": 256, "width": 32, "tiles": batch, "batch_size": batch}
        trial = task(tmp_path, discs, "unet_selftraining", number, **large)
        runners.append(TrialRunner("unet_selftraining"))
        runners[-1].start(replace(trial, device=share, epochs=1))
        while not isinstance(event := runners[-1].next_event(), Ended | Reported):
            pass
        events.append(event)
    failed, trained = events
    assert isinstance(failed, Ended)
    assert (failed.out_of_memory, failed.micro_batch) == (True, 256)
    assert "batch_size=256 at tile_px=256 and width=32 does not" in failed.message
    assert "allocate" in failed.message
    assert isinstance(trained, Reported)
