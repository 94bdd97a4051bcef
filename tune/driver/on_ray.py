"""A study on Ray Tune: starting Ray, and the seams Ray calls."""

import contextlib
import logging
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import ray.tune as ray_tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.jobs.watch import watched
from cluster.machines.local_ray import on_cluster, start_ray, told_to
from cluster.machines.sharing import most_at_once
from trainables.files.scratch import make_scratch
from tune.driver.bridge import Bridge
from tune.driver.deaths import death_of, kept_error
from tune.driver.placing import cores_of, requests, reservations_of, started_in
from tune.driver.session import terminable, uninterrupted
from tune.plan.past_pace import gpu_share
from tune.plan.plan import StudyPlan
from tune.trial.actor import TrialActor

log = logging.getLogger(__name__)


_MEMORY = Path("/dev/shm")  # Ray makes a folder a trial that nobody reads

_RAY_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Tune itself begins a lost attempt again
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_STATE_REFRESH_PERIOD": "86400",  # Ray ends us if a new head refuses the token
    "TUNE_WARN_THRESHOLD_S": "30",
}


def run_on_ray(plan: StudyPlan, bridge: Bridge) -> None:
    """Run all trials of a study that are not ended, on a fresh Ray Tune."""
    os.environ.update(_RAY_ENVIRONMENT)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(plan.study.resources.concurrent)
    scratch = make_scratch("ray", _MEMORY if _MEMORY.is_dir() else None)
    started = not ray.is_initialized()
    try:
        if started:
            with _ray_into_log():
                start_ray(_cpus_of_own(plan), plan.machine.gpus)
        own = started and not on_cluster()
        reservations = reservations_of(plan, own=own)
        bridge.room = reservations or cores_of(plan, own=own)
        clock = _RayClock(bridge)
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(TrialActor, requests(plan, reservations)),
            tune_config=ray_tune.TuneConfig(
                num_samples=-1,
                search_alg=_RaySearcher(bridge),
                scheduler=_RayScheduler(bridge),
                reuse_actors=True,
                max_concurrent_trials=None,
            ),
            run_config=ray_tune.RunConfig(
                name="study",
                storage_path=str(scratch),
                verbose=0,
                log_to_file=False,
                callbacks=[clock],
            ),
        )
        goes_on = f"`segtune resume {shlex.quote(str(plan.directory))}` goes on"
        with (
            _ray_into_log(),
            terminable(),  # Ray took the signals for itself when it started
            watched(goes_on, is_idle=lambda: clock.is_idle),
            started_in(reservations),
        ):
            tuner.fit()
    finally:
        with uninterrupted():
            if started:
                ray.shutdown()
            shutil.rmtree(scratch, ignore_errors=True)
    if bridge.error is not None:
        raise bridge.error


def _cpus_of_own(plan: StudyPlan) -> int:
    """CPU cores of a Ray of the study's own: what all trials and all units of GPUs count."""
    concurrent, n_gpus = plan.study.resources.concurrent, plan.machine.gpus
    share = gpu_share(plan, n_gpus)
    return max(concurrent, most_at_once(n_gpus, share) if share else 0) * plan.shares.cpus


@contextlib.contextmanager
def _ray_into_log() -> Iterator[None]:
    """Ray's own words go to the study's log, not to the screen."""
    rays = logging.getLogger("ray")
    before, hook = (rays.handlers, rays.propagate), threading.excepthook
    threading.excepthook = _thread_failed
    rays.handlers, rays.propagate = list(logging.getLogger("tune").handlers), False
    try:
        with told_to(lambda words: log.debug("Ray: %s", words)):
            yield
    finally:
        rays.handlers, rays.propagate = before
        threading.excepthook = hook


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A thread has failed, such as Ray's that listens for errors where its cluster is gone."""
    log.debug("%s failed", failed.thread, exc_info=failed.exc_value)


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


class _RayClock(ray_tune.Callback):
    """Ray calls here many times a second: the study's time is kept while an epoch takes hours.

    Attributes:
        is_idle: Whether trials wait for their workers while none has one.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.is_idle = False

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        states = {trial.status for trial in trials}
        self.is_idle = "PENDING" in states and "RUNNING" not in states
        _guarded(self._bridge, self._bridge.tick, None)

    def __getstate__(self) -> dict[str, Any]:
        return {}


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

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A trial's actor has died; that the trial is over, the searcher hears next."""
        _guarded(
            self._bridge,
            lambda: self._bridge.died(trial.trial_id, death_of(kept_error(trial))),
            None,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {}
