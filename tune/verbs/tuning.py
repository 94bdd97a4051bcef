"""A study run to its leaderboard and its report."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cluster.machines.local_ray import on_cluster
from tune.datasets.copies import bring, told
from tune.datasets.opening import in_bucket
from tune.driver.driver import StudyResult, run_study
from tune.mirror.mirror import mirrored
from tune.plan.plan import StudyPlan
from tune.plan.resume import plan_resumed
from tune.progress.observer import Observer
from tune.verbs.opening import has_begun, open_to_resume
from tune.verbs.planning import plan
from tune.verbs.reporting import report

log = logging.getLogger(__name__)


def tune(
    study: Path | str | StudyPlan,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
    *,
    upload: bool = True,
) -> StudyResult:
    """Run a study, and write its leaderboard and report.

    What should be known before it starts, though nothing about it is wrong, is logged as a
    warning where the study is given by its file; a plan has it as `notes`, and so has the result.

    Interrupted (Ctrl-C), it returns with the reason "interrupted", and `resume` goes on.

    Args:
        study: A study file, or a plan of one.
        overrides: Keys of the file to override, as after `--set`.
        observers: Told of everything that happens.
        upload: Whether to ship the study to its mirror, where it has one.

    Returns:
        The study directory, why the run ended, how each trial did, and the plan's notes.

    Raises:
        StudyError: The study cannot be run.
        DatasetError: Its pictures cannot be brought from their bucket.
        StoreError: Its directory holds a study already, or is another driver's.
        ClusterError: Ray cannot be started here.
        StorageError: Its mirror cannot be read or written, or is another driver's.
        DriverError: The disk is full; or the mirror is away for too long, or another driver's.
    """
    if isinstance(study, StudyPlan):
        return _run(study, observers, resume=False, upload=upload)
    planned = plan(study, overrides)
    for note in planned.notes or ():
        log.warning("note: %s", note)
    return _run(planned, observers, resume=False, upload=upload)


def resume(
    study: Path | str | StudyPlan,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
    *,
    or_start: bool = False,
    download: bool = True,
    upload: bool = True,
) -> StudyResult:
    """Go on with an interrupted study, and write its leaderboard and report.

    Args:
        study: A study directory, its study file, the address of its mirror, or a plan of going on.
        overrides: Keys to override, as after `--set`: "budget.trials=80" raises the budget.
        observers: Told of everything that happens.
        or_start: Whether to start a study file's study where it has not begun.
        download: Whether to ask the study's mirror, where it has one, for what is new there.
        upload: Whether to ship the study to its mirror.

    Returns:
        The study directory, why the run ended, and how each trial did.

    Raises:
        StudyError: The study cannot go on as it was begun.
        DatasetError: As for `tune`.
        StoreError: Its directory cannot be read, or is another driver's.
        ClusterError: Ray cannot be started here.
        StorageError: Its mirror cannot be read or written, or is another driver's.
        DriverError: The disk is full; or the mirror is away for too long, or another driver's.
    """
    if isinstance(study, StudyPlan):
        return _run(study, observers, resume=True, upload=upload)
    if or_start and not has_begun(study):
        return tune(study, overrides, observers, upload=upload)
    opened, moved = open_to_resume(study, download=download)
    planned = plan_resumed(opened, [*moved, *overrides])
    return _run(planned, observers, resume=True, upload=upload)


def _run(
    planned: StudyPlan, observers: Sequence[Observer], *, resume: bool, upload: bool
) -> StudyResult:
    if in_bucket(planned.study.data) and not on_cluster():  # of a cluster, each node brings them
        bring(str(planned.study.data), planned.data, told(log.info))
    study = planned.study if upload else planned.study.model_copy(update={"mirror": None})
    with mirrored(study, planned.directory, resume=resume) as mirror:
        result = run_study(planned, observers, resume=resume, mirror=mirror)
        log.info("writing leaderboard and report")
        report(result.directory)
    return result
