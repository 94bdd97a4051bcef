"""The Ray side of a trial: a light actor that is reused, and what passes through it.

The actor starts the engine's child process, logs each epoch to the tracker when the driver has
taken it in, and lets the engine finish its artifacts when the trial ends. An epoch of a driver that
was fenced is not logged; one that a crash keeps from being logged is logged by the next attempt.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.tune as ray_tune

from trainables.contract import ArtifactKind
from tune.directory.layout import ELAPSED, OUTCOME, attempt_number, read_metrics
from tune.directory.trials import UNFINISHED
from tune.stopping.decision import Rule
from tune.tracking.tracker import RunInfo, Tracker
from tune.tracking.wandb import make_tracker
from tune.trial.messages import Ended, HandedOver, Noted, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

if TYPE_CHECKING:
    from tune.study.study import Tracking


FINISH_S = 120.0  # for an engine's artifacts after its trial has ended

REDRAW_S = 600.0  # for the same where it may have to load framework, data and model first

REPORT, ENDED, CLOSED = "report", "ended", "closed"


@dataclass(frozen=True, repr=False)
class ActorTask:
    """All that the driver sends an actor for one attempt at a trial.

    Attributes:
        trial: Task of the engine.
        tracking: Settings of the tracker.
        config: Values that the run's record shows: parameters, engine, data, seed.
        run_id: Id of the run, the same for ever, whatever crashes.
        engine_runs: Whether the engine is started; where it is not, only the record of an ended
            trial is closed.
        place: Where the room of the study has it; "" for anywhere.
        takeover: Take-over since which the run is another one; 0 for none.
    """

    trial: TrialTask
    tracking: "Tracking"
    config: Mapping[str, Any]
    run_id: str
    engine_runs: bool = True
    place: str = ""
    takeover: int = 0

    def __repr__(self) -> str:
        """Short: Ray writes a trial's configuration into its name."""
        return f"{self.trial.number}.{self.trial.directory.name}"


