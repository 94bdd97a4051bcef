"""What a study does just now: it runs, has finished, or waits to be gone on with."""

from collections.abc import Sequence
from typing import Literal

from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.trials import UNFINISHED
from tune.stopping.race import Training, standings

StudyState = Literal["running", "finished", "not running"]


def study_state(study: StudyDir, trials: Sequence[TrialRecord]) -> StudyState:
    """What a study does just now.

    Args:
        study: The study directory.
        trials: All its trials.
    """
    if is_driven(study.path):
        return "running"
    ended = sum(trial.state not in UNFINISHED for trial in trials)
    over = ended >= int(study.resolved["trials"]) or race_is_over(study, trials)
    return "finished" if over else "not running"


def race_is_over(study: StudyDir, trials: Sequence[TrialRecord]) -> bool:
    """Whether a study is a race that is decided; it may be before its budget is used up."""
    kept = study.study
    points = kept.warm_start.points if kept.search == "race" else None
    if not points:
        return False
    mode = kept.objective.goal.mode
    return standings(trainings(trials), len(points), kept.budget.trials, mode).over


def trainings(trials: Sequence[TrialRecord]) -> list[Training]:
    """The trials of a race as its rule sees them; what broke a constraint has failed."""
    return [_training(trial) for trial in trials if trial.warm_start is not None]


def _training(trial: TrialRecord) -> Training:
    assert trial.warm_start is not None
    return Training(trial.warm_start, trial.state not in UNFINISHED, counting_value(trial))


def counting_value(trial: TrialRecord) -> float | None:
    """The objective of a training that counts: it did not fail and keeps the constraints."""
    usable = trial.state not in (*UNFINISHED, "failed") and trial.violation == 0
    return trial.objective if usable else None
