import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces.schema import Hyperparameters
from search_spaces.space import parse_space
from trainables.goal import Goal, Limit, Mode
from tune.directory.journal import Journal
from tune.driver.controller import MAX_CRASHES, MAX_LOSSES, Controller, Rules
from tune.driver.search import Search
from tune.stopping.asha import Asha, NoScheduler, Scheduler
from tune.stopping.decision import Rule
from tune.stopping.plateau import NoPlateau, Plateau, Slope, Std
from tune.study.configurations import Configurations

F1, LOSS = "seg_metrics/F1", "val/loss"


def make(
    path: Path,
    *,
    metric: str = F1,
    mode: Mode = "max",
    epochs: int = 30,
    trials: int = 4,
    hours: float | None = None,
    plateau: Plateau | None = None,
    scheduler: Scheduler | None = None,
    every: int = 1,
    **given: Any,
) -> Controller:
    scheduler = scheduler or NoScheduler()
    space, problems = parse_space(given.get("space", {"x": {"uniform": [0, 1]}}))
    assert not problems
    rules = Rules(
        goal=Goal(metric, mode, given.get("limits", ())),
        epochs=epochs,
        hours=hours,
        rungs=scheduler.rungs(epochs),
        reduction_factor=getattr(scheduler, "reduction_factor", 2),
        plateau=plateau or NoPlateau(),
        train_every=every,
    )
    search = Search(
        Configurations(space, Hyperparameters, {}),
        given.get("search", "tpe"),
        (),
        seed=0,
        trials=trials,
    )
    journal = Journal(path / "optuna.journal", "s", mode)
    return Controller(rules, search, journal, given.get("elapsed_s", lambda: 0.0))


def start(controller: Controller) -> int:
    assignment = controller.next_trial()
    assert assignment is not None
    return assignment.number


def feed(controller: Controller, number: int, values: list[float], metric: str = F1) -> Any:
    for epoch, value in enumerate(values, 1):
        decision = controller.report(number, epoch, {metric: value})
        if not decision.go_on:
            return decision
    return decision


def test_the_score_is_the_best_epochs_not_the_lasts(ram_path: Path) -> None:
    controller = make(ram_path, epochs=3)
    feed(controller, start(controller), [0.2, 0.8, 0.4])
    trial = controller._journal.trials()[0]
    assert trial.value == 0.8
    assert trial.intermediate_values == {1: 0.2, 2: 0.8, 3: 0.4}


def test_a_non_finite_value_ends_the_trial_at_that_report(ram_path: Path) -> None:
    controller = make(ram_path)
    decision = feed(controller, start(controller), [0.2, math.nan])
    assert (decision.go_on, decision.rule) == (False, Rule.DIVERGED)
    outcome = controller.outcomes[0]
    assert (outcome.state, outcome.epoch) == ("failed", 1)
    assert controller._journal.trials()[0].state.name == "FAIL"


def test_a_missing_metric_is_an_error_at_the_first_report(ram_path: Path) -> None:
    controller = make(ram_path)
    number = start(controller)
    decision = controller.report(number, 1, {"seg_metrics/f1": 0.5})
    assert (decision.go_on, decision.rule) == (False, Rule.ERROR)
    assert "no seg_metrics/F1; did you mean seg_metrics/f1?" in controller.outcomes[number].message


def test_an_epoch_left_out_is_an_error(ram_path: Path) -> None:
    controller = make(ram_path, epochs=9)
    number = start(controller)
    controller.report(number, 1, {F1: 0.1})
    assert controller.report(number, 3, {F1: 0.3}).rule is Rule.ERROR
    message = controller.outcomes[number].message
    assert message == "the engine reported epoch 3 where 2 was due"
    assert controller.last_epoch(number) == 1


def test_a_study_is_complete_when_no_trial_was_left_out_or_cut_short(ram_path: Path) -> None:
    elapsed = [0.0]
    controller = make(ram_path, trials=1, epochs=1, hours=1.0, elapsed_s=lambda: elapsed[0])
    number = start(controller)
    assert not controller.complete
    elapsed[0] = 3600.0
    controller.report(number, 1, {F1: 0.1})
    assert controller.outcomes[number].stop_reason == Rule.EPOCHS
    assert controller.complete


@pytest.mark.parametrize("metric", ["train_seg_metrics/F1", "overfit_gap"])
def test_a_watched_training_metric_is_expected_only_when_it_is_taken(
    ram_path: Path, metric: str
) -> None:
    controller = make(ram_path, plateau=Std(metric=metric, window=6, grace=6), every=2)
    number = start(controller)
    for epoch in range(1, 6):
        values = {F1: 0.1 * epoch} | ({metric: 0.5} if epoch % 2 == 0 else {})
        assert controller.report(number, epoch, values).go_on
    decision = controller.report(number, 6, {F1: 0.6, metric: 0.5})
    assert decision.rule is Rule.PLATEAU
    assert metric in controller.outcomes[number].message
    other = start(controller)
    controller.report(other, 1, {F1: 0.1})
    assert controller.report(other, 2, {F1: 0.1}).rule is Rule.ERROR


