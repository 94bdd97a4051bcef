"""What was built is what was asked for, or the trial says by which key it is not."""

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra unet")

from tests.trainables.engines.unet_selftraining.conftest import MakeTrial
from trainables.contract import IneffectiveParam
from trainables.engines.unet_selftraining.data import (
    make_lessons,
    open_micrographs,
)
from trainables.engines.unet_selftraining.effective import (
    UNCHECKED,
    Built,
    check_effective,
    effective_values,
)
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading
from trainables.engines.unet_selftraining.rounds.plan import phase_starts
from trainables.engines.unet_selftraining.rounds.rounds import Teaching
from trainables.engines.unet_selftraining.run import UnetRun

EPOCHS = 12

EVERYTHING: dict[str, Any] = {
    "background": "ring",
    "ring_scale": 1.7,
    "rounds": 2,
    "scheduler": "multistep",
    "milestones": (3, 7),
    "gamma": 0.5,
    "loss": "ce_dice",
    "label_smoothing": 0.05,
    "pos_weight": 3.0,
    "tiles": 24,
    "batch_multiplier": 3,
    "supervised_fraction": 0.4,
    "positive_threshold": 0.9,
    "negative_threshold": 0.1,
    "threshold_decay": 0.03,
    "positive_floor": 0.7,
    "negative_ceiling": 0.3,
    "positive_cap": 0.2,
    "negative_cap": 0.6,
    "calibrate": False,
    "ema_decay": 0.9,
    "workers": 2,
    "dropout": 0.2,
    "norm": "group",
    "attention": True,
    "flip_average": True,
    "min_distance": 1.5,
    "match_radius": 0.8,
}
ENCODER = {"encoder": "resnet18", "depth": 3, "width": 8, "norm": "instance", "dropout": 0.1}


def built(make_trial: MakeTrial, given: dict[str, Any]) -> tuple[Built, UnetParams]:
    trial = make_trial(given, epochs=EPOCHS)
    params = UnetParams.model_validate(dict(trial.params))
    micrographs = open_micrographs(trial, params)
    lessons = make_lessons(micrographs, params, 0)
    starts = phase_starts(EPOCHS, params.rounds, params.supervised_fraction)
    run = UnetRun(trial, params)
    reading = MapReading(params, micrographs.radius_px, run.device)
    return Built(run, lessons, Teaching.of(params), starts, reading), params


def test_every_key_is_read_back_from_what_was_built(make_trial: MakeTrial) -> None:
    made, _ = built(make_trial, {"background": "ring", "optimizer": "sgd"})
    read = {*effective_values(made), "supervised_fraction"}
    assert read == set(UnetParams.model_fields) - UNCHECKED


@pytest.mark.parametrize("given", [{}, EVERYTHING, ENCODER], ids=["few", "all", "encoder"])
def test_what_is_built_is_what_was_asked_for(make_trial: MakeTrial, given: dict[str, Any]) -> None:
    made, params = built(make_trial, given)
    ignored = UnetParams.without_effect(params.model_dump())
    check_effective(made, params, {**ignored, "amp": "on the CPU"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ring_scale", 2.5),
        ("milestones", (3, 8)),
        ("label_smoothing", 0.1),
        ("tiles", 25),
        ("batch_multiplier", 2),
        ("rounds", 3),
        ("supervised_fraction", 0.8),
        ("positive_threshold", 0.95),
        ("negative_threshold", 0.05),
        ("threshold_decay", 0.02),
        ("positive_floor", 0.8),
        ("negative_ceiling", 0.2),
        ("positive_cap", 1.0),
        ("negative_cap", 1.0),
        ("calibrate", True),
        ("workers", 3),
        ("flip_average", False),
        ("min_distance", 1.0),
        ("match_radius", 1.0),
        ("deterministic", True),
        ("ema_decay", 0.95),
        ("gamma", 0.1),
        ("pos_weight", 2.0),
        ("norm", "batch"),
        ("attention", False),
        ("dropout", 0.1),
        ("depth", 3),
        ("width", 8),
        ("tile_px", 64),
        ("batch_size", 8),
        ("learning_rate", 0.001),
        ("weight_decay", 0.01),
        ("optimizer", "sgd"),
        ("scheduler", "cosine"),
        ("warmup_epochs", 2),
        ("loss", "bce"),
        ("near_fraction", 0.25),
        ("target", "gaussian"),
        ("target_scale", 0.6),
        ("background", "negative"),
        ("augment", "none"),
    ],
)
def test_a_value_that_is_not_built_is_named(make_trial: MakeTrial, key: str, value: Any) -> None:
    made, params = built(make_trial, EVERYTHING)
    other = params.model_copy(update={key: value})
    with pytest.raises(IneffectiveParam, match=f"asked for: {key}: expected"):
        check_effective(made, other, {"amp": "on the CPU"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("encoder", "resnet34"), ("depth", 4), ("width", 16), ("norm", "batch"), ("dropout", 0.3)],
)
def test_another_encoder_is_read_back_too(make_trial: MakeTrial, key: str, value: Any) -> None:
    made, params = built(make_trial, ENCODER)
    other = params.model_copy(update={key: value})
    ignored = UnetParams.without_effect(params.model_dump())
    with pytest.raises(IneffectiveParam, match=f"asked for: {key}: expected"):
        check_effective(made, other, {**ignored, "amp": "on the CPU"})


def test_rounds_that_begin_elsewhere_are_named(make_trial: MakeTrial) -> None:
    made, params = built(make_trial, EVERYTHING)
    later = replace(made, starts=tuple(start + (start > 0) for start in made.starts))
    with pytest.raises(IneffectiveParam, match=r"supervised_fraction: expected 0\.4, got 0\.5"):
        check_effective(later, params, {"amp": "on the CPU"})
