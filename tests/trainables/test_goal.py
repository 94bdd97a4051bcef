import math

import pytest

from trainables.goal import NO_STANDING, Goal, Limit, Mode, best_of, in_order, standing, violation

ERROR = "measure/count_error"


@pytest.mark.parametrize(
    ("limit", "value", "excess"),
    [
        pytest.param(Limit(ERROR, at_most=0.1), 0.1, 0.0, id="the bound itself is kept"),
        pytest.param(Limit(ERROR, at_most=0.1), 0.3, 0.2, id="above"),
        pytest.param(Limit(ERROR, at_most=0.1), 0.0, -0.1, id="room left"),
        pytest.param(Limit(ERROR, at_least=0.8), 0.5, 0.3, id="below"),
        pytest.param(Limit(ERROR, at_most=1.0, at_least=-1.0), -1.5, 0.5, id="below a range"),
        pytest.param(Limit(ERROR, at_most=1.0, at_least=-1.0), 0.5, -0.5, id="within a range"),
        pytest.param(Limit(ERROR, at_most=0.1), math.nan, math.inf, id="not a number"),
        pytest.param(Limit(ERROR, at_most=0.1), -math.inf, math.inf, id="infinite"),
    ],
)
def test_a_limit_is_broken_by_what_lies_beyond_it(
    limit: Limit, value: float, excess: float
) -> None:
    assert limit.excess({ERROR: value}) == pytest.approx(excess)


def test_a_missing_metric_breaks_its_limit() -> None:
    assert Limit(ERROR, at_most=0.1).excess({}) == math.inf


def test_room_left_in_one_limit_does_not_make_up_for_another_that_is_broken() -> None:
    assert violation([-5.0, 0.2, 0.1]) == pytest.approx(0.3)
    assert violation([-5.0, 0.0]) == 0.0


@pytest.mark.parametrize("mode", ["max", "min"])
def test_first_what_keeps_the_limits_then_what_breaks_them_by_less_then_the_objective(
    mode: Mode,
) -> None:
    good, bad = (0.9, 0.1) if mode == "max" else (0.1, 0.9)
    order = [(good, 0.0), (bad, 0.0), (good, 0.1), (bad, 0.1), (good, 0.2)]
    by_rank = sorted(order, key=lambda pair: standing(pair[0], pair[1], mode), reverse=True)
    assert by_rank == order


def test_a_limit_says_what_it_asks_for() -> None:
    assert str(Limit(ERROR, at_most=0.1)) == "measure/count_error at most 0.1"
    assert str(Limit(ERROR, 0.05, -0.05)) == ("measure/count_error at least -0.05 and at most 0.05")


def test_a_goal_ranks_epochs_by_its_limits_and_then_by_its_objective() -> None:
    goal = Goal("val/loss", "min", (Limit(ERROR, at_most=0.1),))
    epochs = [
        {"val/loss": math.nan, ERROR: 0.0},
        {ERROR: 0.0},
        {"val/loss": 0.1, ERROR: 0.5},
        {"val/loss": 0.9, ERROR: 0.2},
        {"val/loss": 0.8, ERROR: 0.1},
        {"val/loss": 0.7, ERROR: 0.0},
    ]
    standings = [goal.standing(values) for values in epochs]
    assert standings == sorted(standings)
    assert len(set(standings)) == len(epochs) - 1, "without an objective, one is as bad as another"


def test_the_best_is_the_first_of_the_highest_and_never_one_without_a_value() -> None:
    goal = Goal("f1", limits=(Limit(ERROR, at_most=0.1),))
    epochs = [
        {"f1": math.nan, ERROR: 0.0},
        {"f1": 0.9, ERROR: 0.2},
        {"f1": 0.5, ERROR: 0.1},
        {"f1": 0.5, ERROR: 0.0},
        {ERROR: 0.0},
    ]
    assert best_of(epochs, goal.standing) is epochs[2]
    assert in_order(epochs, goal.standing) == [epochs[n] for n in (2, 3, 1, 0, 4)]
    assert best_of([epochs[0], epochs[4]], goal.standing) is None
    assert best_of([], goal.standing) is None


def test_an_epoch_whose_limit_cannot_be_told_is_better_than_one_without_a_value() -> None:
    goal = Goal("f1", limits=(Limit(ERROR, at_most=0.1),))
    assert best_of([{}, {"f1": 0.2}], goal.standing) == {"f1": 0.2}
    assert goal.improves({"f1": 0.2}, None)
    assert not goal.improves({"f1": math.inf}, None)
    assert goal.improves({"f1": 0.2}, {"f1": 0.2}), "of equal epochs the later one"
    assert not goal.improves({"f1": math.nan}, {"f1": math.nan})
    assert goal.improves({"f1": 0.1, ERROR: 0.0}, {"f1": 0.2})


def test_a_standing_is_the_same_from_metrics_and_from_a_value_with_its_excess() -> None:
    goal = Goal("val/loss", "min", (Limit(ERROR, at_most=0.1), Limit("f1", at_least=0.5)))
    values = {"val/loss": 0.7, ERROR: 0.3, "f1": 0.4}
    assert goal.excess(values) == pytest.approx({ERROR: 0.2, "f1": 0.1})
    assert goal.standing_of(0.7, goal.excess(values).values()) == goal.standing(values)
    assert goal.standing_of(None) == NO_STANDING
