"""A study's leaderboard and report."""

from pathlib import Path

from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from tune.mirror.opening import results
from tune.verbs.opening import open_study


def report(study_dir: Path | str) -> list[Path]:
    """Write leaderboard.csv, report.html, report.md and report.json of a study.

    Its trials are read once for all of them.

    Args:
        study_dir: A study directory or study file, of a study that runs or has ended.

    Returns:
        The leaderboard, and the page of the report.

    Raises:
        StoreError: The study directory cannot be read.
    """
    study = open_study(study_dir, results)
    trials = study.trials()
    return [write_leaderboard(study, trials), write_report(study, trials)]
