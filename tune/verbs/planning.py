"""A study planned from its file."""

from collections.abc import Sequence
from pathlib import Path

from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file


def plan(study: Path | str, overrides: Sequence[str] = ()) -> StudyPlan:
    """Check a study file and decide everything it leaves open; nothing is started.

    Args:
        study: The study file.
        overrides: Keys to override, as after `--set`: "budget.trials=8".

    Returns:
        The plan; `tune` runs it.

    Raises:
        StudyError: The study cannot be run, with a line for everything that is wrong.
    """
    return plan_file(Path(study), overrides)
