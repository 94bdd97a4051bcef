from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from search_spaces.tasks import (
    TRAININGS,
    DetectionTraining,
    RegressionTraining,
    SegmentationTraining,
    Task,
    TrainingParams,
    edited_fields,
    losses,
    refill,
    relevant_fields,
)
from search_spaces.training import LOSS, LearningRate, LoopParams

CLASSIFICATION = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "scheduler": "cosine",
    "warmup_epochs": 5,
    "batch_size": 32,
    "max_epochs": 50,
    "early_stopping_patience": 10,
    "loss": "cross_entropy",
    "dropout": 0.2,
}
DETECTION = {
    "optimizer": "sgd",
    "learning_rate": 5e-3,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "scheduler": "step",
    "step_size": 10,
    "gamma": 0.1,
    "warmup_epochs": 0,
    "batch_size": 8,
    "max_epochs": 50,
    "early_stopping_patience": 15,
    "loss": "default",
}
SEGMENTATION = {
    "optimizer": "sgd",
    "learning_rate": 1e-2,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "scheduler": "poly",
    "poly_power": 0.9,
    "warmup_epochs": 0,
    "batch_size": 8,
    "max_epochs": 60,
    "early_stopping_patience": 15,
    "loss": "ce_dice",
}
REGRESSION = {**CLASSIFICATION, "warmup_epochs": 0, "loss": "mse"}
SCHEMA = {
    **CLASSIFICATION,
    "momentum": 0.9,
    "step_size": 10,
    "gamma": 0.1,
    "milestones": None,
    "poly_power": 0.9,
    "batch_multiplier": 1,
    "label_smoothing": None,
}


class EngineParams(LoopParams):
    """As an engine of ours declares its hyperparameters."""

    learning_rate: LearningRate = 0.002
    loss: Literal["bce", "dice"] = Field("bce", description=LOSS)


def test_the_schema_has_these_defaults() -> None:
    assert TrainingParams().model_dump() == SCHEMA


@pytest.mark.parametrize(
    ("task", "defaults"),
    [
        ("classification", CLASSIFICATION),
        ("anomaly", CLASSIFICATION),
        ("detection", DETECTION),
        ("oriented_detection", DETECTION),
        ("instance_segmentation", DETECTION),
        ("segmentation", SEGMENTATION),
        ("regression", REGRESSION),
    ],
)
def test_each_task_has_its_own_defaults(task: Task, defaults: dict[str, Any]) -> None:
    filled = TRAININGS[task]().model_dump()
    assert {key: filled[key] for key in defaults} == defaults


def test_the_defaults_of_each_task_are_all_valid() -> None:
    for schema in TRAININGS.values():
        schema.model_validate(schema().model_dump())


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("learning_rate", [1e-9, 1000.0], [0, -1e-3, float("inf"), float("nan")]),
        ("weight_decay", [0, 1.0], [-1e-9]),
        ("momentum", [0, 1], [-0.1, 1.01]),
        ("warmup_epochs", [0, 49], [-1, 0.5]),
        ("step_size", [1, 500], [0, 1.5]),
        ("gamma", [1e-6, 0.999], [0, 1]),
        ("milestones", [None, [10], [10, 20, 30]], [[], [0], [20, 10], [10, 10]]),
        ("poly_power", [1e-6, 5], [0]),
        ("batch_size", [1, 256], [0, 257]),
        ("max_epochs", [6, 1000], [0, 1001]),
        ("early_stopping_patience", [0, 100], [-1, 101]),
        ("dropout", [0, 0.9], [-0.1, 0.91]),
        ("batch_multiplier", [1, 64], [0, 65]),
        ("label_smoothing", [0, 0.5, None], [-0.1, 0.51]),
        ("optimizer", ["adam", "adamw", "sgd"], ["Adam", "rmsprop"]),
        ("scheduler", ["cosine", "step", "multistep", "poly", "none"], ["plateau"]),
    ],
)
def test_every_field_keeps_its_bounds(key: str, inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        TrainingParams.model_validate({key: value})
    for value in outside:
        with pytest.raises(ValidationError, match=key):
            TrainingParams.model_validate({key: value})


@pytest.mark.parametrize(
    ("task", "offered"),
    [
        ("classification", {"cross_entropy", "focal", "label_smoothing"}),
        ("detection", {"default"}),
        (
            "segmentation",
            {"cross_entropy", "dice", "ce_dice", "focal", "bce", "tversky", "focal_dice"},
        ),
        ("regression", {"mse", "l1", "huber"}),
    ],
)
def test_a_task_offers_its_own_losses_and_refuses_others(task: Task, offered: set[str]) -> None:
    schema = TRAININGS[task]
    assert set(losses(schema)) == offered
    for loss in losses(LoopParams):
        if loss in offered:
            schema.model_validate({"loss": loss})
        else:
            with pytest.raises(ValidationError, match="loss"):
                schema.model_validate({"loss": loss})


def test_the_engines_of_a_study_have_no_patience_unless_they_are_given_one() -> None:
    assert LoopParams().early_stopping_patience == 0
    assert EngineParams(early_stopping_patience=7).early_stopping_patience == 7


def test_an_engines_changed_default_keeps_its_bounds() -> None:
    assert EngineParams().learning_rate == 0.002
    with pytest.raises(ValidationError, match="learning_rate"):
        EngineParams(learning_rate=0)


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        ({"optimizer": "adamw", "momentum": 0.9}, {"momentum"}),
        ({"optimizer": "sgd", "momentum": 0.9}, set()),
        ({"momentum": 0.9}, {"momentum"}),
        ({"optimizer": ("adamw", "sgd"), "momentum": (0.8, 0.9)}, set()),
        ({"scheduler": "cosine", "gamma": 0.1, "step_size": 3, "poly_power": 1.0}, "all but first"),
        ({"scheduler": "step", "gamma": 0.1, "step_size": 3, "milestones": (4,)}, {"milestones"}),
        ({"scheduler": "multistep", "gamma": 0.1, "step_size": 3}, set()),
        ({"scheduler": "multistep", "milestones": [4, 8], "step_size": 3}, {"step_size"}),
        ({"scheduler": ("step", "multistep"), "milestones": [4, 8], "step_size": 3}, set()),
        ({"scheduler": "poly", "poly_power": 0.9, "gamma": 0.1}, {"gamma"}),
        ({"loss": "mse", "label_smoothing": 0.1}, {"label_smoothing"}),
        ({"loss": "label_smoothing", "label_smoothing": 0.1}, set()),
    ],
)
def test_what_has_no_effect_beside_other_values_is_said(given: dict[str, Any], idle: Any) -> None:
    wanted = set(given) - {"scheduler"} if idle == "all but first" else idle
    assert set(LoopParams.without_effect(given)) == wanted


