"""Every registered engine, and a third party's, on a tiny data set."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from tests.support.discs import prepare_discs
from tests.support.places import THIRD_PARTY
from trainables.contract import Engine, EngineInfo, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import FrameworkMissingError, engine_info, engines, load_engine
from trainables.trials.memory import MemoryTrial

ENGINES = sorted({*engines(), "threshold"})

CHEAP: dict[str, dict[str, Any]] = {
    "detector": {"batch_size": 2, "batch_multiplier": 2, "degrees": 20.0, "ema_decay": 0.9},
    "mask_rcnn": {"min_size": 64, "max_size": 96, "ims_per_batch": 4, "ema_decay": 0.9},
    "unet_selftraining": {"rounds": 1, "supervised_fraction": 0.25, "ema_decay": 0.5},
    "yolo_seg": {"imgsz": 64, "batch": 4, "nbs": 12, "mosaic": 0.5, "close_mosaic": 1},
}
"""What makes a training cheaper still than the smoke preset, or harder to resume."""

DIVERGES: dict[str, dict[str, Any]] = {
    "detector": {"optimizer": "sgd", "learning_rate": 1e30, "clip": 0, "warmup_steps": 0},
    "mask_rcnn": {"optimizer": "SGD", "base_lr": 10, "clip": 0, "warmup_fraction": 0},
    "simulated": {"behaviour": "nan"},
    "threshold": {"nan_at": 3},
    "unet_selftraining": {"optimizer": "sgd", "learning_rate": 1e38, "norm": "none"},
    "yolo_seg": {"optimizer": "RMSProp", "lr0": 1.0, "momentum": 0.98, "warmup_epochs": 0},
}
"""Hyperparameters with which a loss is soon no longer finite."""

Train = Callable[..., MemoryTrial]


@pytest.fixture(scope="module")
def third_party() -> Iterator[None]:
    """The third party's package, as if it were installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        yield


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module", params=ENGINES)
def info(request: pytest.FixtureRequest, third_party: None) -> EngineInfo:
    return engine_info(request.param)


@pytest.fixture(scope="module")
def engine(info: EngineInfo) -> Engine:
    try:
        return load_engine(info.name)
    except FrameworkMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def train(
    engine: Engine,
    info: EngineInfo,
    discs: PreparedDataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Train:
    """Train the engine with its smoke preset; a stopped trial is returned like a finished one."""
    space, _ = parse_space(presets(info.name)["smoke"].space)
    cheap = {**space.constants, **space.draw(Random(0)), **CHEAP.get(info.name, {})}

    def run(params: dict[str, Any] | None = None, **fields: Any) -> MemoryTrial:
        trial = MemoryTrial(
            {**cheap, **(params or {})},
            discs,
            tmp_path_factory.mktemp(info.name),
            train_metrics=TrainMetrics(images=3),
            **fields,
        )
        if trial.stop_after is None:
            engine.train(trial)
        else:
            with pytest.raises(TrialStopped, match=f"after epoch {trial.stop_after}"):
                engine.train(trial)
        return trial

    return run


@pytest.fixture(scope="module")
def unbroken(train: Train) -> MemoryTrial:
    """Four epochs without interruption."""
    return train(epochs=4, seed=1)


@pytest.fixture(scope="module")
def stopped(train: Train) -> MemoryTrial:
    """The same, stopped after two of the four epochs."""
    return train(epochs=4, seed=1, stop_after=2)
