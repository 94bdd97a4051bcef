"""Between the best-config store and the configurations that are trained."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from analysis.errors import RetrainError
from analysis.models.layout import CONFIG
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.metrics.names import direction
from trainables.registry import engine_info
from tune.best.backbones import backbone_of, given_backbone, same_backbone
from tune.best.configuration import (
    BestConfig,
    ConfigOrigin,
    InStore,
    Reached,
    own_version,
    trained_on,
)
from tune.best.entries import DataKey, FoundBest, lacking
from tune.best.file import load_best
from tune.best.store import BestStore
from tune.errors import BestConfigError

DEFAULT_EPOCHS: Final = 100
"""Length of a training of which nothing is known."""


@dataclass(frozen=True)
class Chosen:
    """A configuration that is trained without a `best.yaml`.

    Attributes:
        config: Configuration to train.
        line: Origin of the configuration, for the user.
    """

    config: BestConfig
    line: str


def to_stored(config: BestConfig) -> BestConfig:
    """A configuration with its place in a store, as of now.

    Raises:
        BestConfigError: It lacks what a store compares configurations by.
    """
    if missing := lacking(config):
        raise BestConfigError(f"{config.source.study}: expected {' and '.join(missing)}, got none")
    backbone = backbone_of(engine_info(config.engine), config.params)
    recorded = datetime.now(UTC).isoformat(timespec="seconds")
    return config.model_copy(update={"kept": InStore(backbone=backbone, recorded=recorded)})


def choose(store: BestStore, trainable: str, data: Path, backbone: str | None, out: Path) -> Chosen:
    """The configuration for a data set: its best, else the global one, else the defaults.

    A training that has begun in `out` goes on with the configuration it began with, whatever the
    store holds by now.

    Args:
        store: Store to look into.
        trainable: Name of the engine.
        data: Folder of a prepared data set.
        backbone: Backbone to train; None for the recorded one, else the engine's default.
        out: Folder of the training.

    Raises:
        EngineError: There is no such engine.
        UsageError: As for `BestStore.find_asked`.
        DatasetError: `data` is no prepared data set.
        StoreError: The store cannot be read, or has several backbones and none was named.
    """
    info = engine_info(trainable)
    began = out / CONFIG
    if began.is_file():
        return Chosen(_begun(began, info, backbone), f"goes on with the configuration of {began}")
    prepared = PreparedDataset.load(data)
    found, given = store.find_asked(info, DataKey.of(prepared), backbone)
    config = _of(found, info, given, prepared)
    return Chosen(config, found.line())


def _begun(file: Path, info: EngineInfo, backbone: str | None) -> BestConfig:
    config = load_best(file)
    given = given_backbone(info, backbone)
    wanted = backbone_of(info, given) if given else backbone
    trains = backbone_of(engine_info(config.engine), config.params)
    other = wanted is not None and not same_backbone(wanted, trains)
    if config.engine != info.name or other:
        trained = f"{config.engine} {trains}"
        raise RetrainError(
            f"{file.parent}: expected an empty folder or the same training, got one of "
            f"{trained.rstrip()}; choose another --out"
        )
    return config


def _of(
    found: FoundBest, info: EngineInfo, given: dict[str, Any], data: PreparedDataset
) -> BestConfig:
    """The configuration of a store's answer, to be trained on a data set."""
    best = found.best
    here = trained_on(data)
    if best is None:
        return BestConfig(
            engine=info.name,
            params=given,
            epochs=DEFAULT_EPOCHS,
            objective=Reached(metric=info.objective, mode=direction(info.objective)),
            data=here,
            classes=data.classes,
            source=ConfigOrigin(study=f"{info.name}-defaults", segtune=own_version()),
        )
    return best.model_copy(
        update={
            "params": {**best.params, **given},
            "classes": data.classes,
            "kept": InStore(),
        }
    )
