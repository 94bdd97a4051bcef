"""A tiny data set and trials on it; a training here takes a second or two an epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.discs import prepare_discs
from trainables.contract import MemoryTrial, TrainMetrics
from trainables.datasets.prepared import PreparedDataset

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

MakeTrial = Callable[..., MemoryTrial]


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the artifacts, whose drawing takes longer than these trainings."""
    from trainables.mask_rcnn import training

    monkeypatch.setattr(training, "keep_artifacts", lambda *_: None)


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path: Path) -> MakeTrial:
    """Build a trial from hyperparameters that differ from `QUICK` and from the trial's fields."""
    made: list[Path] = []

    def make(params: dict[str, Any] | None = None, **fields: Any) -> MemoryTrial:
        directory = tmp_path / f"trial-{len(made)}"
        directory.mkdir()
        made.append(directory)
        fields.setdefault("train_metrics", TrainMetrics(images=3))
        return MemoryTrial({**QUICK, **(params or {})}, discs, directory, **fields)

    return make
