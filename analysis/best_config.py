"""The best configuration of a study: as a value, as `best.yaml`, and as the folder `best/`.

::

    best/model.pt          weights of the best epoch
    best/best.yaml         what `segtune retrain` takes
    best/best.json         the same as JSON
    best/native.yaml       the same in the engine's own words, where it has any
    best/native/           the weights in the framework's own form, where it can write one
    best/metrics.json      every metric of that epoch
    best/classes.txt       class names, one a line, in the order of the model's outputs
    best/model_card.md     what the model is, what was measured, what it must not be used for
"""

import importlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError

from analysis.errors import BestConfigError, ExportError
from analysis.leaderboard import best_trial
from analysis.model_card import model_card
from search_spaces.names import nearest_name
from trainables.contract import ExportForm
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.keeping import KeptEpoch, finish_replacing, read_kept, replace_folder
from trainables.registry import engine_info, load_engine
from tune.files import write_json, write_text
from tune.spec import Spec
from tune.store import StudyDir, TrialRecord
from tune.study import TrainMetricsSpec

log = logging.getLogger(__name__)

BEST_FOLDER: Final = "best"
BEST_YAML: Final = "best.yaml"
BEST_JSON: Final = "best.json"
FORMAT: Final = 1


class Reached(Spec):
    """The objective a configuration reached.

    Attributes:
        metric: Its name.
        mode: Its direction.
        value: At `epoch`, on the validation part.
        epoch: 1-based.
    """

    metric: str
    mode: Literal["max", "min"] = "max"
    value: float
    epoch: PositiveInt


class TrainedOn(Spec):
    """The data set a configuration was tuned on.

    Attributes:
        path: Where it was.
        name: As `prepare` named it.
        fingerprint: Of its content.
    """

    path: Path
    name: str = ""
    fingerprint: str


class Source(Spec):
    """Where a configuration comes from.

    Attributes:
        study: Name of the study.
        trial: Its number, or None for a configuration that was written by hand.
        trials: How many trials it was the best of.
        retrained: Whether it was trained again since.
        segtune: Version that wrote it.
    """

    study: str
    trial: int | None = None
    trials: int = Field(1, ge=1)
    retrained: bool = False
    segtune: str = ""


class BestConfig(Spec):
    """Everything that is needed to train a configuration again.

    Attributes:
        format: Of the file.
        engine: Name in the registry.
        params: Every hyperparameter that was set, fixed and sampled ones.
        sampled: The keys of `params` that were sampled.
        epochs: Length of a full training.
        seed: Of the training.
        cpus: CPU threads of the training; another number may round differently. None: unknown.
        train_metrics: How the metrics of the training part are taken.
        objective: What it reached.
        data: What it was tuned on.
        classes: Class names, in the order of the model's outputs.
        metrics: Every metric of the best epoch.
        confidences: Metric group to the confidence at which its P, R and F1 were taken on the
            validation part; predictions below it are to be dropped.
        source: Where it comes from.
    """

    format: Literal[1] = FORMAT
    engine: str
    params: dict[str, Any]
    sampled: tuple[str, ...] = ()
    epochs: PositiveInt
    seed: int = 0
    cpus: PositiveInt | None = None
    train_metrics: TrainMetricsSpec = TrainMetricsSpec()
    objective: Reached
    data: TrainedOn
    classes: tuple[str, ...] = Field(min_length=1)
    metrics: dict[str, float] = Field(default_factory=dict)
    confidences: dict[str, float] = Field(default_factory=dict)
    source: Source


def own_version() -> str:
    """Version of segtune; "" where it runs from a folder and is not installed."""
    try:
        return version("segtune")
    except PackageNotFoundError:
        return ""


