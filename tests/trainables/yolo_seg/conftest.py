"""A tiny data set and trials on it; a training here takes a second or two an epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.discs import prepare_discs
from trainables.contract import MemoryTrial, TrainMetrics
from trainables.datasets.prepared import PreparedDataset

pytest.importorskip("ultralytics", reason="needs the extra yolo")

QUICK = {
    "model": "yolo11n-seg.yaml",
    "imgsz": 64,
    "batch": 4,
    "nbs": 4,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "warmup_epochs": 1,
    "close_mosaic": 1,
}

MakeTrial = Callable[..., MemoryTrial]


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the artifacts, whose drawing takes longer than these trainings."""
    from trainables.yolo_seg import training

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
