"""The model that a path of the user means, and what lies beside it: its engine, its confidences."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from analysis.errors import EvaluateError
from analysis.models.export import best_of
from analysis.models.layout import IDENTITY
from search_spaces.names import nearest_file, nearest_name
from trainables.contract import Device, InfeasibleParams, Predictor
from trainables.files.errors import UserError
from trainables.onnx.load import load_onnx
from trainables.onnx.manifest import MODEL_ONNX
from trainables.onnx.session import manifest_of
from trainables.registry import engine_info, engines, load_engine
from trainables.trials.layout import (
    CHECKPOINT_FOLDER,
    HISTORY_FILE,
    METRICS,
    METRICS_FILE,
    MODEL_FILE,
)
from tune.best.configuration import (
    BEST_FOLDER,
    BEST_YAML,
    BestConfig,
    params_as_read,
)
from tune.best.file import read_best
from tune.directory.layout import JOURNAL, RESOLVED, STUDY, latest_attempt
from tune.directory.reader import StudyDir
from tune.directory.trials import UNFINISHED

log = logging.getLogger(__name__)

_PLACES: Final = (
    MODEL_FILE,
    f"{BEST_FOLDER}/{MODEL_FILE}",
    f"{CHECKPOINT_FOLDER}/{MODEL_FILE}",
    f"work/{CHECKPOINT_FOLDER}/{MODEL_FILE}",
    MODEL_ONNX,
)
"""Where below a folder its model lies, the first that is there."""

_ONNX: Final = ".onnx"

_SLEEPING_THREADS: Final = ("OMP_WAIT_POLICY", "passive")
"""Read by OpenMP when torch is first imported: between two layers its threads sleep until there is
work. By default they spin, on a core that other processes, or the thread that they wait for, could
use: where cores are short, a picture took 14 to 25 times the processors' time."""

_NATIVE: Final = "native"  # below an exported folder, the model in its framework's own form

_ALIKE: Final = (BEST_FOLDER, CHECKPOINT_FOLDER, _NATIVE, "work")

_MOST_SAID: Final = 300  # characters of what a framework says

_STUDY_ABOVE: Final = 5  # <study>/trials/<n>/attempt-<k>/best/model.pt


@dataclass(frozen=True)
class TrainedModel:
    """A model and what is known of it.

    Attributes:
        engine: Name in the registry.
        path: File of the model.
        name: Short name, for headings and folders.
        origin: Study, trial and epoch that it comes from, for a reader.
        params: Hyperparameters it was trained with; empty where unknown.
        classes: Class names in the order of its outputs; empty where only the file says.
        metrics: Metrics of the validation part at its epoch; empty where unknown.
        fingerprint: Fingerprint of the data it was trained on; "" where unknown.
        val_objects: Number of true objects of the validation part of these data; None where
            unknown.
        picture_px: Longer side of their median training picture, px; None where unknown.
    """

    engine: str
    path: Path
    name: str
    origin: str
    params: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    val_objects: int | None = None
    picture_px: int | None = None

    @property
    def limit(self) -> int | None:
        """Most instances that it finds in a picture; None where its engine knows no such limit."""
        if not self.params:
            return None
        info = engine_info(self.engine)
        limit = info.value(info.max_det, self.params)
        return limit if isinstance(limit, int) else None


def find_model(path: Path, trainable: str | None = None) -> TrainedModel:
    """The model that a path means.

    Args:
        path: A study directory (its best trial), an exported folder or its `best.yaml`, the folder
            of a retraining, of a trial, of an attempt or of a checkpoint, or a model's file.
        trainable: Engine of the model, where nothing beside the file says so.

    Raises:
        EvaluateError: There is no model, what lies beside it cannot be read, its engine is unknown,
            or it is not `trainable`.
        AnalysisError: The study or the `best.yaml` cannot be read or has no model.
        EngineError: There is no engine of this name.
    """
    if trainable is not None:
        engine_info(trainable)
    path = path.absolute()
    if not path.exists():
        raise EvaluateError(_nothing_there(path))
    found = _found(path, trainable)
    if trainable not in (None, found.engine):
        raise EvaluateError(
            f"--trainable: expected {found.engine}, which trained {found.path} ({found.origin}), "
            f"got {trainable}"
        )
    return replace(found, params=_readable(found))


def _readable(found: TrainedModel) -> dict[str, Any]:
    """The hyperparameters as the engine reads them today, or as they stand where it refuses some.

    They are for the reader alone: what a model needs to predict is in its file.

    Raises:
        EvaluateError: There is no such engine.
    """
    if found.engine not in engines():
        raise EvaluateError(
            f"{found.path}: expected a model of one of the engines {', '.join(engines())}, got "
            f"one of {found.engine} ({found.origin}){nearest_name(found.engine, engines())}"
        )
    return params_as_read(engine_info(found.engine), found.params)


