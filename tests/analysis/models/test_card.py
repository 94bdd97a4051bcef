import re
from pathlib import Path
from typing import Any

import pytest

from analysis.models.card import model_card
from tests.analysis.models.test_export import config
from tune.best.configuration import BestConfig, TrainedOn


def chosen_on(objects: int | None, **changes: Any) -> BestConfig:
    """A configuration whose confidence was chosen on so many objects."""
    data = TrainedOn(path=Path("/data/gone"), fingerprint="0123", val_objects=objects)
    return config(data=data, **changes)


def test_the_confidence_stands_in_the_card_with_all_its_digits() -> None:
    score = 0.7000000476837158  # of a hit: rounded up to 0.7000001 it would lose that hit
    metrics = {"seg_metrics/F1": 0.5, "seg_metrics/confidence": score}
    text = model_card(config(metrics=metrics, confidences={"seg_metrics": score}), None)
    printed = re.findall(r"confidence (?:\| )?(0\.\d+)", text)
    assert [float(number) for number in printed] == [score, score]
    assert "| masks F1 | 0.5000 |" in text


def test_a_hyperparameter_without_a_value_is_said_to_have_none() -> None:
    text = model_card(config(params={"workers": None, "lr0": 0.1}), None)
    assert "| workers | not set |" in text
    assert "| lr0 | 0.1 |" in text


def test_on_10_objects_the_card_says_that_the_choice_of_the_confidence_is_noise() -> None:
    said = "on the 10 objects of the validation part: with so few the choice is noise"
    text = model_card(chosen_on(10), None)
    assert f"- The confidence was chosen {said}" in text
    assert "(one object is 10 % of recall)" in text


@pytest.mark.parametrize("objects", [200, None])
def test_on_many_objects_or_an_unknown_number_the_card_says_nothing(objects: int | None) -> None:
    assert "is noise" not in model_card(chosen_on(objects), None)


def test_where_no_confidence_was_chosen_the_card_says_nothing() -> None:
    assert "is noise" not in model_card(chosen_on(10, confidences={}, metrics={}), None)


def test_of_a_training_with_several_kinds_of_weights_the_card_names_the_kept_ones() -> None:
    for averaged, words in ((1.0, "The averaged weights are"), (0.0, "The raw weights are")):
        metrics = {"box_metrics/F1": 0.8, "val/averaged": averaged}
        assert words in model_card(config(engine="detector", params={}, metrics=metrics), None)
    assert "The weights are" in model_card(config(), None)


def test_no_part_of_a_card_is_followed_by_two_blank_lines() -> None:
    text = model_card(config(), None, test={})
    assert "\n## Limits\n" in text
    assert "\n\n\n" not in text
    assert text.endswith("\n")
