"""Races: who drops out, who is named, and how often that is right."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t as student

from benchmarks.races import simulate
from tune.stopping.race import Training, failed_value, interval, level_of, standings


def of(values: Sequence[Sequence[float | None]]) -> list[Training]:
    """Trainings that have ended, in the order of a race's rounds."""
    most = max(map(len, values))
    rounds = [[(c, row[k]) for c, row in enumerate(values) if k < len(row)] for k in range(most)]
    return [Training(c, ended=True, value=v) for one in rounds for c, v in one]


def test_races_are_right_as_often_as_they_should_be() -> None:
    noise, clear, small = (simulate([lead] + [0] * 5, races=300, seed=14) for lead in (0, 3, 0.5))
    assert noise.single <= 0.05
    assert clear.right >= 0.85
    assert clear.trainings <= 20
    assert min(noise.kept, clear.kept, small.kept) >= 0.95


def test_a_candidate_drops_out_by_the_pooled_t_test_against_the_leader() -> None:
    values = [[0.80, 0.82], [0.79, 0.80], [0.60, 0.63]]
    now = standings(of(values), 3, 9, "max")
    spread = math.sqrt(sum(np.var(row, ddof=1) for row in values) / 3)
    p = student.sf((0.81 - 0.615) / spread, 3)  # sqrt(1/2 + 1/2) is 1
    assert p < level_of(3)
    assert now.dropped[2].p == pytest.approx(p)
    assert (now.alive, now.degrees) == ((0, 1), 3)
    assert now.spread == pytest.approx(spread)
    assert now.due == 0  # both that are left get a third seed
    assert interval(now, (2, 2)) == pytest.approx(student.ppf(0.975, 3) * spread)


def test_a_round_waits_for_its_last_training_whatever_ran_at_once() -> None:
    begun = [Training(c, ended=True, value=v) for c, v in ((0, 0.8), (1, 0.7), (0, 0.81))]
    assert standings(begun, 2, 6, "max").due == 1
    now = standings([*begun, Training(1, ended=False)], 2, 6, "max")
    assert (now.due, now.over) == (None, False)


def test_a_race_ends_where_its_budget_has_no_round_more() -> None:
    alike = [[0.80, 0.82], [0.81, 0.79], [0.80, 0.81]]
    assert standings(of(alike), 3, 8, "max").over
    assert standings(of(alike), 3, 9, "max").due == 0


def test_a_failed_training_counts_as_0_and_leaves_the_spread_alone() -> None:
    now = standings(of([[0.80, 0.82], [0.81, None], [None, None]]), 3, 9, "max")
    assert now.mean == pytest.approx((0.81, 0.405, 0.0))
    assert now.degrees == 1
    assert now.spread == pytest.approx(math.sqrt(2e-4))
    assert now.alive[0] == 0


def test_where_smaller_is_better_the_smallest_leads_and_a_failure_counts_as_the_worst() -> None:
    trainings = of([[0.30, 0.31], [0.10, 0.11], [0.12, None]])
    assert failed_value(trainings, "min") == 0.31
    now = standings(trainings, 3, 9, "min")
    assert now.alive[0] == 1
    assert now.mean[2] == pytest.approx((0.12 + 0.31) / 2)
    assert set(now.dropped) == {0, 2}
