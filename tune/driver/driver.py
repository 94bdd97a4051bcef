"""Runs a study: Ray Tune executes, the controller decides, the journal remembers.

`run_study` reads like a table of contents: the directory, the journal, the controller, the
recorder, Ray. Between Ray and the controller stands the bridge (`tune.driver.bridge`), which turns
Ray's calls into the controller's.
"""

import contextlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tune.directory.handover import watched
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
from tune.errors import DriverError
from tune.mirror.holding import Hold
from tune.mirror.mirror import Mirror
from tune.plan.plan import StudyPlan
from tune.progress.lines import LineProgress
from tune.progress.observer import Observer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """The result of a run of a study.

    Attributes:
        directory: The study directory.
        reason: `finished`, `out of time`, `interrupted`, or `moved`: it goes on elsewhere.
        outcomes: Outcome of each ended trial, by number.
        notes: Sentences of the plan on what should be known of the study.
    """

    directory: Path
    reason: str
    outcomes: Mapping[int, TrialOutcome]
    notes: tuple[str, ...] = ()


def run_study(
    plan: StudyPlan,
    observers: Sequence[Observer] = (),
    *,
    resume: bool = False,
    mirror: Mirror | None = None,
) -> StudyResult:
    """Run a study to its end, or until interrupted.

    Args:
        plan: The study.
        observers: Told of every event.
        resume: Whether it goes on.
        mirror: Where it is shipped to, open.

    Raises:
        StoreError: The directory holds a study already (and `resume` is not set), none (and it
            is), or a living driver's.
        ClusterError: Ray cannot be started here.
        DriverError: The disk is full; or the mirror is away for too long, or another driver's.
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
        if mirror is not None:
            recorder.changed, recorder.takeover = mirror.touch, mirror.takeover
            bridge.lease = mirror.hold
        bridge.tell("study_started", plan, resume)
        for note in plan.notes or ():
            STUDY_LOGGER.info("note: %s", note)
        reason = "interrupted"
        try:
            bridge.finish_decided()
            hold = _run(plan, bridge)
            if controller.complete:
                reason = "finished"
            elif hold is not None:
                reason = _held(hold, plan.directory)
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


def _run(plan: StudyPlan, bridge: Bridge) -> Hold | None:
    """Run what is left of a study; returns why its trials have paused, if they have.

    Where somebody asked for the study and did so no more when Ray had just ended, it goes on.
    """
    while not bridge.idle():
        with watched(plan.directory, lambda who: bridge.pause(_moved(who))):
            run_on_ray(plan, bridge)
        hold = bridge.hold()
        if hold is not None or not bridge.stopped:
            return hold
    return bridge.hold()


def _moved(who: str) -> Hold | None:
    return Hold("moved", f"{who} goes on with it") if who else None


def _held(hold: Hold, directory: Path) -> str:
    """Why a study ended whose trials were to pause."""
    resume = f"`segtune resume {shlex.quote(str(directory))}`"
    if hold.why == "fenced":
        raise DriverError(
            f"{hold.message}; this driver has decided nothing since. What it had not shipped stays "
            f"in {directory}; {resume} goes on when the other one has ended"
        )
    if hold.why == "away":
        raise DriverError(
            f"{hold.message}; the trials have paused, all that they did is in {directory}, and "
            f"{resume} goes on and ships it"
        )
    return "moved"
