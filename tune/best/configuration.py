"""The best configuration as a value, and its hyperparameters as their engine reads them today."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, PositiveInt, ValidationError

from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal, Standing
from trainables.metrics.names import GROUPS, PARTICLE_GROUP
from tune.spec import Spec
from tune.study.allowed import validation_problems
from tune.study.problems import Problem
from tune.study.study import Bound, DataPlace, TrainMetricsSpec, limits_of

BEST_FOLDER: Final = "best"

BEST_YAML: Final = "best.yaml"

FORMAT: Final = 1


class Reached(Spec):
    """The objective a configuration reached.

    Attributes:
        metric: Name of the objective.
        mode: Better direction of the objective.
        value: Objective at `epoch`, on the validation part; None before any training.
        epoch: Epoch of the value, 1-based.
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

    def __str__(self) -> str:
        return f"{self.metric} {'-' if self.value is None else f'{self.value:.4f}'}"


class TrainedOn(Spec):
    """The data set a configuration was tuned on.

    Attributes:
        path: Folder of the data set, at that time, or its address as a text.
        name: Name that `prepare` gave it.
        fingerprint: Fingerprint of its content.
        val_objects: Number of true objects of its validation part, on which confidences were
            chosen; None where nobody wrote it down.
        picture_px: Longer side of its median training picture, px; None where nobody wrote it down.
    """

    path: DataPlace
    name: str = ""
    fingerprint: str
    val_objects: int | None = None
    picture_px: int | None = None


def trained_on(data: PreparedDataset, place: Path | str | None = None) -> TrainedOn:
    """A data set as a configuration remembers it.

    Args:
        data: The data set.
        place: Where it was named; default: its folder.
    """
    return TrainedOn(
        path=data.root if place is None else place,
        name=data.name,
        fingerprint=data.fingerprint,
        val_objects=data.n_objects("val"),
        picture_px=data.picture_px,
    )


class ConfigOrigin(Spec):
    """The study and trial that a configuration comes from.

    Attributes:
        study: Name of the study.
        trial: Number of the trial, or None for a configuration that was written by hand.
        trials: Number of trials it was the best of.
        retrained: Whether it was trained again since.
        segtune: Version that wrote it.
    """

    study: str
    trial: int | None = None
    trials: int = Field(1, ge=1)
    retrained: bool = False
    segtune: str = ""

    def __str__(self) -> str:
        again = ", retrained" if self.retrained else ""
        return f"{self.study}{again}{'' if self.trial is None else f', trial {self.trial}'}"


class InStore(Spec):
    """The place of a configuration in a best-config store.

    Attributes:
        backbone: Backbone as `backbone_of` names it; "" where the engine has but one.
        recorded: Time at which it was put into the store, ISO 8601; "" for one that never was.
    """

    backbone: str = ""
    recorded: str = ""


class Confirmed(Spec):
    """What a race with fresh seeds said of a configuration.

    Attributes:
        mean: Mean objective of its trainings.
        spread: Standard deviation of single trainings, pooled over the race.
        seeds: Number of its trainings.
        alike: Number of configurations that could not be told apart, itself included.
    """

    mean: float
    spread: float
    seeds: PositiveInt
    alike: PositiveInt = 1


class BestConfig(Spec):
    """Everything that is needed to train a configuration again.

    Attributes:
        format: Version of the file's format.
        engine: Name of the engine in the registry.
        params: Every hyperparameter that was set, fixed and sampled ones.
        sampled: The keys of `params` that were sampled.
        epochs: Length of a full training.
        seed: Seed of the training.
        cpus: CPU threads of the training; another number may round differently. None: unknown.
        train_metrics: Interval and size of the measurement of the training part.
        objective: The objective it reached.
        data: The data set it was tuned on.
        classes: Class names, in the order of the model's outputs; empty where they are unknown,
            as stores of segtune 0.1 kept none.
        metrics: Every metric of the best epoch.
        confidences: Metric group to the confidence at which its P, R and F1 were taken on the
            validation part; predictions below it are to be dropped.
        source: The study and trial it comes from.
        notes: Sentences that a user of the model must know of its training.
        confirmed: What `segtune confirm` said of it; None for one that was not confirmed.
        kept: Place in the best-config store it was read from; not part of a `best.yaml`.
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
    classes: tuple[str, ...]
    metrics: dict[str, float] = Field(default_factory=dict)
    confidences: dict[str, float] = Field(default_factory=dict)
    source: ConfigOrigin
    notes: tuple[str, ...] = ()
    confirmed: Confirmed | None = None
    kept: InStore = InStore()

    @property
    def told(self) -> str:
        """The objective it reached, its study and trial, and the day of recording, for a reader."""
        when = f", {self.kept.recorded[:10]}" if self.kept.recorded else ""
        by = self.confirmed
        sure = "" if by is None else f", confirmed as {by.mean:.4f} over {by.seeds} seeds"
        return f"{self.objective} ({self.source}{when}{sure})"

    def standing(self, goal: Goal) -> Standing:
        """The standing of its best epoch by a goal."""
        return goal.standing_of(self.objective.value, goal.excess(self.metrics).values())

    def plain(self) -> dict[str, Any]:
        """Plain data for a file: the whole value without its place in a store."""
        counted = {"val_objects": self.data.val_objects, "picture_px": self.data.picture_px}
        unknown = {key for key, value in counted.items() if value is None}
        without: dict[str, Any] = {"kept": True, "data": unknown}
        if self.confirmed is None:  # earlier versions do not know the key
            without["confirmed"] = True
        return self.model_dump(mode="json", exclude=without)


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


def nothing_learnt(goal: Goal, value: float, epochs: int) -> str:
    """Advice on a training that reached nothing; "" for one that learnt.

    Args:
        goal: Goal of the training.
        value: Objective that it reached.
        epochs: Length of the training.
    """
    if goal.mode == "min" or value > 0:
        return ""
    length = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    return (
        f"nothing was learnt: {goal.metric} is {value:.4f} on the validation part in a training of "
        f"{length}. Look at contact_train.png of the data set first (are the particles outlined?); "
        "then train longer (--epochs), begin from pre-trained weights, or tune a study of more "
        "learning rates and image sizes"
    )


# --- hyperparameters of an earlier version


def outdated_params(info: EngineInfo, params: Mapping[str, Any]) -> list[Problem]:
    """Hyperparameters that an engine refuses today, each with what is allowed and the nearest key.

    Args:
        info: The engine.
        params: As an earlier version of it may have trained with.
    """
    try:
        info.params.model_validate(dict(params))
    except ValidationError as error:
        return validation_problems(error, info.params)
    return []


def params_as_read(info: EngineInfo, params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as their engine reads them ("1e-5", a text in YAML 1.1, is a number).

    Those of an earlier version, where the engine refuses some today, are left as they stand.
    """
    try:
        read = info.params.model_validate(dict(params))
    except ValidationError:
        return dict(params)
    return {key: getattr(read, key) for key in params}


def param_of(info: EngineInfo, params: Mapping[str, Any], key: str) -> Any:
    """The value of one hyperparameter: as it was set, else the engine's default of today.

    None where neither is known. Nothing is checked, so that it serves models of earlier versions.
    """
    fields = info.params.model_fields
    return params.get(key, fields[key].default if key in fields else None)