def test_watched_values_survive_a_restart(ram_path: Path) -> None:
    rule = Std(metric="train_seg_metrics/F1", window=3, grace=3)
    number = start(first := make(ram_path, plateau=rule))
    for epoch in (1, 2):
        first.report(number, epoch, {F1: 0.1 * epoch, "train_seg_metrics/F1": 0.5})
    second = make(ram_path, plateau=rule)
    assert second.unfinished == (number,)
    assert second.next_trial() is not None
    values = {F1: 0.3, "train_seg_metrics/F1": 0.5}
    assert second.report(number, 3, values).rule is Rule.PLATEAU


def test_a_minimised_objective_is_stopped_when_it_is_larger(ram_path: Path) -> None:
    asha = Asha(grace_period=2)
    controller = make(ram_path, metric=LOSS, mode="min", scheduler=asha, epochs=4)
    good, bad = start(controller), start(controller)
    feed(controller, good, [1.0, 0.5], LOSS)
    decision = feed(controller, bad, [1.0, 0.9], LOSS)
    assert (decision.rule, decision.cutoff, decision.value) == (Rule.ASHA, 0.5, 0.9)
    feed(controller, good, [1.0, 0.5, 0.3, 0.4], LOSS)
    assert controller._journal.trials()[good].value == 0.3


def test_a_falling_loss_is_no_plateau_and_no_collapse(ram_path: Path) -> None:
    plateau = Slope(window=5, grace=10)
    controller = make(ram_path, metric=LOSS, mode="min", plateau=plateau, epochs=40)
    falling = feed(controller, start(controller), [2.0 - 0.02 * e for e in range(40)], LOSS)
    assert falling.rule is Rule.EPOCHS
    flat = feed(controller, start(controller), [0.5] * 40, LOSS)
    assert flat.rule is Rule.PLATEAU


def test_an_epoch_reported_again_is_answered_as_before_and_written_once(ram_path: Path) -> None:
    controller = make(ram_path)
    number = start(controller)
    feed(controller, number, [0.1, 0.2])
    size = (ram_path / "optuna.journal").stat().st_size
    assert controller.report(number, 1, {F1: 0.9}).go_on
    assert (ram_path / "optuna.journal").stat().st_size == size
    assert controller._journal.trials()[0].intermediate_values[1] == 0.1


def test_a_crashed_worker_is_retried_and_then_given_up(ram_path: Path) -> None:
    controller = make(ram_path)
    number = start(controller)
    for _ in range(MAX_CRASHES - 1):
        assert controller.crashed(number, "its worker died")
        assert start(controller) == number
    assert not controller.crashed(number, "its worker died")
    assert controller.outcomes[number].message == f"its worker died ({MAX_CRASHES} times)"
    assert start(controller) == number + 1


def test_a_lost_node_is_no_crash_unless_a_trial_loses_one_after_the_other(ram_path: Path) -> None:
    controller = make(ram_path)
    number = start(controller)
    for _ in range(MAX_LOSSES - 1):
        assert controller.lost(number, "its node was lost")
        assert start(controller) == number, "it goes on before new trials begin"
    assert controller.crashed(number, "its worker died"), "a first crash"
    assert start(controller) == number
    controller = make(ram_path)  # another driver knows of them
    assert start(controller) == number
    assert not controller.lost(number, "its node was lost")
    assert controller.outcomes[number].message == f"its node was lost ({MAX_LOSSES} times)"


def test_crashes_are_counted_over_restarts(ram_path: Path) -> None:
    number = start(make(ram_path))
    for _ in range(MAX_CRASHES - 1):
        controller = make(ram_path)
        assert start(controller) == number
        assert controller.crashed(number, "its worker died")
    assert not make(ram_path).crashed(number, "its worker died")


def test_a_trial_that_gets_further_between_its_crashes_goes_on(ram_path: Path) -> None:
    number = start(make(ram_path))
    for epoch in range(1, 2 * MAX_CRASHES):
        controller = make(ram_path)
        assert start(controller) == number
        assert controller.report(number, epoch, {F1: 0.1}).go_on
        assert controller.crashed(number, "its worker died")
    for _ in range(MAX_CRASHES - 2):
        assert controller.crashed(number, "its worker died")
    assert not make(ram_path).crashed(number, "its worker died")


