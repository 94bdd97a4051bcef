"""Runs a study: Ray Tune executes, the controller decides, the journal remembers.

`run_study` reads like a table of contents: the directory, the journal, the controller, the
recorder, Ray. Between Ray and the controller stands the bridge (`tune.bridge`), which turns Ray's
calls into the controller's.
"""

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import ray
import ray.tune as ray_tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune.actor import TrialActor
from tune.bridge import Bridge
from tune.controller import Controller
from tune.errors import DriverError, StoreError, no_room
from tune.events import Observer, Outcome
from tune.files import FULL_DISK, write_json, write_text
from tune.folders import JOURNAL, LOG, RESOLVED, SESSION, STUDY, elapsed_before_s, read_json
from tune.journal import DriverLock, Journal
from tune.plan import StudyPlan, resolved, to_yaml
from tune.progress import LineProgress
from tune.recorder import Recorder, close_earlier
from tune.scratch import make_scratch
from tune.store import refuse_begun

log = logging.getLogger(__name__)
_told = logging.getLogger("segtune")  # what a study's lines say, in its log alone
_told.propagate = False

_MEMORY = Path("/dev/shm")  # Ray makes a folder a trial that nobody reads

_RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
}


@dataclass(frozen=True)
class StudyResult:
    """What came of a run.

    Attributes:
        directory: The study directory.
        reason: `finished`, `out of time` or `interrupted`.
        outcomes: How each trial ended, by number.
    """

    directory: Path
    reason: str
    outcomes: Mapping[int, Outcome]


def run_study(
    plan: StudyPlan, observers: Sequence[Observer] = (), *, resume: bool = False
) -> StudyResult:
    """Run a study to its end, or until interrupted.

    Raises:
        StoreError: The directory holds a study already (and `resume` is not set), none (and it
            is), or a living driver's.
        DriverError: Ray cannot be started here, or the disk is full.
    """
    with (
        _room_told(plan.directory),
        _directory(plan, resume=resume),
        _log_file(plan.directory),
        _terminable(),
    ):
        clock = _SessionClock(plan.directory)
        journal = Journal(plan.directory / JOURNAL, plan.study.study, plan.study.objective.mode)
        controller = Controller(plan, journal, clock.elapsed_s)
        watching = (LineProgress(_told.info), *observers)
        bridge = Bridge(plan, controller, Recorder(plan), watching, clock.tick)
        bridge.tell("study_started", plan, resume)
        reason = "interrupted"
        try:
            bridge.finish_decided()
            if not bridge.idle():
                _run_on_ray(plan, bridge)
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
        return StudyResult(plan.directory, reason, dict(controller.outcomes))


# --- the directory


