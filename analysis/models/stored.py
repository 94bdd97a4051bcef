"""Between the best-config store and the configurations that are trained."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from tune.best.entries import DataKey, lacking
from tune.best.file import load_best
from tune.best.store import BestStore
from tune.best.warm_start import DEFAULT_EPOCHS, preset_start, start_line
from tune.datasets.opening import open_data
from tune.errors import BestConfigError
from tune.study.fitting import circumstances


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


def choose(  # noqa: PLR0913  the command's options
    store: BestStore,
    trainable: str,
    data: Path | str,
    backbone: str | None,
    out: Path,
    *,
    epochs: int | None = None,
    gpus: int = 0,
) -> Chosen:
    """The configuration for a data set: its best, else the global one, else the preset's start.

    A training that has begun in `out` goes on with the configuration it began with, whatever the
    store holds by now.

    Args:
        store: Store to look into.
        trainable: Name of the engine.
        data: Folder of a prepared data set, or its address.
        backbone: Backbone to train; None for the recorded one, else the engine's default.
        out: Folder of the training.
        epochs: Length of the training; None for the recorded one.
        gpus: Number of GPUs to train on; a preset is fitted to data, length and machine.

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
    prepared = open_data(data)
    found, given = store.find_asked(info, DataKey.of(prepared), backbone)
    if found.best is not None:
        return Chosen(_known(found.best, given, prepared), found.line())
    there = circumstances(prepared, epochs or DEFAULT_EPOCHS, gpus)
    preset, start = preset_start(info, given, there)
    return Chosen(_unknown(info, start, prepared, data), start_line(found, preset))


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


def _known(best: BestConfig, given: dict[str, Any], data: PreparedDataset) -> BestConfig:
    """A recorded configuration, with what the user named, to be trained on a data set."""
    return best.model_copy(
        update={
            "params": {**best.params, **given},
            "classes": data.classes,
            "kept": InStore(),
        }
    )


def _unknown(
    info: EngineInfo, start: dict[str, Any], data: PreparedDataset, place: Path | str
) -> BestConfig:
    """The start of a preset, to be trained on a data set of which nothing is recorded."""
    return BestConfig(
        engine=info.name,
        params=start,
        epochs=DEFAULT_EPOCHS,
        objective=Reached(metric=info.objective, mode=direction(info.objective)),
        data=trained_on(data, place),
        classes=data.classes,
        source=ConfigOrigin(study=f"{info.name}-defaults", segtune=own_version()),
    )
