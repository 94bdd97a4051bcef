"""Pareto fronts: the trials to choose from where F1 and measurement error pull apart.

A trial is on the front of an error if no other trial is at least as good in F1 and in that error,
and better in one of them; both are taken at each trial's best epoch, whose model is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.metrics.names import MEASURE, MEASUREMENT_ERRORS
from tune.directory.reader import TrialRecord

F1 = "seg_metrics/F1"


@dataclass(frozen=True)
class Front:
    """Trials by mask F1 and one measurement error.

    Attributes:
        error: Full name of the error, e.g. "measure/count_error".
        trials: Trials on the front, highest F1 first.
        others: The other trials that have both values; failed trials are in neither.
    """

    error: str
    trials: tuple[TrialRecord, ...]
    others: tuple[TrialRecord, ...]

    @property
    def name(self) -> str:
        """Short name of the error."""
        return self.error.rpartition("/")[2]


def pareto_fronts(trials: Sequence[TrialRecord]) -> tuple[Front, ...]:
    """Fronts of F1 against each measurement error that any trial has."""
    errors = [f"{MEASURE}/{name}" for name in MEASUREMENT_ERRORS]
    fronts = (_front(trials, error) for error in errors)
    return tuple(front for front in fronts if front.trials)


def fronts_of(trial: TrialRecord, fronts: Sequence[Front]) -> list[str]:
    """Short names of the errors on whose front a trial is."""
    return [front.name for front in fronts if any(t.number == trial.number for t in front.trials)]


def _front(trials: Sequence[TrialRecord], error: str) -> Front:
    usable = [t for t in trials if t.state != "failed" and {F1, error} <= set(t.best_metrics)]
    points = {t.number: (-t.best_metrics[F1], t.best_metrics[error]) for t in usable}
    usable.sort(key=lambda t: (points[t.number], t.number))
    best: list[TrialRecord] = []
    others: list[TrialRecord] = []
    for trial in usable:
        last = points[best[-1].number] if best else None
        here = points[trial.number]
        on_front = last is None or here[1] < last[1] or here == last
        (best if on_front else others).append(trial)
    return Front(error, tuple(best), tuple(others))
