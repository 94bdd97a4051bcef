"""A tiny data set and trials on it; a training here takes a second or two an epoch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.discs import prepare_discs
from tests.support.engine_trials import MakeTrial, trial_maker, without_artifacts
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


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def undrawn() -> Iterator[None]:
    with without_artifacts():
        yield


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path: Path) -> MakeTrial:
    return trial_maker(QUICK, discs, tmp_path)
