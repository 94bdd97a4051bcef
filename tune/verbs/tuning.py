"""A study run to its leaderboard and its report."""

from collections.abc import Sequence
from pathlib import Path

from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from tune.directory.reader import StudyDir, refuse_begun
from tune.driver.driver import StudyResult, run_study
from tune.plan.plan import StudyPlan
from tune.progress.observer import Observer
from tune.verbs.planning import plan


def tune(
    study: Path | str | StudyPlan,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
) -> StudyResult:
    """Run a study, and write its leaderboard and report.

    Interrupted (Ctrl-C), it returns with the reason "interrupted", and `segtune resume` goes on.

    Args:
        study: A study file, or a plan of one.
        overrides: Keys of the file to override, as after `--set`.
        observers: Told of everything that happens.

    Returns:
        The study directory, why the run ended, and how each trial did.

    Raises:
        StudyError: The study cannot be run.
        StoreError: Its directory holds a study already, or is another driver's.
        DriverError: Ray cannot be started here, or the disk is full.
    """
    planned = study if isinstance(study, StudyPlan) else plan(study, overrides)
    refuse_begun(planned.directory)
    result = run_study(planned, observers)
    opened = StudyDir.open(result.directory)
    write_leaderboard(opened)
    write_report(opened)
    return result
