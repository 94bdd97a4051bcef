"""Studies to be shown: plans, boards and what an observer is told of a trial."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.study_samples import write_study
from tune.directory.trials import TrialOutcome
from tune.plan.eta import StudyEta
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.progress.board import Board
from tune.progress.observer import Observer
from tune.stopping.decision import GO_ON

METRIC = "seg_metrics/F1"
STOPPED = TrialOutcome("pruned", "asha", 25, 0.407, 0.312, 25, seconds=310.0)


def plan_of(folder: Path, trials: int, epochs: int, **changes: Any) -> StudyPlan:
    asked = {
        "budget": {"trials": trials, "epochs": epochs},
        "resources": {"concurrent": 2, "cpus_per_trial": 1, "gpus_per_trial": 0},
        "scheduler": {"kind": "asha", "grace_period": 25},
        "storage": str(folder / "studies"),
        **changes,
    }
    return plan_file(write_study(folder, **asked))


def board(trials: int = 60, mode: Any = "max") -> Board:
    return Board("powder", METRIC, mode, 50, StudyEta(trials, 50, 2))


def filled(trials: int, running: int = 2, mode: Any = "max") -> Board:
    """Trials of rising value, the last ones running."""
    made = board(trials + 5, mode)
    for number in range(trials):
        made.start(number, float(number))
        made.report(number, 25, {METRIC: number / 100}, number + 0.4)
        if number < trials - running:
            made.end(number, STOPPED, number + 0.5)
    return made


def tell(
    observer: Observer, number: int, epochs: int, value: float = 0.3, seconds: float = 2.0
) -> Iterator[int]:
    """Train a trial, an epoch each time."""
    observer.trial_started(number, {"lr0": 0.01, "optimizer": "AdamW", "fixed": 1}, 1)
    for epoch in range(1, epochs + 1):
        observer.trial_reported(number, epoch, {METRIC: value * epoch / epochs}, GO_ON)
        yield epoch
