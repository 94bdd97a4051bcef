"""A tiny data set and trials on it; a training here takes a second or two an epoch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.discs import prepare_discs
from tests.support.engine_trials import MakeTrial, trial_maker, without_artifacts
from trainables.contract import TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.trials.memory import MemoryTrial

pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

QUICK = {
    "backbone": "r18",
    "min_size": 64,
    "max_size": 96,
    "fpn_channels": 32,
    "box_head_dim": 32,
    "mask_head_dim": 16,
    "mask_head_convs": 1,
    "proposals": 60,
    "max_det": 40,
    "anchor_px": 8.0,
    "base_lr": 0.001,
    "ims_per_batch": 4,
    "batch_size_per_image": 32,
    "warmup_fraction": 0.1,
}


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset) -> MemoryTrial:
    """Trained long enough to find something."""
    from trainables.engines.mask_rcnn.engine import MaskRcnnEngine

    params = {**QUICK, "ims_per_batch": 1, "min_size": 96, "max_size": 128, "score_thresh": 0.05}
    params |= {"mask_head_convs": 2, "mask_head_dim": 64, "fpn_channels": 64, "box_head_dim": 128}
    trial = MemoryTrial(
        params,
        discs,
        tmp_path_factory.mktemp("trained"),
        epochs=12,
        train_metrics=TrainMetrics(every=0),
    )
    with without_artifacts():
        MaskRcnnEngine().train(trial)
    return trial


@pytest.fixture
def undrawn() -> Iterator[None]:
    with without_artifacts():
        yield


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path: Path) -> MakeTrial:
    return trial_maker(QUICK, discs, tmp_path)
