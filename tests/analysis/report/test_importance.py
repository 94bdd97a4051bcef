from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from analysis.report.importance import (
    FEWEST_TRIALS,
    MOST_IN_FULL,
    common_epochs,
    importance_at,
    value_at,
)
from tune.directory.reader import TrialRecord
from tune.directory.trials import State

F1 = "seg_metrics/F1"


def trial(
    number: int,
    values: Sequence[float],
    state: State = "complete",
    **params: Any,
) -> TrialRecord:
    metrics = tuple({"epoch": epoch, F1: value} for epoch, value in enumerate(values, start=1))
    return TrialRecord(
        number=number,
        state=state,
        params=params,
        fixed={},
        seed=0,
        stop_reason="epochs",
        rung=None,
        cutoff=None,
        value=None,
        objective=max(values, default=None),
        best_epoch=1,
        last=values[-1] if values else None,
        epochs=len(values),
        seconds=0.0,
        metrics=metrics,
        directory=Path(),
        attempt=None,
        warm_start=None,
        message="",
    )


def early_and_late(n: int, stop_half: bool = False) -> list[TrialRecord]:
    """`early` decides what a trial reaches by epoch 5, `late` what it gains after."""
    random = np.random.default_rng(0)
    trials = []
    for number in range(n):
        early, late, nothing = random.uniform(size=3)
        curve = [early * epoch / 5 for epoch in range(1, 6)]
        curve += [curve[-1] * 0.05 + late * epoch / 5 for epoch in range(1, 6)]
        if stop_half and early < 0.5:
            curve = curve[:5]
        trials.append(trial(number, curve, early=early, late=late, nothing=nothing))
    return trials


def test_a_key_that_matters_early_and_one_that_matters_late_lead_at_their_own_rungs() -> None:
    trials = early_and_late(40)
    at_5 = importance_at(trials, F1, "max", 5)
    at_10 = importance_at(trials, F1, "max", 10)
    assert next(iter(at_5.shares)) == "early"
    assert next(iter(at_10.shares)) == "late"
    assert at_5.shares["early"] > 0.8
    assert at_10.shares["late"] > 0.8
    assert sum(at_5.shares.values()) == pytest.approx(1)
    assert at_5.meaningful
    assert at_10.meaningful


def test_a_ranking_stays_the_same_where_there_are_too_many_trials_for_optunas_forest() -> None:
    trials = early_and_late(MOST_IN_FULL + 1)
    for epoch in (5, 10):
        optunas = importance_at(trials[:-1], F1, "max", epoch)
        ours = importance_at(trials, F1, "max", epoch)
        assert next(iter(ours.shares)) == next(iter(optunas.shares))
        assert ours.shares == pytest.approx(optunas.shares, abs=0.05)
        assert ours.explained == pytest.approx(optunas.explained, abs=0.05)


def test_stopped_trials_are_compared_at_the_rung_they_reached() -> None:
    trials = early_and_late(40, stop_half=True)
    at_5 = importance_at(trials, F1, "max", 5)
    at_10 = importance_at(trials, F1, "max", 10)
    assert (at_5.compared, at_5.left_out) == (40, 0)
    assert at_10.compared + at_10.left_out == 40
    assert 0 < at_10.left_out < 40
    assert next(iter(at_5.shares)) == "early"


def test_the_direction_of_the_objective_does_not_change_what_matters() -> None:
    trials = early_and_late(40)
    assert next(iter(importance_at(trials, F1, "min", 5).shares)) == "early"


def test_values_that_no_key_explains_are_called_noise() -> None:
    random = np.random.default_rng(1)
    trials = [
        trial(n, [random.uniform()], a=random.uniform(), b=random.uniform()) for n in range(30)
    ]
    found = importance_at(trials, F1, "max", 1)
    assert found.shares
    assert not found.meaningful


def test_too_few_trials_give_a_reason_instead_of_shares() -> None:
    found = importance_at(early_and_late(FEWEST_TRIALS - 1), F1, "max", 5)
    assert not found.shares
    assert found.reason == "too few trials to say: 9 reached the epoch, 10 or more are needed"


def test_equal_values_and_equal_keys_give_a_reason() -> None:
    same_value = [trial(n, [0.0], a=n) for n in range(12)]
    same_keys = [trial(n, [n / 12], a=1) for n in range(12)]
    assert importance_at(same_value, F1, "max", 1).reason == "all trials have the same value"
    found = importance_at(same_keys, F1, "max", 1)
    assert found.reason == "no key was varied in all of the trials"
    assert found.not_assessed == ("a",)


def test_a_conditional_key_is_named_as_not_assessed() -> None:
    trials = [
        trial(n, [n / 20], lr0=10.0 ** (-n / 5), momentum=0.9)
        if n % 2
        else trial(n, [n / 20], lr0=10.0 ** (-n / 5))
        for n in range(20)
    ]
    found = importance_at(trials, F1, "max", 1, frozenset({"lr0"}))
    assert found.not_assessed == ("momentum",)
    assert list(found.shares) == ["lr0"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["SGD", "AdamW"], id="texts"),
        pytest.param([True, False], id="truth values"),
        pytest.param([2, 4], id="whole numbers"),
        pytest.param([None, 4], id="null among numbers"),
        pytest.param([0.5, 1], id="real and whole numbers"),
    ],
)
def test_every_kind_of_value_can_be_assessed(values: list[Any]) -> None:
    random = np.random.default_rng(0)
    trials = [
        trial(n, [0.2 + 0.5 * (n % 2)], key=values[n % 2], other=random.uniform())
        for n in range(20)
    ]
    found = importance_at(trials, F1, "max", 1)
    assert found.shares["key"] > 0.8
    assert found.meaningful


@pytest.mark.parametrize(
    ("lengths", "rungs", "expected"),
    [
        pytest.param([3, 6, 12], (3, 6, 12, 24), [3, 6, 12], id="rungs that were reached"),
        pytest.param([4, 6, 9], (), [4], id="the shortest trial where there are no rungs"),
        pytest.param([2, 2], (5,), [2], id="no rung reached yet"),
        pytest.param([], (5,), [], id="no trials"),
        pytest.param([0, 0], (5,), [], id="nothing reported"),
    ],
)
def test_common_epochs(lengths: list[int], rungs: tuple[int, ...], expected: list[int]) -> None:
    trials = [trial(n, [0.1] * length) for n, length in enumerate(lengths)]
    assert common_epochs(trials, rungs) == expected


def test_a_failed_trial_does_not_shorten_the_common_epoch() -> None:
    trials = [trial(0, [0.1] * 8), trial(1, [0.1], state="failed"), trial(2, [], state="running")]
    assert common_epochs(trials, ()) == [8]


def test_a_value_is_that_of_the_very_epoch_and_finite() -> None:
    found = trial(0, [0.1, float("nan"), 0.3])
    assert value_at(found, F1, 1) == 0.1
    assert value_at(found, F1, 2) is None
    assert value_at(found, F1, 4) is None
    assert value_at(found, "val/loss", 1) is None


@pytest.mark.parametrize("mode", ["max", "min"])
def test_shares_are_the_same_every_time(mode: Literal["max", "min"]) -> None:
    trials = early_and_late(20)
    first = importance_at(trials, F1, mode, 5)
    assert importance_at(trials, F1, mode, 5) == first
