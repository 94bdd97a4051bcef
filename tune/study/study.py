"""The keys of a study file as types; each value is checked for itself when one is made."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from cluster.storage.opening import SCHEME
from trainables.goal import Goal, Limit
from trainables.metrics.names import direction, normal_name
from trainables.registry import EngineError, engine_info
from tune.spec import Spec
from tune.stopping.asha import Asha, Scheduler
from tune.stopping.plateau import NoPlateau, Plateau, Slope
from tune.study.file import SHORTHAND
from tune.study.schema import completed
from tune.study.space import DEFAULT

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_KEY: Final = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL.pattern}")

_SHARE_TOLERANCE: Final = 0.005  # 0.33 is meant as a third


def _study_name(name: str) -> str:
    """Refuse a name that is no plain folder name."""
    if _NAME.fullmatch(name) and ".." not in name:
        return name
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:100]
    hint = f"; the nearest is {near}" if near else ""
    raise ValueError(
        "expected a folder name of 1 to 100 letters (a-z), digits, - _ or . that begins with a "
        f"letter or digit, got {name!r}{hint}"
    )


def _local(path: Any) -> Any:
    """An absolute path; refuses an address such as gs://bucket."""
    if not isinstance(path, str | Path):
        return path
    if "://" in str(path) or not str(path) or not _can_name_a_file(str(path)):
        raise ValueError(f"expected a local folder, got {str(path)!r}")
    return Path(path).absolute()


def _place_of_data(place: Any) -> Path | str:
    """The address of a bucket's folder as it is; of anything else an absolute path."""
    if not isinstance(place, str | Path):
        raise ValueError(f"expected a folder or gs://BUCKET/FOLDER, got {place!r}")
    if isinstance(place, str) and "://" in place and not place.startswith(SCHEME):
        raise ValueError(f"expected a folder or gs://BUCKET/FOLDER, got {place!r}")
    if not isinstance(place, str) or not place.startswith(SCHEME):
        return Path(_local(place))
    bucket, _, folder = place.removeprefix(SCHEME).rstrip("/").partition("/")
    if not bucket or not folder:
        raise ValueError(f"expected gs://BUCKET/FOLDER, got {place}")
    return place.rstrip("/")


def _can_name_a_file(path: str) -> bool:
    """Tell whether a text holds only characters that paths may have."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _gpu_share(share: float | str) -> float | str:
    """Snap to 0, 1/n or a whole number of GPUs."""
    if isinstance(share, str) or share == 0 or (share >= 1 and float(share).is_integer()):
        return share
    near = 1 / max(1, round(1 / share)) if 0 < share < 1 else max(0.0, float(round(share)))
    if share < 0 or abs(near - share) > _SHARE_TOLERANCE:
        text = f"1/{round(1 / near)} ({near:.4g})" if 0 < near < 1 else f"{near:g}"
        raise ValueError(
            "expected auto, 0, 1/n of a GPU (1, 0.5, 0.333, 0.25, ...) or a whole number of GPUs, "
            f"got {share!r}; the nearest is {text}"
        )
    return near


def _mapping_with(key: str, default: str) -> BeforeValidator:
    """Accept `name` for `{key: name}`, and a mapping without `key` for the default's."""

    def expand(value: Any) -> Any:
        if isinstance(value, str):
            return {key: value}
        if isinstance(value, Mapping) and key not in value:
            return {key: default, **value}
        return value

    return BeforeValidator(expand)


MetricName = Annotated[str, AfterValidator(normal_name)]

Folder = Annotated[Path, Field(strict=False), BeforeValidator(_local)]