@pytest.mark.parametrize(("what", "most"), [("crashed", MAX_CRASHES), ("lost", MAX_LOSSES)])
def test_a_driver_killed_between_the_last_crash_and_its_outcome_fails_the_trial(
    ram_path: Path, what: str, most: int
) -> None:
    controller = make(ram_path)
    number = start(controller)
    controller._journal.annotate(number, what, [most, 0])
    resumed = make(ram_path)
    assert resumed.outcomes[number].stop_reason == Rule.ERROR
    assert start(resumed) == number + 1


def test_no_trial_is_started_after_the_hours_are_used_up(ram_path: Path) -> None:
    elapsed = [0.0]
    controller = make(ram_path, hours=1.0, elapsed_s=lambda: elapsed[0])
    number = start(controller)
    assert controller.report(number, 1, {F1: 0.1}).go_on
    elapsed[0] = 3600.0
    assert controller.next_trial() is None
    decision = controller.report(number, 2, {F1: 0.2})
    assert (decision.go_on, decision.rule) == (False, Rule.BUDGET)
    again = controller.report(number, 1, {F1: 0.1})
    assert again.rule is Rule.BUDGET, "nor is an epoch trained again, after a damaged checkpoint"
    assert controller.outcomes == {}


def test_with_more_hours_a_trial_goes_on_where_the_hours_were_used_up(ram_path: Path) -> None:
    elapsed = [0.0]
    first = make(ram_path, epochs=3, trials=1, hours=1.0, elapsed_s=lambda: elapsed[0])
    number = start(first)
    elapsed[0] = 3600.0
    assert first.report(number, 1, {F1: 0.1}).rule is Rule.BUDGET
    assert not first.complete
    without = make(ram_path, epochs=3, trials=1, hours=1.0, elapsed_s=lambda: elapsed[0])
    assert without.next_trial() is None
    second = make(ram_path, epochs=3, trials=1, hours=2.0, elapsed_s=lambda: elapsed[0])
    again = second.next_trial()
    assert again is not None
    assert (again.number, again.last_epoch) == (number, 1)
    assert second.report(number, 2, {F1: 0.2}).go_on
    assert second.report(number, 3, {F1: 0.3}).rule is Rule.EPOCHS
    assert second.complete


def test_a_rule_that_ends_a_trial_comes_before_the_hours(ram_path: Path) -> None:
    elapsed = [0.0]
    plateau = Slope(window=2, grace=2)
    controller = make(ram_path, hours=1.0, plateau=plateau, elapsed_s=lambda: elapsed[0])
    number = start(controller)
    controller.report(number, 1, {F1: 0.5})
    elapsed[0] = 3600.0
    assert controller.report(number, 2, {F1: 0.5}).rule is Rule.PLATEAU
    assert controller.outcomes[number].state == "complete"


def test_a_grid_is_walked_once_and_in_order(ram_path: Path) -> None:
    space = {"a": {"choice": [1, 2]}, "b": {"choice": ["x", "y"], "when": {"a": 2}}}
    controller = make(ram_path, space=space, search="grid", trials=50)
    seen = []
    while assignment := controller.next_trial():
        seen.append(dict(assignment.proposal.params))
        controller.fail(assignment.number, Rule.ERROR, "enough")
    assert seen == [{"a": 1}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]


def test_conditional_keys_are_sampled_only_where_their_condition_holds(ram_path: Path) -> None:
    space = {
        "optimizer": {"choice": ["SGD", "AdamW"]},
        "momentum": {"uniform": [0.5, 0.9], "when": {"optimizer": "SGD"}},
    }
    controller = make(ram_path, space=space, trials=40, epochs=1)
    kinds = set()
    while assignment := controller.next_trial():
        params = assignment.proposal.params
        kinds.add(params["optimizer"])
        assert ("momentum" in params) == (params["optimizer"] == "SGD")
        controller.report(assignment.number, 1, {F1: 0.5 if params["optimizer"] == "SGD" else 0.4})
    assert kinds == {"SGD", "AdamW"}


def test_proposals_depend_on_the_journal_alone(ram_path: Path) -> None:
    def params(folder: Path, n: int) -> list[dict[str, Any]]:
        folder.mkdir(exist_ok=True)
        controller = make(folder, trials=n, epochs=1)
        while assignment := controller.next_trial():
            x = assignment.proposal.params["x"]
            controller.report(assignment.number, 1, {F1: 1 - (x - 0.3) ** 2})
        return [dict(t.params) for t in controller._journal.trials()]

    whole = params(ram_path / "whole", 16)
    params(ram_path / "parts", 7)
    assert params(ram_path / "parts", 16) == whole