def confidences_in(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metric group of the validation part to the confidence at which it was taken."""
    groups = ("seg_metrics", "box_metrics")
    found = {group: metrics.get(f"{group}/confidence") for group in groups}
    return {group: value for group, value in found.items() if value is not None}


def to_yaml(config: BestConfig) -> str:
    """Text that `load_best` reads back as the same value."""
    values = config.model_dump(mode="json")
    header = (
        f"# Best configuration of the study {config.source.study}, written by segtune.\n"
        "# Train it again: segtune retrain best.yaml --data DATA --out FOLDER\n"
    )
    return header + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def load_best(path: Path) -> BestConfig:
    """Read a `best.yaml`, given as the file, its folder, or a study directory.

    Raises:
        BestConfigError: There is none, it cannot be read, or it is invalid; all problems at once.
        EngineError: Its engine is unknown here.
    """
    file = _best_file(path)
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it, got a file that "
            f"cannot be read: {error}"
        ) from error
    if not isinstance(content, dict):
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it (a mapping), got "
            f"{type(content).__name__}"
        )
    try:
        # by way of JSON, where a list may become a tuple and a text a path
        config = BestConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise BestConfigError(_problems(file, error, content)) from error
    return config.model_copy(update={"params": _checked_params(file, config)})


def export_best(study: StudyDir, to: Path | None = None) -> Path:
    """Write the best trial's model and configuration in every form.

    The folder appears as a whole: until then an earlier export stays. A form that cannot be
    written is logged and named in the model card; the others are there.

    Args:
        study: Finished or not.
        to: Folder to write; `best/` of the study directory by default.

    Raises:
        ExportError: There is no model yet, or `to` holds something else than an export.
    """
    trials = study.trials()
    trial = best_trial(trials, study.study.objective.mode)
    model = trial.best_model if trial else None
    if trial is None or model is None:
        raise ExportError(_why_nothing(study, trial, trials))
    kept = read_kept(model.parent, study.study.objective.metric)
    place = (to or study.path / BEST_FOLDER).absolute()
    check_replaceable(place)
    new = place.with_name(f"{place.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copyfile(model, new / "model.pt")
    config = config_of(study, trial, kept, len(trials))
    write_forms(config, new, _data(config))
    replace_folder(new, place)
    return place


def config_of(
    study: StudyDir, trial: TrialRecord, kept: KeptEpoch | None, n_trials: int
) -> BestConfig:
    """A trial of a study as a configuration to be trained again.

    Args:
        study: The trial's.
        trial: With an objective.
        kept: The epoch whose weights are at hand; the trial's best one if None.
        n_trials: How many trials it was the best of.
    """
    if kept is None:
        assert trial.best_epoch is not None
        assert trial.objective is not None
        values = {k: v for k, v in trial.best_metrics.items() if k not in ("epoch", "elapsed_s")}
        kept = KeptEpoch(trial.best_epoch, trial.objective, values)
    if kept.epoch != trial.best_epoch:
        log.warning(
            "trial %d: its best epoch is %s, the kept weights are of epoch %d and are exported "
            "with the metrics of that epoch",
            trial.number,
            trial.best_epoch,
            kept.epoch,
        )
    resolved, objective = study.resolved, study.study.objective
    return BestConfig(
        engine=resolved["engine"],
        params={**trial.fixed, **trial.params},
        sampled=tuple(trial.params),
        epochs=resolved["epochs"],
        seed=trial.seed,
        cpus=resolved.get("cpus_per_trial"),
        train_metrics=study.study.train_metrics,
        objective=Reached(
            metric=objective.metric, mode=objective.mode, value=kept.value, epoch=kept.epoch
        ),
        data=TrainedOn(
            path=Path(resolved["data"]),
            name=resolved.get("data_name", ""),
            fingerprint=resolved["fingerprint"],
        ),
        classes=tuple(resolved["classes"]),
        metrics=dict(kept.values),
        confidences=confidences_in(kept.values),
        source=Source(
            study=resolved["study"],
            trial=trial.number,
            trials=n_trials,
            segtune=own_version(),
        ),
    )


def write_forms(
    config: BestConfig,
    folder: Path,
    data: PreparedDataset | None,
    test: Mapping[str, float] | None = None,
) -> None:
    """Write everything of `best/` but the weights, which are there, into `folder`.

    Args:
        config: What to write.
        folder: Holds `model.pt`.
        data: What the model was trained on, if it is at hand.
        test: Metrics of the test part, for the model card.
    """
    write_text(folder / BEST_YAML, to_yaml(config))
    write_json(folder / "metrics.json", metrics_file(config))
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in config.classes))
    forms = Forms(_native_config(config, folder), _native_weights(config, folder))
    write_text(folder / "model_card.md", model_card(config, data, test, forms.problems))
    write_json(folder / BEST_JSON, config.model_dump(mode="json"))


def metrics_file(config: BestConfig) -> dict[str, Any]:
    """`metrics.json`: the best epoch's metrics, of which part they are, at which confidence."""
    return {
        "epoch": config.objective.epoch,
        "metric": config.objective.metric,
        "mode": config.objective.mode,
        "part": "val",
        "values": config.metrics,
        "confidences": config.confidences,
    }


@dataclass(frozen=True)
class Forms:
    """Why a form is missing, or ""."""

    native_config: str
    native_weights: str

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be written."""
        return tuple(why for why in (self.native_config, self.native_weights) if why)


def check_replaceable(place: Path) -> None:
    """Refuse to write an export over something that is none.

    Raises:
        ExportError: `place` exists and is neither empty nor an earlier export.
    """
    finish_replacing(place, BEST_JSON)
    if place.is_dir() and (not any(place.iterdir()) or (place / BEST_YAML).is_file()):
        return
    if place.exists():
        kind = "a folder with other files" if place.is_dir() else "a file"
        raise ExportError(
            f"{place}: expected a new folder or an earlier export, got {kind}; choose another "
            "with --to"
        )


def _native_config(config: BestConfig, folder: Path) -> str:
    """Write `native.yaml` if the engine has words of its own; returns why it could not."""
    params = importlib.import_module(engine_info(config.engine).params.__module__)
    native = getattr(params, "native_config", None)
    if native is None:
        return ""
    try:
        values = native(config.params)
    except ValueError as error:
        return _missing("native.yaml", error)
    header = (
        f"# {config.source.study}, trial {config.source.trial}: hyperparameters in the words of "
        f"{config.engine}'s framework.\n"
        f"# Not in here: the data set, {config.epochs} epochs, seed {config.seed}.\n"
    )
    write_text(folder / "native.yaml", header + yaml.safe_dump(dict(values), sort_keys=False))
    return ""


def _native_weights(config: BestConfig, folder: Path) -> str:
    """Write `native/`; returns why it could not."""
    try:
        load_engine(config.engine).export(folder / "model.pt", folder / "native", ExportForm.NATIVE)
    except Exception as error:  # noqa: BLE001  any framework's trouble: the other forms are whole
        shutil.rmtree(folder / "native", ignore_errors=True)
        return _missing("native weights", error)
    return ""


def _missing(what: str, error: Exception) -> str:
    why = f"{what} could not be written: {type(error).__name__}: {error}"
    log.warning("%s", why)
    return why


def _data(config: BestConfig) -> PreparedDataset | None:
    try:
        data = PreparedDataset.load(config.data.path)
    except DatasetError:
        return None
    return data if data.fingerprint == config.data.fingerprint else None


def _why_nothing(
    study: StudyDir, trial: TrialRecord | None, trials: tuple[TrialRecord, ...]
) -> str:
    if trial is not None:
        return (
            f"{study.path}: expected the model of trial {trial.number}'s best epoch in "
            f"{trial.directory}, got none; it was deleted, or its engine keeps no checkpoint"
        )
    failed = [t for t in trials if t.state == "failed"]
    last = f"; the last failure: {failed[-1].message}" if failed else ""
    return (
        f"{study.path}: expected a trial with a value of {study.study.objective.metric}, got "
        f"{len(trials)} trials without one ({len(failed)} failed){last}"
    )


def _best_file(path: Path) -> Path:
    candidates = [path, path / BEST_YAML, path / BEST_FOLDER / BEST_YAML]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if found:
        return found[0]
    if (path / "study.yaml").is_file():
        raise BestConfigError(
            f"{path}: this study has no {BEST_FOLDER}/{BEST_YAML} yet; run `segtune export {path}`"
        )
    near = sorted(path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    hint = f"; did you mean {near[0]}?" if near else ""
    raise BestConfigError(f"{path}: expected a {BEST_YAML} or a folder with one, got none{hint}")


def _problems(file: Path, error: ValidationError, content: Mapping[str, Any]) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = nearest_name(str(problem["loc"][-1]), _fields_at(problem["loc"][:-1]))
            lines.append(f"{key}: unknown key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: expected this key, got none")
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    noun = "problem" if len(lines) == 1 else "problems"
    return "\n".join([f"{file}: {len(lines)} {noun}", *(f"  {line}" for line in lines)])


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    fields: type[Spec] = BestConfig
    for name in place:
        found = fields.model_fields.get(str(name))
        kind = found.annotation if found else None
        if not (isinstance(kind, type) and issubclass(kind, Spec)):
            return []
        fields = kind
    return list(fields.model_fields)


def _checked_params(file: Path, config: BestConfig) -> dict[str, Any]:
    """The hyperparameters as their engine reads them ("1e-5", a text in YAML 1.1, is a number).

    Raises:
        BestConfigError: The engine refuses some of them.
    """
    schema = engine_info(config.engine).params
    try:
        read = schema.model_validate(config.params)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = str(problem["loc"][0]) if problem["loc"] else "params"
            hint = nearest_name(key, schema.model_fields) if key not in schema.model_fields else ""
            lines.append(f"  params.{key}: {problem['msg']}, got {problem['input']!r}{hint}")
        raise BestConfigError("\n".join([f"{file}: {len(lines)} problem(s)", *lines])) from error
    return {key: getattr(read, key) for key in config.params}
