import time

import pytest

from tune.plan.forecast import RAY_S, Forecast, forecast, hours
from tune.plan.pace import Pace
from tune.stopping.asha import Asha


def rungs(grace: int, factor: int, epochs: int) -> tuple[int, ...]:
    return Asha(grace_period=grace, reduction_factor=factor).rungs(epochs)


def test_the_guides_study_saves_about_three_times() -> None:
    """Replaying Ray's own brackets gave 3.2, 5th to 95th percentile 2.4 to 4.2."""
    found = forecast(rungs(25, 2, 250), 2, trials=50, epochs=250)
    saving, least, most = found.saving()
    assert found.full == 12_500
    assert saving == pytest.approx(3.2, abs=0.4)
    assert least == pytest.approx(2.4, abs=0.4)
    assert most == pytest.approx(4.2, abs=0.7)


def test_a_number_of_epochs_beyond_any_machine_is_no_error() -> None:
    assert forecast((10**29,), 2, trials=4, epochs=10**30).full == 4 * 10**30


def test_an_earlier_grace_and_a_larger_factor_save_more() -> None:
    """Grace 10, factor 4 gave 5.8 with Ray's own brackets."""
    saving = forecast(rungs(10, 4, 250), 4, trials=50, epochs=250).saving()[0]
    assert saving == pytest.approx(5.8, abs=0.8)


@pytest.mark.parametrize("trials", [1, 2, 8, 1000])
@pytest.mark.parametrize("concurrent", [1, 4])
def test_a_forecast_lies_between_grace_and_full_length(trials: int, concurrent: int) -> None:
    found = forecast(rungs(5, 3, 40), 3, trials=trials, epochs=40, concurrent=concurrent)
    assert 5 * trials <= found.low <= found.median <= found.high <= found.full == 40 * trials


def test_the_first_trial_always_runs_to_its_end() -> None:
    assert forecast((5, 10), 2, trials=1, epochs=20) == Forecast(20, 20, 20, 20)


def test_a_rung_at_the_last_epoch_saves_nothing() -> None:
    assert forecast((20,), 2, trials=10, epochs=20).median == 200


def test_the_same_seed_gives_the_same_forecast() -> None:
    first, second, other = (
        forecast((5, 10), 2, trials=20, epochs=20, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_hours_follow_from_epochs_and_end_at_the_budget() -> None:
    expected = Forecast(full=10_000, median=3_600, low=1_800, high=7_200)
    pace = Pace(epoch_s=2.0, start_s=36.0)
    free = hours(expected, pace, trials=100, concurrent=2, budget=None)
    ray = RAY_S / 3600
    assert (free.low, free.median, free.high) == pytest.approx((1 + ray, 1.5 + ray, 2.5 + ray))
    limited = hours(expected, pace, trials=100, concurrent=2, budget=1.2)
    assert (limited.median, limited.high) == (1.2, 1.2)


def test_ten_thousand_trials_are_forecast_in_no_time() -> None:
    started = time.perf_counter()
    forecast(rungs(1, 2, 500), 2, trials=10_000, epochs=500, concurrent=16)
    assert time.perf_counter() - started < 1.5
