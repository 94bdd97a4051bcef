import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.domains import ChoiceDomain, FloatDomain, IntDomain, parse_domain
from search_spaces.space import domain_values

WRITTEN: dict[str, dict[str, Any]] = {
    "uniform": {"uniform": [0.6, 0.98]},
    "loguniform": {"loguniform": [1e-5, 0.1]},
    "quniform": {"quniform": [0.0, 0.2, 0.05]},
    "randint": {"randint": [0, 5]},
    "choice": {"choice": [2, 4, 8]},
    "fixed": {"fixed": 1.0},
}


@pytest.mark.parametrize("kind", WRITTEN)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_drawn_lies_in_the_domain(kind: str, seed: int) -> None:
    domain = parse_domain(WRITTEN[kind])
    assert domain.draw(Random(seed)) in domain


@pytest.mark.parametrize("kind", ["uniform", "loguniform", "quniform", "randint", "choice"])
@given(value=st.floats(-1e6, 1e6))
def test_the_nearest_value_lies_in_the_domain(kind: str, value: float) -> None:
    domain = parse_domain(WRITTEN[kind])
    assert domain.nearest(value) in domain


@given(value=st.floats(-1, 1))
def test_nothing_in_a_stepped_domain_is_closer_than_the_nearest(value: float) -> None:
    near = FloatDomain(0.0, 0.2, step=0.05).nearest(value)
    assert all(abs(near - value) <= abs(0.05 * i - value) + 1e-9 for i in range(5))


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.8, 0.9, 0.1, [0.8, 0.9]),
        (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]),
        (0.0, 0.2, 0.05, [0.0, 0.05, 0.1, 0.15, 0.2]),
        (0.6, 0.95, 0.05, [0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]),
        (1e-5, 3e-5, 1e-5, [1e-5, 2e-5, 3e-5]),
        (0.0, 1.0, 0.3, [0.0, 0.3, 0.6, 0.9]),
        (0.0, 1.0, 1 / 3, [0.0, 1 / 3, 0.6666666666666666, 1.0]),
        (0.0, 1.0, 0.33333334, [0.0, 0.33333334, 0.66666668, 1.0]),
        (-0.3, 0.3, 0.3, [-0.3, 0.0, 0.3]),
        (16.0, 64.0, 16.0, [16.0, 32.0, 48.0, 64.0]),
    ],
)
def test_steps_are_the_numbers_that_people_write_however_they_are_rounded(
    low: float, high: float, step: float, values: list[float]
) -> None:
    domain = parse_domain({"quniform": [low, high, step]})
    assert isinstance(domain, FloatDomain)
    assert domain_values(domain) == values, "to the last bit"
    assert domain.n_values == len(values)
    assert {domain.draw(Random(seed)) for seed in range(200)} == set(values)
    for i, value in enumerate(values):
        assert value in domain
        assert low + i * step in domain, "added up by whoever wrote a point"
        assert domain.nearest(low + i * step) == value
        assert value + step / 2 not in domain


def test_a_number_that_is_none_is_in_no_stepped_domain() -> None:
    domain = FloatDomain(0.0, 0.2, step=0.05)
    assert not any(value in domain for value in (math.nan, math.inf, -math.inf, -0.05, 0.25))


def test_randint_excludes_its_upper_end() -> None:
    assert str(parse_domain({"randint": [0, 5]})) == "whole numbers 0 to 4"
    drawn = {parse_domain({"randint": [0, 5]}).draw(Random(seed)) for seed in range(100)}
    assert drawn == {0, 1, 2, 3, 4}


def test_loguniform_draws_every_decade_alike() -> None:
    domain = parse_domain({"loguniform": [1e-4, 1.0]})
    drawn = [float(str(domain.draw(Random(seed)))) for seed in range(4000)]
    decades = [math.floor(math.log10(value)) for value in drawn]
    shares = [decades.count(decade) / 4000 for decade in (-4, -3, -2, -1)]
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_a_truth_value_is_no_number() -> None:
    assert True not in FloatDomain(0, 2)
    assert True not in IntDomain(0, 2)
    assert True not in ChoiceDomain((1, 2))
    assert 1 in ChoiceDomain((1, 2))


def test_the_nearest_of_a_choice_is_the_choice_itself() -> None:
    assert repr(ChoiceDomain((2, 8)).nearest(8.0)) == "8"
    assert ChoiceDomain((2, 4, 8)).nearest(16) == 8
    assert ChoiceDomain(("AdamW", "SGD")).nearest("auto") == "AdamW"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (3, "expected a domain such as {uniform: [0, 1]}, got 3"),
        ({}, "expected one of uniform, loguniform"),
        ({"log_uniform": [1, 2]}, "got log_uniform; did you mean loguniform?"),
        ({"uniform": [0, 1], "choice": [1]}, "got uniform, choice"),
        ({"uniform": [0]}, "expected uniform: [low, high] with 2 numbers, got [0]"),
        ({"uniform": [0, True]}, "with 2 numbers, got [0, True]"),
        ({"uniform": [0, math.inf]}, "with 2 numbers, got [0, inf]"),
        ({"uniform": [1, 0]}, "with low < high, got [1, 0]; did you mean [0, 1]?"),
        ({"uniform": [1, 1]}, "with low < high, got [1, 1]"),
        ({"loguniform": [0, 1]}, "with low > 0, got [0, 1]"),
        ({"uniform": [0, 10**400]}, "with 2 numbers, got [0, 1000"),
        ({"quniform": [0, 1, 2]}, "with a step that fits, got [0, 1, 2]"),
        ({"quniform": [0, 1, 1e-30]}, "with a step that fits, got [0, 1, 1e-30]"),
        ({"randint": [0, 1.5]}, "with whole numbers, got [0, 1.5]"),
        ({"choice": []}, "expected choice: a list of one value or more, got []"),
        ({"choice": 4}, "expected choice: a list of one value or more, got 4"),
        ({"choice": [[1]]}, "numbers, texts, true, false or null, got [1]"),
        ({"choice": [1, 2, 1]}, "expected choice: every value once, got [1, 2, 1]"),
    ],
)
def test_a_broken_domain_is_refused_with_what_was_expected(written: object, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        parse_domain(written)
    assert message in str(error.value)
