"""Trials in the order of their objective, the best first."""

from collections.abc import Iterable

from trainables.goal import Goal, Standing, in_order
from tune.directory.reader import TrialRecord


def ranked(trials: Iterable[TrialRecord], goal: Goal) -> list[TrialRecord]:
    """Trials by the standing of their best epoch, best first.

    Trials that keep the study's constraints come before those that do not, and of these the ones
    that break them by less. Trials without a value come after those with one, failed trials last;
    of equal ones the earlier trial leads.
    """
    by_number = sorted(trials, key=lambda trial: trial.number)
    ordered = in_order(by_number, lambda trial: standing_in(trial, goal))
    return sorted(ordered, key=lambda trial: trial.state == "failed")


def best_trial(trials: Iterable[TrialRecord], goal: Goal) -> TrialRecord | None:
    """The leader, or None where no trial that did not fail has a value.

    A failed trial never leads: a configuration that diverged at its end would diverge again when
    it is retrained.
    """
    leading = (t for t in ranked(trials, goal) if t.objective is not None and t.state != "failed")
    return next(leading, None)


def standing_in(trial: TrialRecord, goal: Goal) -> Standing:
    """The standing of a trial's best epoch in a study with this goal."""
    return goal.standing_of(trial.objective, trial.excess.values())
