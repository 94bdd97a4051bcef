"""The log-normal fit and its test; scipy is the judge of the statistic."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analysis.measure.statistics.lognormal import anderson_darling, fit_lognormal, p_value_of
from analysis.measure.statistics.sample import Sample


def sample(
    sizes: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None = None
) -> Sample:
    n = len(sizes)
    return Sample.of(
        sizes, np.ones(n) if weights is None else weights, np.zeros(n, np.int64), np.ones(1)
    )


def test_the_statistic_is_scipys_where_weights_are_equal() -> None:
    rng = np.random.default_rng(0)
    for sizes in (rng.lognormal(2, 0.4, 300), rng.gamma(1, 2, 90), rng.uniform(5, 9, 40)):
        ours = anderson_darling(np.sort(sizes), np.full(len(sizes), 1.7))
        judged = stats.anderson(np.log(sizes), "norm", method="interpolate").statistic
        assert ours == pytest.approx(judged, rel=1e-9)


def test_one_log_normal_sample_in_twenty_is_called_not_log_normal() -> None:
    """Were the fit not allowed for, hardly one would be."""
    rng = np.random.default_rng(1)
    fits = [fit_lognormal(sample(rng.lognormal(3, 0.3, 120))) for _ in range(800)]
    refused = sum(fit.verdict.startswith("not log-normal") for fit in fits) / 800
    assert 0.03 <= refused <= 0.07


def test_border_weights_leave_the_test_as_strict() -> None:
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(400):
        sizes = rng.lognormal(3, 0.3, 400)
        weights = 512 / (512 - 2 * sizes)
        seen = rng.random(400) < 1 / weights
        fit = fit_lognormal(sample(sizes[seen], weights[seen]))
        refused += fit.p_value is not None and fit.p_value < 0.05
    assert 0.02 <= refused / 400 <= 0.08


@pytest.mark.parametrize("kind", ["normal", "two kinds", "uniform"])
def test_other_distributions_are_called_not_log_normal(kind: str) -> None:
    rng = np.random.default_rng(3)
    sizes = {
        "normal": rng.normal(100, 30, 2000).clip(1),
        "two kinds": np.concatenate([rng.lognormal(2, 0.2, 300), rng.lognormal(4, 0.2, 300)]),
        "uniform": rng.uniform(10, 100, 500),
    }[kind]
    fit = fit_lognormal(sample(sizes))
    assert fit.verdict.startswith("not log-normal (p = ")
    assert fit.p_value is not None
    assert fit.p_value < 0.01


def test_the_fit_is_the_geometric_mean_and_sd() -> None:
    fit = fit_lognormal(sample(np.random.default_rng(4).lognormal(math.log(80), 0.25, 20_000)))
    assert fit.median == pytest.approx(80, rel=0.01)
    assert fit.sd == pytest.approx(math.exp(0.25), rel=0.01)
    assert fit.verdict.startswith("log-normal fits")
    assert fit.border == "particles wholly inside, with Miles-Lantuejoul weights"


def test_few_particles_and_equal_ones_have_a_verdict_too() -> None:
    few = fit_lognormal(sample(np.array([1.0, 2, 3])))
    assert few.verdict == "too few particles to say whether log-normal: 3"
    assert fit_lognormal(sample(np.full(50, 7.0))).verdict == "not log-normal (p = 0)"
    assert fit_lognormal(sample(np.zeros(0))).p_value is None


@pytest.mark.parametrize(
    ("statistic", "p_value"), [(0.561, 0.15), (0.631, 0.10), (0.752, 0.05), (1.035, 0.01)]
)
def test_p_values_are_those_of_the_published_table(statistic: float, p_value: float) -> None:
    """D'Agostino and Stephens 1986, table 4.7: upper tail points of case 3."""
    assert p_value_of(statistic, 10**9) == pytest.approx(p_value, rel=0.06)


def test_p_values_fall_as_the_statistic_grows() -> None:
    values = [p_value_of(a, 100) for a in np.linspace(0.05, 400, 5000)]
    assert all(b <= a + 1e-3 for a, b in pairwise(values))
    assert 0 <= min(values) <= max(values) <= 1
