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
from tune.best.configuration import BestConfig, Reached, Source, TrainedOn, load_best, own_version
from tune.best.entries import DataKey, Found, StoredBest
from tune.best.store import BestStore
from tune.errors import BestConfigError

DEFAULT_EPOCHS: Final = 100
"""Length of a training of which nothing is known."""


@dataclass(frozen=True)
class Chosen:
    """A configuration that is trained without a `best.yaml`.

    Attributes:
        config: To train.
        line: Where it comes from, for the user.
    """

    config: BestConfig
    line: str


def to_stored(config: BestConfig) -> StoredBest:
    """A configuration as the store keeps it.

    Raises:
        BestConfigError: It lacks what the store compares it by.
    """
    value, epoch = config.objective.value, config.objective.epoch
    lacking = [] if config.data.name else ["data.name (of the data set it was tuned on)"]
    lacking += ["objective.value and objective.epoch"] if value is None or epoch is None else []
    if value is None or epoch is None or lacking:
        raise BestConfigError(f"{config.source.study}: expected {' and '.join(lacking)}, got none")
    source = config.source
    return StoredBest(
        engine=config.engine,
        backbone=backbone_of(engine_info(config.engine), config.params),
        data_set=config.data.name,
        fingerprint=config.data.fingerprint,
        data=str(config.data.path),
        params=config.params,
        sampled=config.sampled,
        epochs=config.epochs,
        seed=config.seed,
        cpus=config.cpus,
        metric=config.objective.metric,
        mode=config.objective.mode,
        value=value,
        epoch=epoch,
        study=f"{source.study}, retrained" if source.retrained else source.study,
        trial=source.trial,
        trials=source.trials,
        recorded=datetime.now(UTC).isoformat(timespec="seconds"),
        segtune=own_version(),
    )


def choose(store: BestStore, trainable: str, data: Path, backbone: str | None, out: Path) -> Chosen:
    """The configuration for a data set: its best, else the global one, else the defaults.

    A training that has begun in `out` goes on with the configuration it began with, whatever the
    store holds by now.

    Args:
        store: Where to look.
        trainable: The engine.
        data: A prepared data set.
        backbone: To be trained; None for the recorded one, else the engine's default.
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


def _of(found: Found, info: EngineInfo, given: dict[str, Any], data: PreparedDataset) -> BestConfig:
    """What was found, to be trained on a data set."""
    best = found.best
    here = TrainedOn(path=data.root, name=data.name, fingerprint=data.fingerprint)
    if best is None:
        return BestConfig(
            engine=info.name,
            params=given,
            epochs=DEFAULT_EPOCHS,
            objective=Reached(metric=info.objective, mode=direction(info.objective)),
            data=here,
            classes=data.classes,
            source=Source(study=f"{info.name}-defaults", segtune=own_version()),
        )
    return BestConfig(
        engine=best.engine,
        params={**best.params, **given},
        sampled=best.sampled,
        epochs=best.epochs,
        seed=best.seed,
        cpus=best.cpus,
        objective=Reached(metric=best.metric, mode=best.mode, value=best.value, epoch=best.epoch),
        data=TrainedOn(path=Path(best.data), name=best.data_set, fingerprint=best.fingerprint),
        classes=data.classes,
        source=Source(
            study=best.study, trial=best.trial, trials=best.trials, segtune=own_version()
        ),
    )
