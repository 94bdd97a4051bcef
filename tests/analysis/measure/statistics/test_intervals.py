"""Intervals over pictures: how often they hold the truth, and when there is none."""

import math

import numpy as np
import pytest

from analysis.measure.statistics.distribution import FIGURES
from analysis.measure.statistics.intervals import Estimate, estimates, more_needed, t_factor
from analysis.measure.statistics.sample import Sample
from benchmarks.measure_intervals import Plane, coverage


def sample(n_images: int, each: int = 40, spread: float = 0.05, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(n_images), each)
    sizes = rng.lognormal(3 + rng.normal(0, spread, n_images)[image], 0.3)
    return Sample.of(sizes, np.ones(len(sizes)), image, np.full(n_images, 1e4), unit="nm")


@pytest.mark.slow
@pytest.mark.parametrize("n_images", [3, 5, 10, 20])
def test_nine_to_ninety_nine_of_a_hundred_intervals_hold_the_truth(n_images: int) -> None:
    """The table of 2,000 runs stands in docs/performance.md."""
    shares = coverage(Plane(), n_images, runs=300)
    assert set(shares) == {"d10_number", "d50_number", "d90_number", "number_density"}
    assert all(0.90 <= share <= 0.99 for share in shares.values()), shares


def test_the_interval_of_a_mean_is_students() -> None:
    """Of pictures with as many particles each, the standard error is that of their means."""
    found = estimates(sample(12))["mean_1_0"]
    picture = sample(12)
    means = [picture.sizes[picture.image == i].mean() for i in range(12)]
    assert found.value == pytest.approx(np.mean(means))
    assert found.se == pytest.approx(np.std(means, ddof=1) / math.sqrt(12), rel=0.15)
    half = t_factor(11) * (found.se or 0)
    assert found.interval == pytest.approx((found.value - half, found.value + half))


def test_a_single_picture_has_no_interval() -> None:
    found = estimates(sample(1))
    assert set(found) == set(FIGURES)
    for one in found.values():
        assert (one.se, one.interval, one.half_width) == (None, None, None)
    assert more_needed(found["d50_number"]) is None


def test_figures_that_some_draws_do_not_have_have_no_interval() -> None:
    one_full = Sample.of(np.array([3.0, 4]), np.ones(2), np.array([0, 0]), np.ones(3))
    found = estimates(one_full)
    assert found["d50_number"].interval is None
    assert found["number_density"].interval is not None


def test_an_interval_says_what_it_rests_on() -> None:
    found = estimates(sample(5))["d90_volume"]
    assert (found.n_images, found.degrees, found.n_particles) == (5, 4, 200)
    assert found.border == "particles wholly inside, with Miles-Lantuejoul weights"
    assert found.name == "d90_volume"


def test_the_same_particles_have_the_same_interval() -> None:
    assert estimates(sample(6)) == estimates(sample(6))


def test_a_picture_without_particles_is_one_too() -> None:
    few = sample(4)
    more = Sample.of(few.sizes, few.weights, few.image, np.full(8, 1e4))
    found, before = estimates(more)["number_density"], estimates(few)["number_density"]
    assert found.value == pytest.approx(before.value / 2)
    assert found.n_images == 8
    assert (found.se or 0) > 10 * (before.se or 0)


def test_the_fewest_pictures_that_reach_five_per_cent_are_asked_for() -> None:
    found = Estimate("d50_number", 100.0, 8.0, 5, 250, "")
    needed = more_needed(found)
    assert needed is not None
    spread = 8.0 * math.sqrt(5)
    total = needed.images + 5
    assert t_factor(total - 1) * spread / math.sqrt(total) <= 5
    assert t_factor(total - 2) * spread / math.sqrt(total - 1) > 5
    assert needed.particles == needed.images * 50


def test_nothing_more_is_needed_where_five_per_cent_is_reached() -> None:
    needed = more_needed(Estimate("d50_number", 100.0, 0.5, 10, 400, ""))
    assert needed is not None
    assert (needed.images, needed.particles) == (0, 0)
    assert more_needed(Estimate("number_density", 0.0, 0.0, 10, 0, "")) is None