class TrialActor(ray_tune.Trainable):
    """One trial after another, one engine process each.

    A trial begins in the first step, not when the actor is made: while an actor comes up, Ray may
    give its trial to another one that has become free, and would then have two of them train it.
    """

    _runner: TrialRunner
    _tracker: Tracker
    _task: ActorTask
    _begun: bool
    _artifacts: list[HandedOver]
    _notes: list[str]
    _reported: dict[str, Any] | None  # an epoch that the driver has not answered yet
    _waiting: bool  # the engine has reported and waits for an answer
    _running: bool  # the engine has not ended
    _closed: bool  # the trial's record is closed, or its attempt's

    def setup(self, config: dict[str, Any]) -> None:
        """Be ready for the first trial of this actor."""
        self._task = config["task"]
        self._runner = TrialRunner(self._task.trial.engine)
        self._tracker = make_tracker(self._task.tracking)
        self._begun = False

    def step(self) -> dict[str, Any]:
        """Let the engine go on, and wait for its next report or its end.

        A trial whose end is decided gets one step more, in which it ends: Ray waits for a step as
        long as it takes, but kills an actor whose `cleanup` takes over 10 s.
        """
        if not self._begun:
            self._begin()
        outcome = self._outcome()
        if outcome is not None:
            whole = self._finish(outcome)
            return {"event": CLOSED, "whole": whole, "notes": self._notes}
        self._log_reported(None)
        if self._waiting:
            self._runner.go_on()
            self._waiting = False
        event = self._next()
        notes, self._notes = self._notes, []
        if isinstance(event, Reported):
            self._reported = {"epoch": event.epoch, **event.values}
            self._waiting = True
            return {
                "event": REPORT,
                "epoch": event.epoch,
                "values": json.dumps(dict(event.values)),
                "node": _node(),
                "notes": notes,
            }
        self._running = False
        return {
            "event": ENDED,
            "rule": event.rule,
            "message": event.message,
            "retry": event.retry,
            "disk_full": event.disk_full,
            "data_changed": event.data_changed,
            "out_of_memory": event.out_of_memory,
            "micro_batch": event.micro_batch,
            "notes": notes,
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """End this trial and be ready for the next one."""
        self._finish(self._outcome())
        self._task = new_config["task"]
        self._begun = False
        return True

    def cleanup(self) -> None:
        """End the last trial."""
        self._finish(self._outcome())

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing goes to Ray: a trial's checkpoints lie in its own folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing comes from Ray: an attempt goes on from its trial's own checkpoint."""

    def _begin(self) -> None:
        task = self._task
        self._begun = True
        self._artifacts = []
        self._notes = []
        self._reported = None
        self._waiting = False
        self._running = task.engine_runs
        self._closed = False
        trial_dir = task.trial.directory.parent
        self._tracker.start(
            RunInfo(
                study=task.trial.study,
                trial=task.trial.number,
                run_id=task.run_id,
                config=task.config,
                goal=task.trial.goal,
                directory=trial_dir / "wandb",
                past=_past(trial_dir, task.trial.reported),
                attempt=attempt_number(task.trial.directory),
                takeover=task.takeover,
            )
        )
        if task.engine_runs:
            self._runner.start(_here(task.trial))

    def _next(self) -> Reported | Ended:
        while True:
            event = self._runner.next_event()
            if isinstance(event, HandedOver):
                self._artifacts.append(event)
            elif isinstance(event, Noted):
                self._notes.append(event.message)
            else:
                return event

    def _outcome(self) -> dict[str, Any] | None:
        """The outcome of a trial that ended or pauses; None while it goes on, here or elsewhere."""
        with contextlib.suppress(FileNotFoundError):
            path = self._task.trial.directory.parent / OUTCOME
            outcome: dict[str, Any] = json.loads(path.read_text())
            return outcome
        return None

    def _finish(self, outcome: Mapping[str, Any] | None) -> bool:
        """Let the engine end within our own time limit, then close the trial's record, once.

        Returns:
            Whether the engine's end was no crash, which would leave artifacts undrawn.
        """
        if not self._begun or self._closed:
            return True
        self._closed = True
        self._log_reported(outcome)
        if outcome is not None and outcome["stop_reason"] == Rule.MOVED:
            self._runner.kill()  # its checkpoint is whole, and it draws nothing yet
            self._running = False
        whole = self._end_engine()
        if outcome is None or outcome["state"] in UNFINISHED:  # it goes on in another attempt
            self._tracker.finish({**(outcome or {}), "state": "waiting"})
            return whole
        best = self._task.trial.directory / "best" / "model.pt"
        if best.is_file():
            self._tracker.artifact(
                best, ArtifactKind.MODEL, f"best_model_trial_{self._task.trial.number}"
            )
        for kept in self._artifacts:
            name = f"training_curves_trial_{self._task.trial.number}"
            self._tracker.artifact(kept.path, ArtifactKind.CURVES, name)
        self._tracker.finish(outcome)
        return whole

    def _log_reported(self, outcome: Mapping[str, Any] | None) -> None:
        """Log the last epoch, unless the trial was paused before it, as by a fenced driver.

        Those of earlier attempts are logged already; a damaged checkpoint has them trained again.
        """
        reported, self._reported = self._reported, None
        if reported is None or reported["epoch"] <= self._task.trial.reported:
            return
        moved = outcome is not None and outcome["stop_reason"] == Rule.MOVED
        if outcome is None or not moved or outcome["epoch"] >= reported["epoch"]:
            self._tracker.log(reported)

    def _end_engine(self) -> bool:
        """Let the engine finish its artifacts and end; False where it crashed over them."""
        if not self._running:
            return True
        if self._waiting:
            self._runner.stop()
        ended = self._drain(FINISH_S if self._task.trial.resume_from is None else REDRAW_S)
        self._running = False
        if ended is not None and ended.rule is Rule.ERROR:
            self._notes.append(f"its artifacts may be missing: {ended.message}")
        return ended is None or not ended.retry

    def _drain(self, most_s: float) -> Ended | None:
        deadline = time.monotonic() + most_s
        while (left := deadline - time.monotonic()) > 0:
            if not self._runner.poll(left):
                break
            event = self._runner.next_event()
            if isinstance(event, HandedOver):
                self._artifacts.append(event)
            if isinstance(event, Ended):
                return event
            if isinstance(event, Reported):
                self._runner.stop()
        self._notes.append(f"its artifacts may be missing: they took over {most_s:.0f} s")
        self._runner.kill()
        return None


def _here(task: TrialTask) -> TrialTask:
    """A task with what only its actor knows: its GPUs, or its share of the node's memory."""
    if task.gpus is None:
        return replace(task, gpus=os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    if task.device.name != "cpu" or not ray.is_initialized():
        return task
    n_cpus = _cpus_of_node()
    fraction = min(1.0, max(task.device.memory_fraction, task.device.cpus / n_cpus))
    return replace(task, device=replace(task.device, memory_fraction=fraction))


def _cpus_of_node() -> int:
    """CPU cores that Ray counts on this node: so many trials of one core it may start here."""
    counted = (node["Resources"].get("CPU", 1) for node in ray.nodes() if node["NodeID"] == _node())
    return max(1, int(next(counted, 1)))


def _node() -> str:
    """Ray's id of this node; "" without Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def _past(trial_dir: Path, last: int) -> list[dict[str, float]]:
    """The epochs up to `last` as they were logged."""
    if last == 0:
        return []
    lines = [line for line in read_metrics(trial_dir) if line["epoch"] <= last]
    return [{k: v for k, v in line.items() if k != ELAPSED} for line in lines]