class _Planned(Protocol):
    """A plan of an evaluation or a picking: at least a model and the device it is to run on."""

    @property
    def model(self) -> TrainedModel:
        """The model that was found."""
        ...

    @property
    def device(self) -> Device:
        """The device that it is to run on."""
        ...


_PlannedT = TypeVar("_PlannedT", bound=_Planned)


def load_planned(make_plan: Callable[[], _PlannedT]) -> tuple[_PlannedT, Predictor]:
    """A plan and its model, whose confidences are of the very same epoch.

    A running study may replace its best model between reading the one and the other.

    Args:
        make_plan: Checks what was asked for, and finds the model as it now is.
    """
    plan = make_plan()
    predictor = load_model(plan.model, plan.device)
    while (now := make_plan()).model != plan.model:
        plan, predictor = now, load_model(now.model, now.device)
    return plan, predictor


def load_model(model: TrainedModel, device: Device) -> Predictor:
    """The model, ready to predict.

    Raises:
        EvaluateError: Its engine cannot read the file.
        EngineError: The engine's framework is not installed.
        OnnxError: The file is ONNX, and cannot be read or onnxruntime is not installed.
        UserError: As the engine raises it.
    """
    if model.path.suffix == _ONNX:
        return load_onnx(model.path, device)
    os.environ.setdefault(*_SLEEPING_THREADS)
    engine = load_engine(model.engine)
    try:
        return engine.load(model.path, device)
    except UserError:  # it says itself what is wrong
        raise
    except Exception as error:  # whatever a framework makes of a file that is none of its own
        if isinstance(error, InfeasibleParams) and str(model.path) in str(error):
            raise EvaluateError(str(error)) from error
        raise EvaluateError(
            f"{model.path}: expected a model of the engine {model.engine}, got a file that it "
            f"cannot read: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    """The trouble with a file, in short; of refused hyperparameters each one."""
    if not isinstance(error, ValidationError):
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return words if len(words) <= _MOST_SAID else f"{words[:_MOST_SAID]}..."
    wrong = (
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}, got {problem['input']!r}"
        for problem in error.errors()
    )
    return f"its hyperparameters are of another version: {'; '.join(wrong)}"


def _found(path: Path, trainable: str | None) -> TrainedModel:
    if _is_study(path):
        config, model = best_of(StudyDir.open(path))
        return _configured(config, model)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return _configured(read_best(path), _beside_config(path))
    if path.is_dir() and not (path / MODEL_FILE).is_file() and _exported(path / BEST_FOLDER):
        path = path / BEST_FOLDER
    model = _model_file(path)
    if model.suffix == _ONNX:
        return _of_onnx(model)
    if model.name == MODEL_FILE and _exported(model.parent):
        return _configured(read_best(model.parent / BEST_YAML), model)
    if model.parent.name == _NATIVE and _exported(model.parent.parent):
        return _configured(read_best(model.parent.parent / BEST_YAML), model)
    return _known_by_place(model) or _known_by_word(model, trainable)


def _is_study(path: Path) -> bool:
    return all((path / name).is_file() for name in (STUDY, RESOLVED, JOURNAL))


def _exported(folder: Path) -> bool:
    return (folder / BEST_YAML).is_file()


def _beside_config(file: Path) -> Path:
    model = file.parent / MODEL_FILE
    if not model.is_file():
        raise EvaluateError(
            f"{file}: expected {MODEL_FILE} beside it, as `segtune export` writes it, got none"
        )
    return model


def _model_file(path: Path) -> Path:
    """The model's file of a file or folder.

    Raises:
        EvaluateError: The folder holds none.
    """
    if path.is_file():
        return path
    attempt = latest_attempt(path)
    folders = [path, *([attempt] if attempt else [])]
    for file in (folder / place for folder in folders for place in _PLACES):
        if file.is_file():
            return file
    raise EvaluateError(f"{path}: expected {_WANTED}, got a folder without {MODEL_FILE}")


def _of_onnx(file: Path) -> TrainedModel:
    """A file of `segtune export --form onnx`, which says all by itself."""
    said = manifest_of(file)
    return TrainedModel(
        engine=said.engine,
        path=file,
        name=said.name,
        origin=f"{said.origin}, as ONNX{' in int8' if said.quantisation else ''}",
        params=said.params,
        classes=said.classes,
        metrics=said.metrics,
        fingerprint=said.fingerprint,
        val_objects=said.val_objects,
        picture_px=said.picture_px,
    )


def _configured(config: BestConfig, model: Path) -> TrainedModel:
    source = config.source
    trial = "" if source.trial is None else f", trial {source.trial}"
    again = " (retrained)" if source.retrained else ""
    return TrainedModel(
        engine=config.engine,
        path=model,
        name=_folder_name(model) if source.retrained else source.study,
        origin=f"study {source.study}{trial}{again}, epoch {config.objective.epoch}",
        params=config.params,
        classes=config.classes,
        metrics=config.metrics,
        fingerprint=config.data.fingerprint,
        val_objects=config.data.val_objects,
        picture_px=config.data.picture_px,
    )


def _known_by_place(model: Path) -> TrainedModel | None:
    """A model inside a study's or a retraining's folder."""
    for folder in list(model.parents)[:_STUDY_ABOVE]:
        if _is_study(folder):
            return _of_study(model, StudyDir.open(folder))
        if (folder / IDENTITY).is_file():
            return _of_retraining(model, folder)
    return None


def _of_study(model: Path, study: StudyDir) -> TrainedModel | None:
    inside = model.parent.relative_to(study.path).parts
    trials = {str(trial.number): trial for trial in study.trials()}
    trial = trials.get(inside[1]) if inside[:1] == ("trials",) and len(inside) > 1 else None
    if trial is None:
        return None
    if trial.state in UNFINISHED:
        _say_unfinished(model, trial.epochs, int(study.resolved["epochs"]))
    epoch, metrics = _measured(model.parent)
    return TrainedModel(
        engine=study.resolved["engine"],
        path=model,
        name=f"{study.resolved['study']}-trial{trial.number}",
        origin=f"study {study.resolved['study']}, trial {trial.number}{epoch}",
        params={**trial.fixed, **trial.params},
        classes=tuple(study.resolved["classes"]),
        metrics=metrics,
        fingerprint=study.resolved["fingerprint"],
        val_objects=study.resolved.get("val_objects"),
        picture_px=study.resolved.get("picture_px"),
    )


def _of_retraining(model: Path, folder: Path) -> TrainedModel:
    epoch, metrics = _measured(model.parent)
    try:
        identity = json.loads((folder / IDENTITY).read_text("utf-8"))
        trained = TrainedModel(
            engine=str(identity["engine"]),
            path=model,
            name=folder.name,
            origin=f"an unfinished retraining in {folder}{epoch}",
            params=dict(identity["params"]),
            metrics=metrics,
            fingerprint=str(identity["fingerprint"]),
        )
        epochs = int(identity["epochs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluateError(
            f"{folder / IDENTITY}: expected what `segtune retrain` wrote of the training of "
            f"{model}, got a file that cannot be read: {type(error).__name__}: {error}; copy the "
            "model elsewhere and name its engine with --trainable"
        ) from error
    table = folder / METRICS
    done = len(table.read_text("utf-8").splitlines()) if table.is_file() else 0
    _say_unfinished(model, done, epochs)
    return trained


def _say_unfinished(model: Path, done: int, epochs: int) -> None:
    log.warning("%s: its training is not finished (%d of %d epochs)", model, done, epochs)


def _known_by_word(model: Path, trainable: str | None) -> TrainedModel:
    if trainable is None:
        raise EvaluateError(
            f"{model}: expected a model whose engine can be told from what lies beside it (a "
            f"{BEST_YAML}, or a study's folder around it), got a file alone; name its engine: "
            f"--trainable {' or '.join(engines())}"
        )
    if model.name != MODEL_FILE:  # what lies beside it is of another one
        return TrainedModel(trainable, model, model.stem, "a file")
    epoch, metrics = _measured(model.parent)
    return TrainedModel(trainable, model, _folder_name(model), f"a file{epoch}", metrics=metrics)


def _folder_name(model: Path) -> str:
    """Name of the first folder above a model that is not called alike in every training."""
    names = (folder.name for folder in model.parents if folder.name not in _ALIKE)
    return next(names, "") or model.stem


def _measured(folder: Path) -> tuple[str, Mapping[str, float]]:
    """Epoch of a model, for a reader, and its validation metrics, as far as they lie beside it."""
    try:
        if (folder / METRICS_FILE).is_file():
            content = json.loads((folder / METRICS_FILE).read_text("utf-8"))
        else:
            content = json.loads((folder / HISTORY_FILE).read_text("utf-8"))[-1]
        return f", epoch {int(content['epoch'])}", dict(content["values"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return "", {}


_WANTED: Final = (
    "a study directory, a folder that `segtune export` or `segtune retrain` wrote, a trial's "
    "folder, or a model file"
)


def _nothing_there(path: Path) -> str:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    where = "" if path.parent.is_dir() else f"; {path.parent} does not exist either"
    return f"{path}: expected {_WANTED}, found nothing{where}{nearest_file(path.name, beside)}"
