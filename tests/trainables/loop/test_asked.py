"""Hyperparameters as they were asked for, and whether that is what was built."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from trainables.contract import IneffectiveParam, InfeasibleParams
from trainables.loop.asked import require_built, same, validated


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lr: float = 0.1
    norm: str = "batch"


def test_valid_params_are_completed_by_their_defaults() -> None:
    assert validated(Params, {"lr": 0.5}) == Params(lr=0.5, norm="batch")


def test_every_wrong_param_is_named() -> None:
    with pytest.raises(InfeasibleParams, match=r"(?s)lr: .*got 'x'.*nrm: .*got 'group'"):
        validated(Params, {"lr": "x", "nrm": "group"})


@pytest.mark.parametrize(
    ("asked", "built", "equal"),
    [
        (0.1, 0.1 + 1e-9, True),
        (0.1, 0.11, False),
        (1, 1.0, True),
        (0.1, "0.1", False),
        (True, 1.0, True),
        (True, False, False),
        ("SGD", "sgd", True),
        (None, None, True),
        (None, 0.0, False),
        ((1, 2), (1, 2), True),
        ([1, 2], [1, 3], False),
    ],
)
def test_numbers_are_the_same_but_for_rounding(asked: Any, built: Any, equal: bool) -> None:
    assert same(asked, built) is equal


def test_what_was_built_otherwise_is_named_key_by_key() -> None:
    asked = {"lr": 0.1, "norm": "group", "depth": 4}
    with pytest.raises(IneffectiveParam) as raised:
        require_built(asked, {"lr": 0.2, "norm": "batch", "depth": 4, "more": 1}, "The builder")
    assert str(raised.value) == (
        "The builder would not train with what was asked for: "
        "lr: expected 0.1, got 0.2; norm: expected group, got batch"
    )
    require_built(asked, asked, "The builder")