@contextlib.contextmanager
def _room_told(directory: Path) -> Iterator[None]:
    """Tell a full disk with what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise no_room(directory, str(error)) from error
        raise


@contextlib.contextmanager
def _directory(plan: StudyPlan, *, resume: bool) -> Iterator[None]:
    """The study directory, ours alone."""
    directory = plan.directory
    if resume and not (directory / JOURNAL).exists():
        raise StoreError(f"{directory}: expected a study to resume, found none")
    directory.mkdir(parents=True, exist_ok=True)
    lock = DriverLock(directory / ".driver")
    holder = lock.acquire()
    if holder is not None:
        raise StoreError(
            f"{directory}: a driver is running this study (process {holder}); "
            "`segtune status` shows it, Ctrl-C there ends it"
        )
    try:
        if not resume:
            refuse_begun(directory)
        write_text(directory / STUDY, to_yaml(plan))
        began = read_json(directory / RESOLVED) if resume else {}
        if resume and "layout" not in began:
            close_earlier(directory)
        kept = {key: began[key] for key in ("created", "best") if key in began}
        write_json(directory / RESOLVED, {**resolved(plan), **kept})
        yield
    finally:
        lock.release()


class _LogFile(logging.FileHandler):
    """The study's log; a full disk shortens it, and has its say elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Pass over a line that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, with what could be written."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything of ours down to DEBUG goes to the study's log, and there only below INFO."""
    screen = [h for h in logging.getLogger().handlers if h.level == logging.NOTSET]
    for shown in screen:  # a handler takes what a logger below lets through
        shown.setLevel(logging.getLogger().level)
    handler = _LogFile(directory / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [_told, *map(logging.getLogger, ("tune", "trainables", "analysis"))]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        _told.exception("the study ended by an error")
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        for shown in screen:
            shown.setLevel(logging.NOTSET)
        handler.close()


@contextlib.contextmanager
def _signals(action: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    """Take an action on SIGTERM and SIGINT, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, action) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminable() -> AbstractContextManager[None]:
    """SIGTERM ends what runs here as Ctrl-C does, also where a shell has Ctrl-C ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return _signals(interrupt)


def _uninterrupted() -> AbstractContextManager[None]:
    """Ctrl-C once more leaves no processes behind that the first one is just ending."""
    return _signals(signal.SIG_IGN)


@dataclass
class _SessionClock:
    """Wall time the study has taken, over all its drivers; written at most once a second."""

    directory: Path
    _before_s: float = field(init=False, default=0.0)
    _started: float = field(init=False, default_factory=time.monotonic)
    _saved: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._before_s = elapsed_before_s(self.directory)

    def elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._started

    def tick(self) -> None:
        if time.monotonic() - self._saved > 1:
            self.save()

    def save(self) -> None:
        write_json(self.directory / SESSION, {"elapsed_s": self.elapsed_s()})
        self._saved = time.monotonic()


# --- Ray


def _run_on_ray(plan: StudyPlan, bridge: Bridge) -> None:
    os.environ.update(_RAY_ENVIRONMENT)
    shares = plan.shares
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(plan.study.resources.concurrent)
    scratch = make_scratch("ray", _MEMORY if _MEMORY.is_dir() else None)
    started = not ray.is_initialized()
    try:
        if started:
            with _ray_into_log():
                _start_ray(plan.study.resources.concurrent * shares.cpus, plan.machine.gpus)
        bridge.n_gpus = int(ray.cluster_resources().get("GPU", 0))
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(TrialActor, {"cpu": shares.cpus}),
            tune_config=ray_tune.TuneConfig(
                num_samples=-1,
                search_alg=_RaySearcher(bridge),
                scheduler=_RayScheduler(bridge),
                reuse_actors=True,
                max_concurrent_trials=None,
            ),
            run_config=ray_tune.RunConfig(
                name="study", storage_path=str(scratch), verbose=0, log_to_file=False
            ),
        )
        with _ray_into_log(), _terminable():  # Ray took the signals for itself when it started
            tuner.fit()
    finally:
        with _uninterrupted():
            if started:
                ray.shutdown()
            shutil.rmtree(scratch, ignore_errors=True)
    if bridge.error is not None:
        raise bridge.error


@contextlib.contextmanager
def _ray_into_log() -> Iterator[None]:
    """Ray's own words go to the study's log, not to the screen."""
    rays = logging.getLogger("ray")
    before = rays.handlers, rays.propagate
    rays.handlers, rays.propagate = list(logging.getLogger("tune").handlers), False
    try:
        yield
    finally:
        rays.handlers, rays.propagate = before


def _start_ray(cpus: int, gpus: int) -> None:
    """Start a Ray with these processors, or connect to the one that RAY_ADDRESS names."""
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # as it should be
    own: dict[str, Any] = {
        "address": "local",  # not whatever else runs here
        "num_cpus": cpus,
        "num_gpus": gpus,  # as the plan counted them; Ray's own count may be another
        "include_dashboard": False,
        "object_store_memory": 100 * 2**20,
    }
    try:
        ray.init(
            log_to_driver=False,
            configure_logging=False,
            **(own if os.environ.get("RAY_ADDRESS") in (None, "", "local") else {}),
        )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise DriverError(
            f"Ray cannot be started on this machine: {error}; `segtune doctor` says more"
        ) from error


def _guarded(bridge: Bridge, action: Callable[[], Any], otherwise: Any) -> Any:
    """Run a callback; an error of ours ends the study with its own message, not Ray's."""
    try:
        return action()
    except Exception as error:  # raised again once Ray has ended
        log.debug("the driver failed", exc_info=True)
        bridge.error = bridge.error or error
        return otherwise


class _RaySearcher(Searcher):
    """Ray asks here for trials."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(metric="training_iteration", mode="max")
        self._bridge = bridge

    def suggest(self, trial_id: str) -> Any:
        if self._bridge.error is not None:
            return Searcher.FINISHED
        return _guarded(self._bridge, lambda: self._bridge.suggest(trial_id), Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        _guarded(self._bridge, lambda: self._bridge.complete(trial_id, error=error), None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal has everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal has everything."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles its searchers; ours is rebuilt from the journal instead


class _RayScheduler(FIFOScheduler):
    """Ray asks here whether a trial goes on."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if self._bridge.error is not None:  # the study ends now, not when its trials do
            return str(TrialScheduler.STOP)
        goes_on = _guarded(
            self._bridge, lambda: self._bridge.result(trial.trial_id, result), otherwise=False
        )
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {}
