"""Common training hyperparameters by task: classification, detection, segmentation, regression."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import Field, ValidationError, model_validator

from search_spaces.training import (
    LOSS,
    BatchSize,
    Dropout,
    LearningRate,
    LoopParams,
    Optimizer,
    Patience,
    Scheduler,
    WarmupEpochs,
    WeightDecay,
)

Task = Literal[
    "classification",
    "anomaly",
    "detection",
    "oriented_detection",
    "instance_segmentation",
    "segmentation",
    "regression",
]

MaxEpochs = Annotated[int, Field(ge=1, le=1000, description="length of the training")]


class TrainingParams(LoopParams):
    """Hyperparameters of one training, its length included."""

    early_stopping_patience: Patience = 10
    max_epochs: MaxEpochs = 50

    @model_validator(mode="after")
    def _fits_into_its_length(self) -> Self:
        problems = self.length_problems(self.model_dump(), self.max_epochs)
        if problems:
            raise ValueError("; ".join(f"{key}: {message}" for key, message in problems))
        return self


class ClassificationTraining(TrainingParams):
    """Training of a model that says a class, or an anomaly, of each image."""

    loss: Literal["cross_entropy", "focal", "label_smoothing"] = Field(
        "cross_entropy", description=LOSS
    )


class DetectionTraining(TrainingParams):
    """Training of a model that finds boxes, turned boxes or instances."""

    optimizer: Optimizer = "sgd"
    learning_rate: LearningRate = 0.005
    weight_decay: WeightDecay = 0.0005
    scheduler: Scheduler = "step"
    warmup_epochs: WarmupEpochs = 0
    batch_size: BatchSize = 8
    early_stopping_patience: Patience = 15
    loss: Literal["default"] = Field("default", description="the sum of the model's own losses")
    dropout: Dropout = 0.0

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys without effect in this loop; `dropout` is one, as detectors have none."""
        reasons = super().without_effect(params)
        return reasons | ({"dropout": "detectors have none"} if "dropout" in params else {})


class SegmentationTraining(TrainingParams):
    """Training of a model that says a class of each pixel."""

    optimizer: Optimizer = "sgd"
    learning_rate: LearningRate = 0.01
    scheduler: Scheduler = "poly"
    warmup_epochs: WarmupEpochs = 0
    batch_size: BatchSize = 8
    max_epochs: MaxEpochs = 60
    early_stopping_patience: Patience = 15
    loss: Literal["cross_entropy", "dice", "ce_dice", "focal", "bce", "tversky", "focal_dice"] = (
        Field("ce_dice", description=LOSS)
    )
    dropout: Dropout = 0.0


class RegressionTraining(TrainingParams):
    """Training of a model that says numbers of each image."""

    warmup_epochs: WarmupEpochs = 0
    loss: Literal["mse", "l1", "huber"] = Field("mse", description=LOSS)


TRAININGS: Final[Mapping[Task, type[TrainingParams]]] = {
    "classification": ClassificationTraining,
    "anomaly": ClassificationTraining,
    "detection": DetectionTraining,
    "oriented_detection": DetectionTraining,
    "instance_segmentation": DetectionTraining,
    "segmentation": SegmentationTraining,
    "regression": RegressionTraining,
}
"""The schema of each task: its defaults, and no losses but its own."""

Params = TypeVar("Params", bound=LoopParams)


def losses(schema: type[LoopParams]) -> tuple[str, ...]:
    """The losses that a schema offers.

    >>> losses(RegressionTraining)
    ('mse', 'l1', 'huber')
    """
    return get_args(schema.model_fields["loss"].annotation)


def relevant_fields(params: LoopParams) -> tuple[str, ...]:
    """The fields to be shown beside these values, in their order: those that have an effect.

    >>> [key for key in relevant_fields(RegressionTraining()) if key in {"momentum", "gamma"}]
    []
    """
    values = params.model_dump()
    idle = params.without_effect(values)
    return tuple(key for key in values if key not in idle)


def edited_fields(params: LoopParams) -> dict[str, Any]:
    """The values that differ from the schema's defaults, or were given although they do not."""
    return params.model_dump(include=params.model_fields_set)


def refill(params: LoopParams, schema: type[Params]) -> Params:
    """Refill a form for another architecture: edited fields stay, the others get its defaults.

    A field that the other schema does not have, or a value it does not offer (a loss of another
    task), is filled again too.

    Raises:
        pydantic.ValidationError: Edited fields contradict the other architecture's defaults.
    """
    edited = edited_fields(params).items()
    return schema.model_validate(
        {key: value for key, value in edited if _offers(schema, key, value)}
    )


def _offers(schema: type[LoopParams], key: str, value: Any) -> bool:
    try:
        schema.model_validate({key: value})
    except ValidationError as error:
        return all(not entry["loc"] for entry in error.errors())  # of several fields: kept, told
    return True
