"""Hyperparameters of the training loops that are ours: one schema, its defaults for each task.

An engine with a loop of ours extends `LoopParams`; the length of its training is the study's
(`budget.epochs`). `TrainingParams` has a length of its own, as a record of one training needs it.
A default is that of the task; a default that is changed keeps its bounds::

    class MyParams(LoopParams):
        learning_rate: LearningRate = 0.002
        loss: Literal["bce", "dice"] = Field("bce", description=LOSS)
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from search_spaces.schema import Hyperparameters

LOSS: Final = "what is minimised"

DEFAULT_SMOOTHING: Final = 0.1
"""Label smoothing of the loss `label_smoothing` where none is given."""


def _increasing(milestones: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(milestones)):
        raise ValueError(f"expected rising epochs, got {list(milestones)}")
    return milestones


Optimizer = Annotated[
    Literal["adam", "adamw", "sgd"],
    Field(description="adam adds the weight decay to the gradient, adamw decays apart from it"),
]

LearningRate = Annotated[float, Field(gt=0, description="after the warm-up, before any decay")]

WeightDecay = Annotated[float, Field(ge=0, description="L2 penalty")]

Momentum = Annotated[float, Field(ge=0, le=1, description="of sgd")]

Scheduler = Annotated[
    Literal["cosine", "step", "multistep", "poly", "none"],
    Field(description="how the learning rate falls after the warm-up, to the training's end"),
]

WarmupEpochs = Annotated[
    int, Field(ge=0, description="epochs over which the learning rate rises from a tenth")
]

StepSize = Annotated[
    int, Field(ge=1, description="epochs from drop to drop, counted from the warm-up's end")
]

Gamma = Annotated[float, Field(gt=0, lt=1, description="factor of each drop")]

Milestones = Annotated[
    Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AfterValidator(_increasing)
    ]
    | None,
    Field(
        description="rising epochs of the training at which multistep drops; null: step_size and "
        "twice step_size after the warm-up"
    ),
]

PolyPower = Annotated[float, Field(gt=0, description="power of poly; 1 is a straight line")]

BatchSize = Annotated[int, Field(ge=1, le=256, description="samples a forward pass")]

BatchMultiplier = Annotated[
    int, Field(ge=1, le=64, description="batches whose gradients are summed before a step")
]

Patience = Annotated[
    int,
    Field(
        ge=0, le=100, description="epochs without a better validation loss that end it; 0: never"
    ),
]

LabelSmoothing = Annotated[
    float | None,
    Field(
        ge=0,
        le=0.5,
        description="share of a label spread over all classes; null: "
        f"{DEFAULT_SMOOTHING} with loss label_smoothing, else 0",
    ),
]

Dropout = Annotated[float, Field(ge=0, le=0.9, description="probability of dropping a feature")]

Loss = Annotated[
    Literal[
        "default",
        "cross_entropy",
        "focal",
        "label_smoothing",
        "dice",
        "ce_dice",
        "bce",
        "tversky",
        "focal_dice",
        "mse",
        "l1",
        "huber",
    ],
    Field(description=LOSS),
]

USED_WITH: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "momentum": ("optimizer", ("sgd",)),
    "step_size": ("scheduler", ("step", "multistep")),
    "gamma": ("scheduler", ("step", "multistep")),
    "milestones": ("scheduler", ("multistep",)),
    "poly_power": ("scheduler", ("poly",)),
    "label_smoothing": ("loss", ("cross_entropy", "label_smoothing", "ce_dice", "bce")),
}
"""Keys that matter only beside these values of another key."""


class LoopParams(Hyperparameters):
    """Hyperparameters of a training loop of ours, except its length."""

    model_config = ConfigDict(allow_inf_nan=False)

    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lr", "lr0", "base_lr"), "learning_rate"),
        **dict.fromkeys(("batch", "ims_per_batch"), "batch_size"),
        **dict.fromkeys(("schedule", "lr_scheduler"), "scheduler"),
        "patience": "early_stopping_patience",
    }

    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 0.001
    weight_decay: WeightDecay = 0.0001
    momentum: Momentum = 0.9
    scheduler: Scheduler = "cosine"
    warmup_epochs: WarmupEpochs = 5
    step_size: StepSize = 10
    gamma: Gamma = 0.1
    milestones: Milestones = None
    poly_power: PolyPower = 0.9
    batch_size: BatchSize = 32
    batch_multiplier: BatchMultiplier = 1
    early_stopping_patience: Patience = 0
    loss: Loss = "cross_entropy"
    label_smoothing: LabelSmoothing = None
    dropout: Dropout = 0.2

    @property
    def smoothing(self) -> float:
        """The label smoothing that is meant, 0 to 0.5."""
        if self.label_smoothing is not None:
            return self.label_smoothing
        return DEFAULT_SMOOTHING if self.loss == "label_smoothing" else 0.0

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that matter only beside other values of optimizer, scheduler or loss."""
        reasons = {
            key: f"only {parent} {' or '.join(values)} uses it"
            for key, (parent, values) in USED_WITH.items()
            if not cls._possible(params, parent) & set(values)
        }
        kinds = cls._possible(params, "scheduler")
        if "step" not in kinds and "multistep" in kinds and params.get("milestones") is not None:
            reasons["step_size"] = "milestones say when the learning rate drops"
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs of the warm-up."""
        del epochs, n_train
        return float(max(cls._possible(params, "warmup_epochs")))

    @classmethod
    def length_problems(cls, params: Mapping[str, Any], epochs: int) -> list[tuple[str, str]]:
        """A warm-up or a milestone that does not fit into the training."""
        problems = []
        warmup = max(cls._possible(params, "warmup_epochs"))
        if warmup >= epochs:
            default = "" if "warmup_epochs" in params else ", its default"
            problems.append(
                (
                    "warmup_epochs",
                    f"expected fewer than the {epochs} epochs of the training, got "
                    f"{warmup}{default}; the nearest is {epochs - 1}",
                )
            )
        milestones = params.get("milestones") or ()
        outside = [epoch for epoch in milestones if not warmup < epoch < epochs]
        if outside and "multistep" in cls._possible(params, "scheduler"):
            problems.append(
                (
                    "milestones",
                    f"expected epochs after the warm-up ({warmup}) and before the training's end "
                    f"({epochs}), got {', '.join(map(str, outside))}",
                )
            )
        return problems

    @classmethod
    def _possible(cls, params: Mapping[str, Any], key: str) -> set[Any]:
        """The values a key can have: a searched one comes as a tuple of them."""
        value = params.get(key, cls.model_fields[key].default)
        return set(value) if isinstance(value, tuple) else {value}
