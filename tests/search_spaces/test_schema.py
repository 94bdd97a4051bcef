import logging

import pytest
from pydantic import Field, ValidationError

from search_spaces.schema import Hyperparameters


class Params(Hyperparameters):
    width: int = Field(64, le=128)
    learning_rate: float = Field(0.01, gt=0)


def test_saved_values_are_taken_as_they_are_whatever_is_allowed_today(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValidationError):
        Params(width=256)
    assert Params.as_saved({"width": 256}).width == 256
    assert Params.as_saved({"width": "32"}) == Params(width=32), "what is valid is read as ever"
    assert caplog.messages == []


def test_saved_keys_that_are_not_known_today_are_left_out_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        read = Params.as_saved({"width": 256, "learning_rates": 0.5, "depth": 4})
    assert (read.width, read.learning_rate) == (256, 0.01)
    assert caplog.messages == [
        "the model was trained by another version, whose hyperparameters depth 4, learning_rates "
        "0.5 are not known today: it predicts without them"
    ]
