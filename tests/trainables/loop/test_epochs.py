"""What every loop does around an epoch."""

import dataclasses
from types import SimpleNamespace
from typing import cast

import pytest

from trainables.contract import Diverged, TrainMetrics, Trial
from trainables.loop.epochs import finite, measured_train_images, train_metrics_due


def trial(**train_metrics: int) -> Trial:
    data = SimpleNamespace(images=lambda _: list(range(40)))
    metrics = dataclasses.replace(TrainMetrics(), **train_metrics)
    return cast(Trial, SimpleNamespace(data=data, train_metrics=metrics))


def test_finite_losses_are_given_back() -> None:
    assert finite({"box": 1.0, "seg": 2.0}, 0) == {"box": 1.0, "seg": 2.0}


def test_a_loss_that_is_not_finite_ends_the_trial_and_names_each_and_the_epoch() -> None:
    with pytest.raises(Diverged, match="box is nan and seg is inf in epoch 3"):
        finite({"box": float("nan"), "seg": float("inf"), "cls": 0.0}, 2)


def test_training_metrics_are_due_every_so_many_epochs() -> None:
    assert [train_metrics_due(trial(every=2), epoch) for epoch in range(4)] == [0, 1, 0, 1]
    assert not any(train_metrics_due(trial(every=0), epoch) for epoch in range(4))


def test_the_study_says_how_many_training_images_are_measured_within_their_number() -> None:
    assert measured_train_images(trial(images=7), 1.0, 100.0, n_validation=3) == 7
    assert measured_train_images(trial(images=70), 1.0, 100.0, n_validation=3) == 40


def test_otherwise_as_many_are_measured_as_a_tenth_of_the_epoch_pays_for() -> None:
    assert measured_train_images(trial(), 10.0, 0.1, n_validation=30) == 10
