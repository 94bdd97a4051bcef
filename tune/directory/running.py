"""What a study does just now: it runs, has finished, or waits to be gone on with."""

from collections.abc import Sequence
from typing import Literal

from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.trials import UNFINISHED

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
    return "finished" if ended >= int(study.resolved["trials"]) else "not running"