DataPlace = Annotated[
    Path | str,
    PlainValidator(_place_of_data),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""Place of a data set: an absolute folder, or gs://BUCKET/FOLDER as a text."""


class Budget(Spec):
    """Trials, epochs and hours that a study may spend."""

    trials: PositiveInt = Field(description="configurations to try")
    epochs: PositiveInt = Field(description="epochs of a trial that is never stopped")
    hours: PositiveFloat | None = Field(None, description="wall-clock limit of the whole study")


class Bound(Spec):
    """Bounds that a metric must keep."""

    at_most: float | None = Field(None, description="largest value that is kept")
    at_least: float | None = Field(None, description="smallest value that is kept")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("expected at_most or at_least, got neither")
        if None not in (self.at_most, self.at_least) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(
                f"expected at_least up to at_most, got at_least {self.at_least:g} and at_most "
                f"{self.at_most:g}"
            )
        return self


def limits_of(constraints: Mapping[str, Bound]) -> tuple[Limit, ...]:
    """Limits that a trial is held to, from the constraints of a study."""
    return tuple(
        Limit(metric, bound.at_most, bound.at_least) for metric, bound in constraints.items()
    )


class Objective(Spec):
    """The metric that is tuned, its direction, and the limits on other metrics."""

    metric: MetricName = Field(
        description="a validation metric, such as seg_metrics/F1 or measure/size_distance, or a "
        "loss; Ultralytics' names, such as metrics/F1(M), are understood"
    )
    mode: Literal["max", "min"] = Field(
        default_factory=lambda parts: direction(parts.get("metric", "")),
        description="whether larger or smaller is better; default: as the metric is",
    )
    constraints: dict[MetricName, Bound] = Field(
        default_factory=dict,
        description="metrics with bounds, such as measure/count_error: {at_most: 0.1}; what keeps "
        "them is better than what does not",
    )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Limits that a trial is held to, from the constraints."""
        return limits_of(self.constraints)

    @property
    def goal(self) -> Goal:
        """Objective and bounds together, by which epochs and trials are compared."""
        return Goal(self.metric, self.mode, self.limits)


class TrainMetricsSpec(Spec):
    """Measuring of the training part: every how many epochs, on how many pictures."""

    every: Annotated[int, Field(ge=0)] = Field(
        1, description="every how many epochs; 0 switches them off"
    )
    images: Literal["auto"] | PositiveInt = Field(
        "auto", description="size of the fixed subset; auto keeps it within 15 % of an epoch"
    )


class Resources(Spec):
    """Number of trials at once, and processors that each of them gets."""

    concurrent: PositiveInt = Field(1, description="trials at once")
    cpus_per_trial: Literal["auto"] | PositiveInt = Field(
        "auto", description="CPU cores a trial; auto shares those of the machine"
    )
    gpus_per_trial: Literal["auto"] | float = Field(
        "auto", description="0, 1/n of a GPU, or whole GPUs; auto shares those that are there"
    )

    max_gpus: PositiveInt | None = Field(
        None, description="most GPUs of a cluster that the study takes; default: any number"
    )
    shares: Literal["fixed", "rungs"] = Field(
        "fixed",
        description="rungs: trials get more of a GPU, or more CPU cores, with each rung that they "
        "pass, and as others drop away",
    )
    weight: PositiveFloat = Field(
        1.0,
        description="part of a cluster's GPUs, beside the other studies' weights, where all wait",
    )
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="labels of the nodes to train on, such as {ray.io/market-type: spot}",
    )

    @field_validator("gpus_per_trial", mode="after")
    @classmethod
    def _a_share(cls, share: float | str) -> float | str:
        return _gpu_share(share)

    @field_validator("labels", mode="after")
    @classmethod
    def _plain_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL.fullmatch(value)):
                raise ValueError(
                    "expected labels as a node has them (letters, digits, -, _ and .), such as "
                    f"ray.io/market-type: spot, got {key}: {value}"
                )
        return labels

    @field_validator("max_gpus", mode="after")
    @classmethod
    def _enough_for_a_trial(cls, most: int | None, info: ValidationInfo) -> int | None:
        share = info.data.get("gpus_per_trial", "auto")
        if most is not None and share != "auto" and share > most:
            raise ValueError(
                f"expected at least gpus_per_trial = {share:g}, got {most}; the nearest is "
                f"{share:g}"
            )
        return most


class Wandb(Spec):
    """Tracking in Weights & Biases."""

    project: str | None = Field(None, description="W&B project; default: segtune")
    mode: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto: online with a key and a network, else offline"
    )
    entity: str | None = Field(None, description="W&B team or user")


class Tracking(Spec):
    """Services besides the study directory that are told about each epoch."""

    wandb: Wandb = Field(default_factory=Wandb)


class WarmStart(Spec):
    """Configurations to try first."""

    points: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] | None = Field(
        None,
        description="configurations to try first; partial ones are completed; default: the "
        "preset's; [] for none",
    )
    best: bool = Field(
        False, description="try the best configuration known for the data set before them"
    )


class Price(Spec):
    """Price of an hour of a GPU, with what belongs to it; of the machine where no trial has a GPU.

    Attributes:
        hour: The price, where there is but one.
        spot: Price of a machine that may be taken back.
        on_demand: Price of one that stays.
        currency: Word that stands behind an amount.
    """

    hour: PositiveFloat | None = Field(None, description="the price, where there is but one")
    spot: PositiveFloat | None = Field(None, description="of a machine that may be taken back")
    on_demand: PositiveFloat | None = Field(None, description="of a machine that stays")
    currency: Annotated[str, Field(min_length=1, max_length=12)] = Field(
        "USD", description="the word behind an amount"
    )

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        both = self.spot is not None or self.on_demand is not None
        if (self.hour is None) is not both:
            got = "all of them" if both else "none of them"
            raise ValueError(f"expected hour, or spot and on_demand, got {got}")
        return self


def _hourly(price: Any) -> Any:
    """A price that is one number, as a mapping."""
    number = isinstance(price, int | float) and not isinstance(price, bool)
    return {"hour": price} if number else price


class Mirror(Spec):
    """A place that a study is shipped to while it runs, and goes on from elsewhere.

    Attributes:
        place: gs://BUCKET/FOLDER, or a folder that other machines see.
        alone_minutes: How long the study goes on while the place cannot be written.
        best: How many ended trials keep their models there.
        lease_seconds: Time after which another driver may take over from one that is gone.
        every_seconds: Age at which what is written is shipped.
    """

    place: str = Field(
        description="gs://BUCKET/FOLDER, or a folder that others see; the study is below it"
    )
    alone_minutes: Annotated[float, Field(ge=0)] = Field(
        30.0, description="how long the study goes on while it cannot be reached"
    )
    best: Annotated[int, Field(ge=1)] = Field(
        10, description="how many ended trials keep their models there"
    )
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        30.0, description="after which another driver may take over from one that is gone"
    )
    every_seconds: Annotated[float, Field(ge=0.2, le=600)] = Field(
        5.0, description="age at which what is written is shipped"
    )

    @field_validator("place", mode="after")
    @classmethod
    def _a_place(cls, place: str) -> str:
        if place.startswith("gs://"):
            if not place.removeprefix("gs://").partition("/")[0]:
                raise ValueError(f"expected gs://BUCKET/FOLDER, got {place}")
            return place.rstrip("/")
        if "://" in place or not _can_name_a_file(place) or not Path(place).is_absolute():
            raise ValueError(f"expected gs://BUCKET/FOLDER or an absolute folder, got {place!r}")
        return place.rstrip("/")


def _placed(mirror: Any) -> Any:
    """A mirror that is a place alone, as a mapping."""
    return {"place": mirror} if isinstance(mirror, str) else mirror


class Study(Spec):
    """One optimisation of one engine on one data set.

    Attributes:
        study: Name of the study, and of its directory <storage>/<study>.
        data: Absolute folder of the prepared data set, or gs://BUCKET/FOLDER.
        search_space: A preset's name, a preset with replaced keys, or a space; see
            `tune.study.space`.
        storage: Absolute folder of the study directories.
        seed: The one seed; each trial's is derived from it and the trial's number.
    """

    study: Annotated[str, AfterValidator(_study_name)] = Field(
        description="name of the study and of its folder below `storage`"
    )
    data: DataPlace = Field(
        description="folder of a prepared data set (segtune prepare), or gs://BUCKET/FOLDER"
    )
    trainable: str = Field(description="the engine: what is trained")
    budget: Budget = Field(description="what the study may spend")
    fixed: dict[str, Any] = Field(
        default_factory=dict, description="hyperparameters that are not searched"
    )
    search_space: str | dict[str, Any] = Field(
        DEFAULT,
        description="a preset; or {preset: NAME, KEY: DOMAIN, ...} to replace keys of it (null "
        "drops a key); or {KEY: DOMAIN, ...}",
    )
    search: Literal["tpe", "random", "grid", "race"] = Field(
        "tpe",
        description="how configurations are proposed; grid needs finite domains; race trains the "
        "points of warm_start with several seeds each (segtune confirm)",
    )
    objective: Objective = Field(description="what is tuned; default: the engine's")
    warm_start: WarmStart = Field(default_factory=WarmStart)
    scheduler: Annotated[Scheduler, _mapping_with(SHORTHAND["scheduler"], "asha")] = Field(
        default_factory=Asha, description="which trials are stopped early"
    )
    plateau: Annotated[Plateau, _mapping_with(SHORTHAND["plateau"], "slope")] = Field(
        default_factory=Slope, description="when a trial has converged"
    )
    train_metrics: TrainMetricsSpec = Field(default_factory=TrainMetricsSpec)
    resources: Resources = Field(default_factory=Resources)
    tracking: Tracking = Field(default_factory=Tracking)
    price: Annotated[Price | None, BeforeValidator(_hourly)] = Field(
        None,
        description="price of an hour of a GPU (of the machine where no trial has one): a number, "
        "or {spot: X, on_demand: Y, currency: EUR}; plan, status and report then say its cost",
    )
    storage: Folder = Field(
        Path("studies"), validate_default=True, description="folder of the study directories"
    )
    mirror: Annotated[Mirror | None, BeforeValidator(_placed)] = Field(
        None,
        description="gs://BUCKET/FOLDER that the study is shipped to while it runs, and can go on "
        "from on any machine; or {place: gs://BUCKET/FOLDER, alone_minutes: 30, ...}",
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of everything random")

    @model_validator(mode="before")
    @classmethod
    def _with_objective(cls, written: Any) -> Any:
        """Fill in the engine's own objective."""
        if not isinstance(written, Mapping):
            return written
        objective = written.get("objective", {})
        if not isinstance(objective, Mapping) or "metric" in objective:
            return written
        metric = _own_objective(written.get("trainable"))
        return {**written, "objective": {"metric": metric, **objective}}

    @field_validator("plateau", mode="after")
    @classmethod
    def _watches_a_metric(cls, plateau: Plateau) -> Plateau:
        if isinstance(plateau, NoPlateau) or plateau.metric is None:
            return plateau
        return plateau.model_copy(update={"metric": normal_name(plateau.metric)})


def _own_objective(trainable: Any) -> str:
    try:
        return engine_info(str(trainable)).objective
    except EngineError:
        return "seg_metrics/F1"


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study file, for editors: engines, presets and their keys included."""
    return completed(Study.model_json_schema())
