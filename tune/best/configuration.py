"""The best configuration as a value and as `best.yaml`, which reads back as the same value."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError

from search_spaces.names import nearest_name
from trainables.goal import Goal
from trainables.metrics.names import GROUPS, PARTICLE_GROUP
from trainables.registry import EngineError, engine_info
from tune.errors import BestConfigError
from tune.spec import Spec
from tune.study.study import Bound, TrainMetricsSpec, limits_of

BEST_FOLDER: Final = "best"

BEST_YAML: Final = "best.yaml"

FORMAT: Final = 1


class Reached(Spec):
    """The objective a configuration reached.

    Attributes:
        metric: Its name.
        mode: Its direction.
        value: At `epoch`, on the validation part; None before it was ever trained.
        epoch: 1-based.
        constraints: Bounds that the kept epoch was to keep.
    """

    metric: str
    mode: Literal["max", "min"] = "max"
    value: float | None = None
    epoch: PositiveInt | None = None
    constraints: dict[str, Bound] = Field(default_factory=dict)

    @property
    def goal(self) -> Goal:
        """Metric, direction and constraints as a training is held to them."""
        return Goal(self.metric, self.mode, limits_of(self.constraints))


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
        notes: What a user of the model must know of its training.
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
    notes: tuple[str, ...] = ()


def own_version() -> str:
    """Version of segtune; "" where it runs from a folder and is not installed."""
    try:
        return version("segtune")
    except PackageNotFoundError:
        return ""


def confidences_in(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metric group of the validation part to the confidence at which it was taken."""
    found = {group: metrics.get(f"{group}/confidence") for group in (*GROUPS, PARTICLE_GROUP)}
    return {group: value for group, value in found.items() if value is not None}


def nothing_learnt(metric: str, mode: Literal["max", "min"], value: float, epochs: int) -> str:
    """What to do about a training that reached nothing; "" for one that learnt."""
    if mode == "min" or value > 0:
        return ""
    length = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    return (
        f"nothing was learnt: {metric} is {value:.4f} on the validation part in a training of "
        f"{length}. Look at contact_train.png of the data set first (are the particles outlined?); "
        "then train longer (--epochs), begin from pre-trained weights, or tune a study of more "
        "learning rates and image sizes"
    )


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
    if {"trainable", "budget"} <= set(content):
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it, got a study file; "
            f"`segtune tune {file}` runs it"
        )
    try:
        # by way of JSON, where a list may become a tuple and a text a path
        config = BestConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise BestConfigError(_problems(file, error, content)) from error
    return config.model_copy(update={"params": checked_params(file, config.engine, config.params)})


def _best_file(path: Path) -> Path:
    candidates = [path, path / BEST_YAML, path / BEST_FOLDER / BEST_YAML]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if found:
        return found[0]
    if (path / "study.yaml").is_file():
        raise BestConfigError(
            f"{path}: this study has no {BEST_FOLDER}/{BEST_YAML} yet: run `segtune export "
            f"{path}`, or name the {BEST_YAML} that was exported to another folder"
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


def checked_params(file: Path, engine: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as their engine reads them ("1e-5", a text in YAML 1.1, is a number).

    Args:
        file: They are from, or belong to.
        engine: Name in the registry.
        params: To read.

    Raises:
        BestConfigError: The engine refuses some of them, or there is no such engine.
    """
    try:
        schema = engine_info(engine).params
    except EngineError as error:
        raise BestConfigError(
            f"{file}: engine: {str(error).removeprefix('trainable: ')}"
        ) from error
    try:
        read = schema.model_validate(dict(params))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = str(problem["loc"][0]) if problem["loc"] else "params"
            hint = nearest_name(key, schema.model_fields) if key not in schema.model_fields else ""
            lines.append(f"  params.{key}: {problem['msg']}, got {problem['input']!r}{hint}")
        noun = "problem" if len(lines) == 1 else "problems"
        raise BestConfigError("\n".join([f"{file}: {len(lines)} {noun}", *lines])) from error
    return {key: getattr(read, key) for key in params}
