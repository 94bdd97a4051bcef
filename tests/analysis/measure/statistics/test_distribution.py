"""Figures of distributions against the formulas of the log-normal one, and by hand."""

import math

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.statistics.distribution import (
    FIGURES,
    LENGTHS,
    figures,
    geometric,
    quantiles,
)
from analysis.measure.statistics.sample import Sample

ONE = np.zeros(3, np.int64)


def test_figures_by_hand() -> None:
    found = figures(Sample.of(np.array([2.0, 1, 4]), np.array([1.0, 2, 1]), ONE, np.array([50.0])))
    assert list(found) == list(FIGURES)
    assert found["mean_1_0"] == pytest.approx((2 * 1 + 2 + 4) / 4)
    assert found["mean_3_2"] == pytest.approx((2 + 8 + 64) / (2 + 4 + 16))
    assert found["mean_4_3"] == pytest.approx((2 + 16 + 256) / (2 + 8 + 64))
    assert found["geometric_mean"] == pytest.approx(8 ** (1 / 4))
    assert found["number_density"] == 4 / 50
    assert found["span_number"] == pytest.approx(
        (found["d90_number"] - found["d10_number"]) / found["d50_number"]
    )


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5])
def test_a_log_normal_distribution_has_its_known_figures(sigma: float) -> None:
    """Hatch and Choate 1929: the quantiles by d^p are those by number times exp(p s^2)."""
    sizes = np.random.default_rng(0).lognormal(math.log(50), sigma, 400_000)
    n = len(sizes)
    found = figures(Sample.of(sizes, np.ones(n), np.zeros(n, np.int64), np.ones(1)))
    for by, power in (("number", 0), ("area", 2), ("volume", 3)):
        for share, z in ((10, -1.28155), (50, 0), (90, 1.28155)):
            expected = 50 * math.exp(z * sigma + power * sigma**2)
            assert found[f"d{share}_{by}"] == pytest.approx(expected, rel=0.02)
    assert found["mean_1_0"] == pytest.approx(50 * math.exp(sigma**2 / 2), rel=0.01)
    assert found["mean_3_2"] == pytest.approx(50 * math.exp(2.5 * sigma**2), rel=0.01)
    assert found["mean_4_3"] == pytest.approx(50 * math.exp(3.5 * sigma**2), rel=0.02)
    assert found["geometric_mean"] == pytest.approx(50, rel=0.01)
    assert found["geometric_sd"] == pytest.approx(math.exp(sigma), rel=0.01)


def test_equal_weights_have_hazens_quantiles() -> None:
    sizes = np.sort(np.random.default_rng(1).gamma(2, 3, 101))
    shares = (0.1, 0.25, 0.5, 0.9)
    expected = [np.quantile(sizes, share, method="hazen") for share in shares]
    assert quantiles(sizes, np.full(101, 0.7), shares) == pytest.approx(expected)


def test_a_particle_of_weight_two_is_two_particles() -> None:
    sizes, weights = np.array([1.0, 2, 3, 5]), np.array([1.0, 2, 1, 3])
    twice = np.repeat(sizes, weights.astype(int))
    assert geometric(sizes, weights) == pytest.approx(geometric(twice, np.ones(7)))
    assert quantiles(sizes, weights, (0.5,))[0] == pytest.approx(np.median(twice), abs=0.5)


def test_what_does_not_count_is_no_part_of_a_sample() -> None:
    sample = Sample.of(
        np.array([3.0, np.nan, 1, 2]),
        np.array([1.0, 1, 1, 0]),
        np.array([0, 0, 2, 2]),
        np.ones(3),
        unit="nm",
    )
    assert sample.sizes.tolist() == [1, 3]
    assert sample.image.tolist() == [2, 0]
    assert (sample.n_particles, sample.n_images) == (2, 3)


def test_without_particles_sizes_are_not_defined_and_the_density_is_0() -> None:
    none = np.zeros(0)
    found = figures(Sample.of(none, none, none.astype(np.int64), np.ones(2)))
    assert found["number_density"] == 0
    assert all(math.isnan(found[name]) for name in LENGTHS)


@pytest.mark.parametrize(
    ("sizes", "image", "message"),
    [([1.0, 0], [0, 0], "sizes above 0, got 0 nm"), ([1.0, 2], [0, 1], "pictures 0 to 0, got 1")],
)
def test_samples_that_are_none_are_refused(
    sizes: list[float], image: list[int], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        Sample.of(np.array(sizes), np.ones(2), np.array(image), np.ones(1), unit="nm")


def test_one_particle_has_a_size_and_no_spread() -> None:
    mean, sd = geometric(np.array([3.0]), np.ones(1))
    assert mean == pytest.approx(3.0)
    assert math.isnan(sd)
