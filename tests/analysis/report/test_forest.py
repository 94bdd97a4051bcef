"""Shares of the keys of many trials, judged by Optuna, by scikit-learn and by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from optuna import create_study, logging
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial
from sklearn.ensemble import RandomForestRegressor

from analysis.report.forest import BINS, Binned, shares_of

Floats = npt.NDArray[np.float64]


def optunas(keys: Mapping[str, Sequence[Any]], values: Floats) -> list[float]:
    """Shares in the order of the keys, by Optuna's forest of 64 unbounded trees."""
    logging.set_verbosity(logging.ERROR)
    known: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(tuple(dict.fromkeys(given)))
        if isinstance(given[0], str)
        else FloatDistribution(min(given), max(given))
        for name, given in keys.items()
    }
    study = create_study()
    for place, value in enumerate(values):
        params = {name: given[place] for name, given in keys.items()}
        study.add_trial(create_trial(params=params, distributions=known, value=value))
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return [found[name] for name in keys]


def binned(keys: Mapping[str, Sequence[Any]]) -> list[Binned]:
    return [
        Binned.of_choices(given)
        if isinstance(given[0], str)
        else Binned.of_numbers(np.array(given, float))
        for given in keys.values()
    ]


def drawn(n: int) -> tuple[dict[str, Sequence[Any]], Floats]:
    """Keys of every kind; `kind` decides whether `rate` matters, `batch` little, `idle` nothing."""
    random = np.random.default_rng(0)
    keys: dict[str, Sequence[Any]] = {
        "rate": random.uniform(size=n).tolist(),
        "kind": random.choice(["a", "b", "c"], n).tolist(),
        "batch": random.choice([2.0, 4.0, 8.0], n).tolist(),
        "idle": random.uniform(size=n).tolist(),
    }
    rate, kind, batch, _ = (np.array(given) for given in keys.values())
    values = np.where(kind == "a", rate, 0.3) + 0.02 * batch + random.normal(0, 0.02, n)
    return keys, values


def test_shares_of_numbers_are_those_of_optunas_forest() -> None:
    keys, values = drawn(400)
    keys["kind"] = [float("abc".index(name)) for name in keys["kind"]]
    shares, _ = shares_of(binned(keys), values)
    theirs = optunas(keys, values)
    assert shares.sum() == pytest.approx(1)
    assert np.argsort(shares).tolist() == np.argsort(theirs).tolist()
    assert shares.tolist() == pytest.approx(theirs, abs=0.06)


def test_shares_of_every_kind_of_key_are_those_of_their_variances() -> None:
    keys, values = drawn(800)
    shares, _ = shares_of(binned(keys), values)
    # Optuna's forest gives 0.65 to `rate`: it takes a choice of three for three free columns
    rate = (1 / 3) ** 2 / 12  # a third of the uniform variance's root
    kind = (0.5 - 0.3) ** 2 * (1 / 3) * (2 / 3)
    batch = sum(w * (0.02 * b - 0.1) ** 2 for w, b in ((1 / 6, 2), (1 / 2, 4), (1 / 3, 8)))
    known = np.array([rate, kind, batch, 0.0])
    assert shares.tolist() == pytest.approx((known / known.sum()).tolist(), abs=0.05)


def test_unseen_trials_are_predicted_as_well_as_by_scikit_learns_forest() -> None:
    keys, values = drawn(400)
    _, explained = shares_of(binned(keys), values)
    rate, kind, batch, idle = (np.array(given) for given in keys.values())
    columns = [rate, *(kind == name for name in "abc"), batch, idle]
    judge = RandomForestRegressor(200, oob_score=True, random_state=0)
    judge.fit(np.column_stack(columns), values)
    assert explained == pytest.approx(judge.oob_score_, abs=0.05)


def test_noise_is_not_predicted() -> None:
    random = np.random.default_rng(1)
    keys = {"a": random.uniform(size=300).tolist(), "b": random.uniform(size=300).tolist()}
    assert shares_of(binned(keys), random.uniform(size=300))[1] < 0.1


def test_a_step_and_a_smaller_one_share_as_their_variances() -> None:
    places = np.array([[a, b] for a in (0, 1) for b in (0, 1)] * 60)
    values = 3.0 * places[:, 0] + 1.0 * places[:, 1]  # variances 9/4 and 1/4
    keys = [Binned(places[:, k], np.array([0.5, 0.5])) for k in (0, 1)]
    shares, explained = shares_of(keys, values)
    assert shares.tolist() == pytest.approx([0.9, 0.1], abs=0.005)
    assert explained == pytest.approx(1)


def test_equal_draws_give_equal_shares() -> None:
    keys, values = drawn(250)
    first, again = shares_of(binned(keys), values), shares_of(binned(keys), values)
    assert first[0].tolist() == again[0].tolist()
    assert first[1] == again[1]


def test_bins_of_few_numbers_end_in_the_middle_between_them() -> None:
    bins = Binned.of_numbers(np.array([2.0, 8.0, 4.0, 2.0]))
    assert bins.places.tolist() == [0, 2, 1, 0]
    assert bins.widths.tolist() == pytest.approx([1 / 6, 3 / 6, 2 / 6])


def test_bins_of_many_numbers_are_limited_and_cover_the_range() -> None:
    bins = Binned.of_numbers(np.random.default_rng(0).lognormal(size=5000))
    assert len(bins.widths) <= BINS
    assert bins.widths.sum() == pytest.approx(1)
    assert 0 <= bins.places.min() <= bins.places.max() < len(bins.widths)


def test_choices_are_told_apart_by_what_they_are() -> None:
    bins = Binned.of_choices([None, "None", 1, None])
    assert bins.places.tolist() == [0, 1, 2, 0]
    assert bins.widths.tolist() == pytest.approx([1 / 3] * 3)
