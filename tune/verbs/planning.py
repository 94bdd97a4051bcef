"""A study planned from its file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.plan.remarks import remarks


def plan(study: Path | str, overrides: Sequence[str] = ()) -> StudyPlan:
    """Check a study file and decide everything it leaves open; nothing is started.

    Args:
        study: The study file.
        overrides: Keys to override, as after `--set`: "budget.trials=8".

    Returns:
        The plan, with `notes` on what should be known before it is run; `tune` runs it.

    Raises:
        StudyError: The study cannot be run, with a line for everything that is wrong.
    """
    made = plan_file(Path(study), overrides)
    return replace(made, notes=tuple(remarks(made)))
