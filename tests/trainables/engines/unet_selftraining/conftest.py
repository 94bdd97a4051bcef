"""Trials of the self-training U-Net on bright discs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.discs import prepare_discs
from trainables.contract import TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.trials.memory import MemoryTrial

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


@pytest.fixture(scope="session")
def few_marked(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Bright particles, two of eight marked in each training picture; two pictures unlabelled."""
    raw = tmp_path_factory.mktemp("few") / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    marked: dict[str, list[list[float]]] = {}
    parts = {"train": range(4), "val": range(4, 7), "unlabelled": range(7, 9)}
    for part, numbers in parts.items():
        for number in numbers:
            shifts = rng.uniform(-2, 2, 8).tolist()
            centers = [[12 + 20 * (k % 4) + shifts[k], 20.0 + 40 * (k // 4)] for k in range(8)]
            picture = rng.normal(110, 12, (80, 84))
            y, x = np.mgrid[:80, :84] + 0.5
            for cx, cy in centers:
                picture[(x - cx) ** 2 + (y - cy) ** 2 <= 25] += 90
            name = f"p{number}.png"
            cv2.imwrite(str(raw / name), np.clip(picture, 0, 255).astype(np.uint8))
            if part != "unlabelled":
                marked[name] = centers[:2] if part == "train" else centers
    (raw / "coordinates.json").write_text(json.dumps(marked))
    given = {part: [f"p{n}.png" for n in parts[part]] for part in ("train", "val")}
    (raw / "splits.json").write_text(json.dumps(given))
    prepare(raw, raw.parent / "data", PrepareOptions(radius="5px", group=r"p(\d)"))
    return PreparedDataset.load(raw.parent / "data")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of metrics are not drawn; they take longer than these trainings."""

    def empty(history: object, to: Path) -> Path:
        del history
        (to / "results.png").touch()
        return to / "results.png"

    monkeypatch.setattr("trainables.engines.unet_selftraining.artifacts.plot_results", empty)


@pytest.fixture
def make_trial(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> MakeTrial:
    """A small trial; `params` and fields of the trial may be given."""

    def make(params: dict[str, Any] | None = None, **fields: Any) -> MemoryTrial:
        given = {"data": discs, "train_metrics": TrainMetrics(images=2), **fields}
        directory = tmp_path_factory.mktemp("attempt")
        return MemoryTrial({**SMALL, **(params or {})}, directory=directory, **given)

    return make
