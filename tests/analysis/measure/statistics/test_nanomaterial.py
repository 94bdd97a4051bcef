"""The share of particles at most 100 nm small, with the verdict of the EU's definition."""

import math

import numpy as np
import pytest

from analysis.measure.statistics.nanomaterial import nano_share
from analysis.measure.statistics.sample import Sample


def sample(shares: list[float], each: int = 100) -> Sample:
    """Pictures with these shares of particles of 60 nm, the rest of 300 nm."""
    sizes = [np.where(np.arange(each) < round(share * each), 60.0, 300.0) for share in shares]
    image = np.repeat(np.arange(len(shares)), each)
    return Sample.of(np.concatenate(sizes), np.ones(len(image)), image, np.ones(len(shares)))


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([0.8, 0.82, 0.79, 0.81], "nanomaterial"),
        ([0.2, 0.22, 0.19, 0.21], "no nanomaterial"),
        ([0.45, 0.6, 0.5, 0.55], "open: the interval holds"),
        ([0.9], "open: too few pictures with particles"),
    ],
)
def test_the_verdict_is_the_intervals(shares: list[float], verdict: str) -> None:
    found = nano_share(sample(shares), 1.0, 5.0)
    assert found.value == pytest.approx(np.mean(shares))
    assert found.verdict.startswith(verdict)
    assert (found.interval is None) == (len(shares) == 1)
    assert found.words.startswith(f"{100 * found.value:.1f} % by number")
    assert found.words.endswith(f"EU: {found.verdict}")
    if found.interval is not None:
        low, high = found.interval
        assert f"({100 * low:.1f} to {100 * high:.1f} %, 95 %)" in found.words


def test_the_unit_of_the_sizes_is_taken_into_account() -> None:
    in_um = Sample.of(np.array([0.1, 0.2, 0.1001]), np.ones(3), np.zeros(3, np.int64), np.ones(1))
    assert nano_share(in_um, 1e3, 5.0).value == pytest.approx(1 / 3)


def test_weights_count() -> None:
    weighted = Sample.of(np.array([50.0, 200]), np.array([1.0, 3]), np.array([0, 0]), np.ones(1))
    assert nano_share(weighted, 1.0, 5.0).value == pytest.approx(0.25)


def test_pictures_that_agree_leave_the_chance_of_a_large_one() -> None:
    """Wilson's interval of 300 of 300, by hand: from 1 / (1 + 1.96^2 / 300) on."""
    found = nano_share(sample([1.0, 1.0, 1.0]), 1.0, 5.0)
    assert found.interval == pytest.approx((1 / (1 + 1.959964**2 / 300), 1.0))


def test_without_particles_there_is_no_share() -> None:
    none = np.zeros(0)
    found = nano_share(Sample.of(none, none, none.astype(np.int64), np.ones(3)), 1.0, 5.0)
    assert math.isnan(found.value)
    assert found.interval is None
    assert found.verdict.startswith("open")


@pytest.mark.parametrize(
    ("shares", "pixel_nm", "verdict"),
    [
        ([0.0, 0.0, 0.0, 0.0], 12.5, "no nanomaterial"),  # 100 nm are 8 px
        ([0.0, 0.0, 0.0, 0.0], 12.6, "open: 100 nm are 7.9 px here"),
        ([0.0, 0.0, 0.0, 0.0], 500.0, "open: 100 nm are 0.2 px here"),
        ([0.8, 0.82, 0.79, 0.81], 30.0, "nanomaterial"),  # small ones that were missed add to it
    ],
)
def test_that_few_are_small_says_nothing_where_small_ones_cannot_be_seen(
    shares: list[float], pixel_nm: float, verdict: str
) -> None:
    assert nano_share(sample(shares), 1.0, pixel_nm).verdict.startswith(verdict)
