import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket
from ray.tune.stopper import TrialPlateauStopper

from tune.stopping.asha import Asha, NoScheduler, Rungs
from tune.stopping.decision import GO_ON, Rule
from tune.stopping.plateau import NoPlateau, Slope, Std, curve_end, slope_of

ORACLE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.71, 0.71, 0.71, 0.71, 0.71, 0.71]


def first_end(rule: Slope | Std, curve: list[float], every: int = 1) -> tuple[int, Rule] | None:
    """The epoch at which a curve ends that is measured every few epochs, and why."""
    measured = curve[every - 1 :: every]
    for n in range(1, len(measured) + 1):
        decision = curve_end(rule, measured[:n], every)
        if not decision.go_on:
            assert decision.rule is not None
            return n * every, decision.rule
    return None


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"),
    [
        (25, 2, 250, (25, 50, 100, 200)),
        (20, 2, 99, (20, 40, 80)),
        (1, 3, 243, (1, 3, 9, 27, 81, 243)),  # floats lose the last one
        (10, 4, 40, (10, 40)),
        (5, 2, 4, ()),
    ],
)
def test_rungs_are_grace_times_powers_of_the_factor_up_to_the_epochs(
    grace: int, factor: int, epochs: int, rungs: tuple[int, ...]
) -> None:
    assert Asha(grace_period=grace, reduction_factor=factor).rungs(epochs) == rungs


def test_no_scheduler_has_no_rungs() -> None:
    assert NoScheduler().rungs(100) == ()


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_decisions_are_those_of_rays_own_asha(factor: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    epochs = 2 * factor**3
    bracket = _Bracket(2, epochs + 1, factor, 0)
    rungs = Rungs(Asha(grace_period=2, reduction_factor=factor).rungs(epochs), factor)
    stopped = 0
    for trial in range(40):
        for epoch in range(1, epochs + 1):
            value = float(random.random())
            ours = rungs.compare(epoch, value)
            rungs.record(trial, epoch, value)
            stand_in: Any = SimpleNamespace(trial_id=str(trial))
            theirs = bracket.on_result(stand_in, epoch, value)
            assert ours.go_on == (theirs == "CONTINUE"), (trial, epoch)
            if not ours.go_on:
                stopped += 1
                break
    assert stopped > 5


def test_the_first_arrival_at_a_rung_passes_and_says_so() -> None:
    decision = Rungs((5,)).compare(5, 0.3)
    assert decision.go_on
    assert (decision.rule, decision.rung, decision.cutoff) == (Rule.ASHA, 5, None)


@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.1, 0.3, 0.7]), min_size=1),
    factor=st.integers(2, 9),
)
def test_the_cutoff_is_numpys_quantile_to_the_last_bit(values: list[float], factor: int) -> None:
    rungs = Rungs((5,), factor)
    for trial, value in enumerate(values):
        rungs.record(trial, 5, value)
    assert rungs.cutoff(5) == np.quantile(values, 1 - 1 / factor)


def test_a_stop_says_rung_cutoff_and_value() -> None:
    rungs = Rungs((5,))
    rungs.record(0, 5, 0.5)
    rungs.record(1, 5, 0.7)
    decision = rungs.compare(5, 0.4)
    assert (decision.go_on, decision.rung, decision.value) == (False, 5, 0.4)
    assert decision.cutoff == pytest.approx(0.6)


def test_a_trial_counts_once_at_a_rung() -> None:
    rungs = Rungs((5,))
    rungs.record(0, 5, 0.5)
    rungs.record(0, 5, 0.9)
    assert rungs.cutoff(5) == 0.5


def test_the_std_rule_is_rays_plateau_stopper() -> None:
    rule = Std(std=0.01, window=5, grace=10, floor=0.0)
    theirs = TrialPlateauStopper("f1", std=0.01, num_results=5, grace_period=10)
    stops = [theirs("t", {"f1": value}) for value in ORACLE]
    assert first_end(rule, ORACLE) == (11, Rule.PLATEAU)
    assert stops.index(True) + 1 == 11


def test_the_slope_rule_lets_the_last_gain_leave_its_window_first() -> None:
    assert first_end(Slope(window=5, grace=10), ORACLE) == (12, Rule.PLATEAU)


def test_a_std_of_0_0141_goes_on() -> None:
    curve = [0.75, 0.76, 0.77, 0.78, 0.79]
    assert np.std(curve) == pytest.approx(0.01414, abs=1e-5)
    assert curve_end(Std(grace=5), curve) is GO_ON


def test_a_curve_that_gains_0_002_an_epoch_goes_on_under_slope_and_ends_under_std() -> None:
    curve = [0.3 + 0.002 * epoch for epoch in range(60)]
    assert first_end(Slope(window=5, grace=10), curve) is None
    assert first_end(Std(), curve) == (10, Rule.PLATEAU)


@pytest.mark.parametrize("every", [1, 3, 5, 20])
def test_a_metric_that_is_not_taken_each_epoch_is_judged_by_epochs_all_the_same(every: int) -> None:
    rule = Slope(window=10, grace=20)
    assert first_end(rule, [0.3 + 0.002 * epoch for epoch in range(99)], every) is None
    ended = first_end(rule, [0.5] * 99, every)
    assert ended is not None
    assert ended[0] - 20 in range(21 if every == 20 else every), "two values at least"
    collapsed = first_end(Slope(window=10, collapse_window=30), [0.0] * 99, every)
    assert collapsed == (40 if every == 20 else 30, Rule.COLLAPSED)


def test_a_curve_with_a_hole_has_not_converged() -> None:
    assert first_end(Slope(window=5, grace=10), [0.5] * 9 + [math.nan] * 3) is None


@pytest.mark.parametrize("rule", [Slope(), Slope(window=5, grace=10), Std()], ids=str)
def test_a_training_from_scratch_may_be_flat_at_0_for_12_epochs(rule: Slope | Std) -> None:
    learning = [0.0] * 12 + [0.03 * epoch for epoch in range(1, 25)]
    assert first_end(rule, learning) is None


def test_a_curve_that_stays_below_the_floor_has_collapsed_not_converged() -> None:
    assert first_end(Slope(), [0.0] * 60) == (25, Rule.COLLAPSED)


def test_the_watcher_can_be_switched_off() -> None:
    assert curve_end(NoPlateau(), [0.5] * 100) is GO_ON


def test_slope_is_the_least_squares_one() -> None:
    values = [0.1, 0.3, 0.2, 0.5]
    assert slope_of(values) == pytest.approx(np.polyfit(range(4), values, 1)[0])


def test_a_collapse_window_that_could_end_a_slow_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"collapse_window above window and above 12"):
        Slope(collapse_window=12)


def test_a_constant_curve_above_the_floor_ends_at_its_grace() -> None:
    assert first_end(Slope(window=5, grace=10), [0.5] * 20) == (10, Rule.PLATEAU)
    assert not math.isnan(slope_of([0.5] * 5))
