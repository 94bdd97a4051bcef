"""Trials of the self-training U-Net on bright discs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.discs import prepare_discs
from trainables.contract import MemoryTrial, TrainMetrics
from trainables.datasets.prepared import PreparedDataset

MakeTrial = Callable[..., MemoryTrial]

SMALL: dict[str, Any] = {
    "depth": 2,
    "width": 4,
    "tile_px": 48,
    "tiles": 16,
    "batch_size": 4,
    "learning_rate": 0.005,
    "rounds": 2,
    "positive_threshold": 0.8,
    "negative_threshold": 0.2,
}


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of metrics are not drawn; they take longer than these trainings."""

    def empty(history: object, to: Path) -> Path:
        del history
        (to / "results.png").touch()
        return to / "results.png"

    monkeypatch.setattr("trainables.unet_selftraining.artifacts.plot_results", empty)


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> MakeTrial:
    """A small trial; `params` and fields of the trial may be given."""

    def make(params: dict[str, Any] | None = None, **fields: Any) -> MemoryTrial:
        return MemoryTrial(
            {**SMALL, **(params or {})},
            discs,
            tmp_path_factory.mktemp("attempt"),
            train_metrics=TrainMetrics(images=2),
            **fields,
        )

    return make
