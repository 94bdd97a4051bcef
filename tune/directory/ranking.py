"""Trials in the order of their objective, the best first."""

from collections.abc import Iterable
from typing import Literal

from trainables.goal import standing
from tune.directory.reader import TrialRecord


def ranked(trials: Iterable[TrialRecord], mode: Literal["max", "min"]) -> list[TrialRecord]:
    """Trials by the objective at their best epoch, best first.

    Trials that keep the study's constraints come before those that do not, and of these the ones
    that break them by less. Trials without a value come after those with one, failed trials last;
    of equal ones the earlier trial leads.
    """

    def place(trial: TrialRecord) -> tuple[bool, bool, tuple[float, float]]:
        """Where a trial stands: the larger, the better."""
        there = trial.objective is not None
        return (
            trial.state != "failed",
            there,
            standing(trial.objective or 0.0, trial.violation, mode),
        )

    by_number = sorted(trials, key=lambda trial: trial.number)
    return sorted(by_number, key=place, reverse=True)


def best_trial(trials: Iterable[TrialRecord], mode: Literal["max", "min"]) -> TrialRecord | None:
    """The leader, or None where no trial has a value.

    A failed trial leads only where no other one has a value: a configuration that diverged at its
    end would diverge again when it is retrained.
    """
    with_value = [trial for trial in trials if trial.objective is not None]
    return ranked(with_value, mode)[0] if with_value else None
