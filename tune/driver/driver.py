"""Runs a study: Ray Tune executes, the controller decides, the journal remembers.

`run_study` reads like a table of contents: the directory, the journal, the controller, the
recorder, Ray. Between Ray and the controller stands the bridge (`tune.driver.bridge`), which turns
Ray's calls into the controller's.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.trials import TrialOutcome
from tune.directory.writer import Recorder, SessionClock
from tune.driver.bridge import Bridge
from tune.driver.on_ray import run_on_ray
from tune.driver.parts import controller_of, work_of
from tune.driver.session import (
    STUDY_LOGGER,
    full_disk_told,
    own_directory,
    study_log,
    terminable,
)
from tune.plan.plan import StudyPlan
from tune.progress.lines import LineProgress
from tune.progress.observer import Observer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """The result of a run of a study.

    Attributes:
        directory: The study directory.
        reason: `finished`, `out of time` or `interrupted`.
        outcomes: Outcome of each ended trial, by number.
        notes: Sentences of the plan on what should be known of the study.
    """

    directory: Path
    reason: str
    outcomes: Mapping[int, TrialOutcome]
    notes: tuple[str, ...] = ()


def run_study(
    plan: StudyPlan, observers: Sequence[Observer] = (), *, resume: bool = False
) -> StudyResult:
    """Run a study to its end, or until interrupted.

    Raises:
        StoreError: The directory holds a study already (and `resume` is not set), none (and it
            is), or a living driver's.
        ClusterError: Ray cannot be started here.
        DriverError: The disk is full.
    """
    with (
        full_disk_told(plan.directory),
        own_directory(plan, resume=resume),
        study_log(plan.directory),
        terminable(),
    ):
        clock = SessionClock(plan.directory)
        journal = Journal(plan.directory / JOURNAL, plan.study.study, plan.study.objective.mode)
        controller = controller_of(plan, journal, clock.elapsed_s)
        watching = (LineProgress(STUDY_LOGGER.info), *observers)
        recorder = Recorder(plan.directory, plan.fixed)
        bridge = Bridge(work_of(plan), controller, recorder, watching, clock.tick)
        bridge.tell("study_started", plan, resume)
        for note in plan.notes or ():
            STUDY_LOGGER.info("note: %s", note)
        reason = "interrupted"
        try:
            bridge.finish_decided()
            if not bridge.idle():
                run_on_ray(plan, bridge)
            if controller.complete:
                reason = "finished"
            elif controller.out_of_time():
                reason = "out of time"
        except KeyboardInterrupt:
            log.info("interrupted; checkpoints are kept")
        finally:
            with contextlib.suppress(OSError):  # a full disk, which has its own message
                clock.save()
            bridge.tell("study_ended", reason)
        outcomes = dict(controller.outcomes)
        return StudyResult(plan.directory, reason, outcomes, plan.notes or ())