def test_the_reason_names_what_would_use_the_key() -> None:
    reasons = LoopParams.without_effect({"gamma": 0.1, "scheduler": "poly"})
    assert reasons == {"gamma": "only scheduler step or multistep uses it"}


def test_detectors_ignore_the_dropout() -> None:
    assert "dropout" not in relevant_fields(DetectionTraining())
    assert "dropout" in relevant_fields(SegmentationTraining())


def test_a_form_shows_only_what_matters() -> None:
    shown = relevant_fields(SegmentationTraining(scheduler="multistep", milestones=(20, 40)))
    assert {"momentum", "milestones", "gamma"} <= set(shown)
    assert {"step_size", "poly_power"}.isdisjoint(shown)


def test_another_architecture_fills_the_form_again_but_for_what_was_edited() -> None:
    form = TRAININGS["classification"](learning_rate=0.02, batch_size=32)
    assert edited_fields(form) == {"learning_rate": 0.02, "batch_size": 32}
    detection = refill(form, DetectionTraining)
    assert detection == DetectionTraining(learning_rate=0.02, batch_size=32)
    assert detection.scheduler == "step"
    back = refill(detection, TRAININGS["classification"])
    assert back == form
    assert edited_fields(back) == edited_fields(form)


def test_an_edited_loss_that_the_other_task_does_not_offer_is_filled_again() -> None:
    form = SegmentationTraining(loss="tversky", dropout=0.1)
    assert refill(form, RegressionTraining) == RegressionTraining(dropout=0.1)


def test_edited_fields_that_contradict_the_other_defaults_are_told() -> None:
    form = SegmentationTraining(warmup_epochs=55)
    with pytest.raises(ValidationError, match="fewer than the 50 epochs of the training, got 55"):
        refill(form, DetectionTraining)


def test_label_smoothing_is_what_its_loss_says_unless_it_is_given() -> None:
    assert LoopParams().smoothing == 0
    assert LoopParams(loss="label_smoothing").smoothing == 0.1
    assert LoopParams(loss="label_smoothing", label_smoothing=0.2).smoothing == 0.2
    assert LoopParams(label_smoothing=0.3).smoothing == 0.3


@pytest.mark.parametrize("warmup", [50, 80])
def test_a_warm_up_as_long_as_the_training_is_refused(warmup: int) -> None:
    with pytest.raises(ValidationError, match=f"fewer than the 50 epochs .* got {warmup}"):
        TrainingParams(warmup_epochs=warmup)


def test_what_may_be_sampled_is_held_against_the_length() -> None:
    problems = LoopParams.length_problems({"warmup_epochs": (0, 12)}, 10)
    assert problems == [
        (
            "warmup_epochs",
            "expected fewer than the 10 epochs of the training, got 12; the nearest is 9",
        )
    ]
    [(key, message)] = LoopParams.length_problems({}, 5)
    assert key == "warmup_epochs"
    assert "got 5, its default" in message
    assert LoopParams.length_problems({"warmup_epochs": (0, 9)}, 10) == []


def test_a_milestone_outside_the_scheduled_epochs_is_refused() -> None:
    given = {"scheduler": "multistep", "warmup_epochs": 5, "milestones": (5, 20, 50)}
    [(key, message)] = LoopParams.length_problems(given, 50)
    assert key == "milestones"
    assert message.endswith("got 5, 50")
    assert LoopParams.length_problems({**given, "scheduler": "cosine"}, 50) == []
