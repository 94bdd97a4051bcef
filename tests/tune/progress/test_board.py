"""The account of a study's trials."""

import pytest

from tests.support.shown_studies import METRIC, STOPPED, board, filled
from trainables.goal import Limit


def test_the_best_trial_is_that_of_the_best_epoch() -> None:
    made = board()
    for number, values in enumerate([(0.2, 0.5, 0.1), (0.3, 0.4, 0.45), (float("nan"), 0.1, 0.2)]):
        made.start(number, 0.0)
        for epoch, value in enumerate(values, 1):
            made.report(number, epoch, {METRIC: value}, float(epoch))
    assert made.best is made.trials[0]
    assert (made.best.best, made.best.best_epoch, made.best.last) == (0.5, 2, 0.1)
    assert [view.number for view in made.ranked] == [0, 1, 2]


def test_of_a_loss_the_best_is_the_lowest() -> None:
    made = filled(10, mode="min")
    assert made.best is made.trials[0]


def test_a_trial_that_keeps_the_constraints_is_best_however_high_the_others_are() -> None:
    made = board()
    made.limits = (Limit("measure/count_error", at_most=0.1),)
    for number, rows in enumerate([[(0.9, 0.3), (0.8, 0.2)], [(0.4, 0.05), (0.7, 0.2)]]):
        made.start(number, 0.0)
        for epoch, (value, error) in enumerate(rows, 1):
            made.report(number, epoch, {METRIC: value, "measure/count_error": error}, float(epoch))
    assert [(view.number, view.best, view.best_epoch) for view in made.ranked] == [
        (1, 0.4, 1),
        (0, 0.8, 2),
    ]
    assert made.trials[0].violation == pytest.approx(0.1)


def test_a_metric_that_is_missing_is_shown_as_missing() -> None:
    made = board()
    made.start(0, 0.0)
    made.report(0, 1, {}, 1.0)
    assert made.trials[0].last is None
    assert made.best is None


def test_all_trials_are_shown_where_there_is_room_best_first() -> None:
    made = filled(12)
    made.start(12, 12.0)
    (section,) = made.sections(20)
    assert [view.number for view in section.trials] == [*reversed(range(12)), 12]


def test_hyperparameters_differ_where_a_trial_has_another_value_or_none() -> None:
    made = board()
    made.start(0, 0.0, {"batch": 8, "lr0": 0.1, "imgsz": 160})
    made.start(1, 0.0, {"batch": 8, "lr0": 0.2, "imgsz": 160, "momentum": 0.9})
    assert made.varied == ["lr0", "momentum"]


@pytest.mark.parametrize("rows", [14, 20, 40])
@pytest.mark.parametrize("running", [2, 8, 30])
def test_of_many_trials_the_running_the_best_and_the_last_are_shown(
    rows: int, running: int
) -> None:
    made = filled(60, running)
    current, best, last = made.sections(rows)
    shown = [view.number for section in (current, best, last) for view in section.trials]
    assert len(shown) == len(set(shown))
    assert {view.state for view in current.trials} == {"running"}
    assert current.hidden == running - len(current.trials)
    assert best.trials[0].number == 59 - running
    assert last.trials[0].number == 59 - running - len(best.trials)


def test_the_time_left_runs_on_between_two_estimates_and_is_held_to_the_budget() -> None:
    made = filled(10)
    first, second = made.left(10.0), made.left(11.0)
    assert first is not None
    assert second is not None
    assert second.seconds == pytest.approx(first.seconds - 1)
    made.hours = 15 / 3600
    held = made.left(11.0)
    assert held is not None
    assert held.seconds <= 4.0


def test_the_study_has_a_time_left_as_soon_as_a_trial_has_one() -> None:
    made = board()
    made.start(0, 0.0)
    assert made.left(0.9) is None
    made.report(0, 1, {METRIC: 0.5}, 1.0)
    assert made.left_of(made.trials[0], 1.0) is not None
    assert made.left(1.0) is not None


def test_of_trials_with_equal_values_the_first_is_best_whichever_reported_first() -> None:
    made = board()
    for number in (2, 0, 1):
        made.start(number, 0.0)
        made.report(number, 1, {METRIC: 0.5}, 1.0)
    assert made.best is made.trials[0]
    assert [view.number for view in made.ranked] == [0, 1, 2]


def test_time_left_is_the_same_whenever_it_was_last_asked_for() -> None:
    asked, unasked = board(20), board(20)
    for number in range(6):
        for made in (asked, unasked):
            made.start(number, 10.0 * number)
            for epoch in (1, 2, 3):
                made.report(number, epoch, {METRIC: 0.1}, 10.0 * number + epoch)
            if number < 4:
                made.end(number, STOPPED, 10.0 * number + 5)
        asked.left(10.0 * number + 6)
    assert asked.left(60.0) == unasked.left(60.0) is not None
    running = asked.trials[5]
    assert asked.left_of(running, 60.0) == unasked.left_of(unasked.trials[5], 60.0) is not None
    assert asked.left_of(asked.trials[0], 60.0) is None


def test_an_interrupted_study_has_its_unfinished_trials_wait() -> None:
    made = filled(5, running=2)
    made.interrupt()
    assert made.running == []
    assert [view.number for view in made.trials.values() if view.state == "waiting"] == [3, 4]
    assert len(made.ended) == 3
