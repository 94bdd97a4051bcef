"""Hyperparameters that contradict each other, do nothing, or do not fit."""

from typing import Any

import pytest

from trainables.engines.unet_selftraining.params import UnetParams


@pytest.mark.parametrize(
    ("fixed", "key"),
    [
        ({"positive_threshold": 0.7}, "positive_threshold"),
        ({"focal_alpha": 0.5, "pos_weight": 10.0}, "pos_weight"),
        ({"encoder": "resnet81"}, "encoder"),
        ({"weights": "some.pt"}, "weights"),
        ({"encoder": "resnet18", "weights": "nowhere.pt"}, "weights"),
        ({"encoder": "resnet18", "attention": True}, "attention"),
    ],
)
def test_values_that_contradict_each_other_are_named(fixed: dict[str, Any], key: str) -> None:
    assert [found for found, _ in UnetParams.problems(fixed, frozenset())] == [key]


def test_defaults_contradict_nothing() -> None:
    assert UnetParams.problems({}, frozenset()) == []


def test_without_rounds_their_keys_have_no_effect() -> None:
    given = {"positive_threshold": 0.9, "rounds": 0, "focal_gamma": 1.0}
    assert set(UnetParams.without_effect(given)) == {"positive_threshold"}
    assert not UnetParams.without_effect({**given, "rounds": (0, 2)})


def test_more_rounds_than_epochs_for_them_are_named() -> None:
    assert [key for key, _ in UnetParams.length_problems({"rounds": (0, 3)}, 3)] == ["rounds"]
    assert UnetParams.length_problems({"rounds": 3}, 4) == []
