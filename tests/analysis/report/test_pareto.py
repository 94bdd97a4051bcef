from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report.pareto import F1, fronts_of, pareto_fronts
from tests.analysis.report.test_importance import trial
from tune.directory.reader import StudyDir, TrialRecord

COUNTS, SIZES = "measure/count_error", "measure/size_distance"


def at(number: int, f1: float, counts: float, **more: float) -> TrialRecord:
    row = {"epoch": 1, F1: f1, COUNTS: counts, **more}
    return replace(trial(number, [f1]), metrics=(row,))


def test_a_trial_is_on_the_front_if_no_other_is_as_good_in_both_and_better_in_one() -> None:
    trials = [at(0, 0.9, 0.5), at(1, 0.8, 0.2), at(2, 0.7, 0.3), at(3, 0.6, 0.1), at(4, 0.6, 0.2)]
    (front,) = pareto_fronts(trials)
    assert front.error == COUNTS
    assert [t.number for t in front.trials] == [0, 1, 3]
    assert [t.number for t in front.others] == [2, 4]


def test_equal_trials_are_on_the_front_together() -> None:
    (front,) = pareto_fronts([at(0, 0.9, 0.1), at(1, 0.9, 0.1), at(2, 0.9, 0.2)])
    assert [t.number for t in front.trials] == [0, 1]


def test_each_error_has_a_front_of_its_own() -> None:
    trials = [at(0, 0.9, 0.5, **{SIZES: 0.1}), at(1, 0.8, 0.2, **{SIZES: 0.2})]
    fronts = pareto_fronts(trials)
    assert [fronts_of(t, fronts) for t in trials] == [
        ["count_error", "size_distance"],
        ["count_error"],
    ]


def test_a_failed_trial_and_one_without_the_values_are_on_no_front() -> None:
    failed = replace(at(0, 0.9, 0.1), state="failed")
    silent = trial(1, [0.9])
    assert pareto_fronts([failed, silent]) == ()
    (front,) = pareto_fronts([failed, silent, at(2, 0.1, 0.9)])
    assert [t.number for t in front.trials] == [2]
    assert front.others == ()


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(points)
def test_the_front_is_what_its_definition_says(rows: list[tuple[int, int]]) -> None:
    (front,) = pareto_fronts([at(n, f1 / 6, error / 6) for n, (f1, error) in enumerate(rows)])

    def dominated(f1: int, error: int) -> bool:
        return any(a >= f1 and b <= error and (a, b) != (f1, error) for a, b in rows)

    expected = {n for n, row in enumerate(rows) if not dominated(*row)}
    assert {t.number for t in front.trials} == expected
    assert {t.number for t in front.others} == set(range(len(rows))) - expected


@pytest.mark.parametrize("name", ["count_error", "diameter_bias", "size_distance"])
def test_a_studys_trials_have_a_front_of_every_measurement_error(
    finished: StudyDir, name: str
) -> None:
    front = next(f for f in pareto_fronts(finished.trials()) if f.name == name)
    f1s = [t.best_metrics[F1] for t in front.trials]
    errors = [t.best_metrics[front.error] for t in front.trials]
    assert f1s == sorted(f1s, reverse=True)
    assert errors == sorted(errors, reverse=True)