def test_tpe_comes_closer_to_the_optimum_than_its_start(ram_path: Path) -> None:
    controller = make(ram_path, trials=40, epochs=1, space={k: {"uniform": [0, 1]} for k in "xyz"})
    distances = []
    while assignment := controller.next_trial():
        distance = sum((v - 0.3) ** 2 for v in assignment.proposal.params.values())
        distances.append(distance)
        controller.report(assignment.number, 1, {F1: 1 - distance})
    assert sum(distances[-10:]) < sum(distances[:10])


COUNTS = "measure/count_error"
LIMITS = (Limit(COUNTS, at_most=0.1),)


def feed_both(controller: Controller, number: int, rows: list[tuple[float, float]]) -> None:
    for epoch, (f1, counts) in enumerate(rows, 1):
        controller.report(number, epoch, {F1: f1, COUNTS: counts})


def test_the_best_epoch_keeps_the_constraint_before_it_has_the_best_objective(
    ram_path: Path,
) -> None:
    controller = make(ram_path, limits=LIMITS, epochs=3)
    number = start(controller)
    feed_both(controller, number, [(0.9, 0.3), (0.6, 0.1), (0.5, 0.05)])
    (trial,) = controller._journal.trials()
    assert trial.value == 0.6
    assert trial.constraints == {COUNTS: 0.0}


def test_where_no_epoch_keeps_the_constraint_the_least_broken_one_counts(ram_path: Path) -> None:
    controller = make(ram_path, limits=LIMITS, epochs=3)
    number = start(controller)
    feed_both(controller, number, [(0.9, 0.5), (0.4, 0.2), (0.6, 0.2)])
    (trial,) = controller._journal.trials()
    assert trial.value == 0.6
    assert trial.constraints == {COUNTS: pytest.approx(0.1)}


def test_constraints_of_past_epochs_are_read_back_from_the_journal(ram_path: Path) -> None:
    number = start(first := make(ram_path, limits=LIMITS, epochs=3))
    feed_both(first, number, [(0.9, 0.3), (0.6, 0.1)])
    again = make(ram_path, limits=LIMITS, epochs=3)
    assert again.unfinished == (number,)
    again.report(number, 3, {F1: 0.5, COUNTS: 0.05})
    assert again._journal.trials()[number].value == 0.6


def test_a_report_without_the_constrained_metric_is_an_error_that_names_it(ram_path: Path) -> None:
    controller = make(ram_path, limits=LIMITS)
    number = start(controller)
    assert controller.report(number, 1, {F1: 0.5, "measure/count_eror": 0.2}).rule is Rule.ERROR
    assert "did you mean measure/count_eror?" in controller.outcomes[number].message


def test_a_constrained_value_that_is_not_finite_breaks_its_constraint_but_ends_no_trial(
    ram_path: Path,
) -> None:
    controller = make(ram_path, limits=(Limit(LOSS, at_most=1.0),), epochs=2)
    number = start(controller)
    assert controller.report(number, 1, {F1: 0.9, LOSS: math.nan}).go_on
    controller.report(number, 2, {F1: 0.1, LOSS: 0.5})
    assert controller._journal.trials()[number].value == 0.1


def test_asha_compares_the_objective_also_of_trials_that_break_a_constraint(
    ram_path: Path,
) -> None:
    controller = make(ram_path, limits=LIMITS, scheduler=Asha(grace_period=1), epochs=4)
    usable, unusable = start(controller), start(controller)
    controller.report(usable, 1, {F1: 0.5, COUNTS: 0.0})
    assert controller.report(unusable, 1, {F1: 0.6, COUNTS: 0.9}).go_on


def test_tpe_searches_where_the_constraint_is_kept(ram_path: Path) -> None:
    def late_mean(folder: Path, **given: Any) -> float:
        """Mean x of the later trials: F1 rises with x, the error exceeds 0.1 above x = 0.3."""
        folder.mkdir()
        controller = make(folder, trials=40, epochs=1, **given)
        while assignment := controller.next_trial():
            x = assignment.proposal.params["x"]
            controller.report(assignment.number, 1, {F1: x, COUNTS: max(0.0, x - 0.2)})
        return float(np.mean([t.params["x"] for t in controller._journal.trials()[-15:]]))

    free, held = late_mean(ram_path / "free"), late_mean(ram_path / "held", limits=LIMITS)
    assert free > 0.8
    assert held < 0.5


def test_a_measurement_error_that_is_watched_falls_towards_its_plateau(ram_path: Path) -> None:
    rule = Std(metric=COUNTS, window=3, grace=3)
    controller = make(ram_path, plateau=rule)
    number = start(controller)
    for epoch, error in enumerate([0.9, 0.5, 0.3], 1):
        assert controller.report(number, epoch, {F1: 0.5, COUNTS: error}).go_on
    for epoch in (4, 5):
        decision = controller.report(number, epoch, {F1: 0.5, COUNTS: 0.3})
    assert decision.rule is Rule.PLATEAU
