"""A tiny data set, and a training on it that is long enough to find something."""

import pytest

from tests.support.discs import prepare_discs
from tests.support.engine_trials import MakeTrial, trial_maker, without_artifacts
from trainables.contract import TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.trials.memory import MemoryTrial

pytest.importorskip("torchvision", reason="needs torchvision")

QUICK = {
    "model": "small_fpn",
    "width": 8,
    "fpn_channels": 16,
    "box_head_dim": 32,
    "min_size": 64,
    "max_size": 96,
    "proposals": 60,
    "regions": 32,
    "max_det": 40,
    "batch_size": 4,
    "warmup_steps": 2,
}

LEARNS = {
    **QUICK,
    "width": 16,
    "fpn_channels": 32,
    "box_head_dim": 64,
    "min_size": 96,
    "max_size": 128,
    "batch_size": 2,
    "anchor_scales": 2,
    "learning_rate": 0.002,
}


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> MakeTrial:
    return trial_maker(QUICK, discs, tmp_path_factory.mktemp("trials"))


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> MemoryTrial:
    """After 100 steps from scratch: 10 epochs of 20 pictures; 58 objects validate."""
    from trainables.engines.detector.engine import DetectorEngine

    folder = tmp_path_factory.mktemp("learnt")
    never = TrainMetrics(every=0)
    data = prepare_discs(folder / "discs", n_images=34)
    trial = MemoryTrial(LEARNS, data, folder, epochs=10, train_metrics=never)
    with without_artifacts():
        DetectorEngine().train(trial)
    return trial
