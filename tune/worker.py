"""Runs an engine for one trial after another, each in a child process of its own.

The runner is light: it never imports a framework. A child comes from a fork server that has the
engine's framework loaded, leads its own process group, and dies with its runner. A simulated
engine, which needs no framework, runs in a thread of the runner instead.
"""

import contextlib
import json
import logging
import multiprocessing as mp
import multiprocessing.connection
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trainables.contract import (
    ArtifactKind,
    Device,
    Diverged,
    EarlyStopped,
    EpochMetrics,
    InfeasibleParams,
    TrainingError,
    TrainMetrics,
    TransientError,
    TrialStopped,
)
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal, Limit
from trainables.keeping import HISTORY_FILE, BestKeeper, keep_artifact
from trainables.registry import engine_info, load_engine, packages
from tune.files import FULL_DISK, write_text
from tune.folders import ERROR
from tune.sharing import Placement, device_on, gpu_names
from tune.stopping import Rule

if TYPE_CHECKING:
    from tune.plan import StudyPlan

log = logging.getLogger(__name__)

_GO_ON, _STOP = "go on", "stop"
LEAST_FREE_BYTES = 2**20  # below it a failure is the full disk's, in whatever words it comes


@dataclass(frozen=True)
class TrialTask:
    """All a worker needs to run one attempt at a trial; plain data, sent to the child.

    Attributes:
        engine: Name in the registry.
        study: The study's name.
        number: The trial's number.
        params: Fixed and sampled hyperparameters.
        sampled: Which of them were sampled.
        data: The prepared data set.
        epochs: Length of a full training.
        seed: Seed of the training.
        device: What it may use.
        directory: The attempt's own folder, absolute.
        resume_from: Checkpoint of an earlier attempt, or None.
        reported: Last epoch that journal and metrics table both have.
        over: Whether the trial has ended, and only its artifacts are wanted.
        objective: Metric whose best epoch's model is kept.
        mode: Its direction.
        train_metrics: How the training split is measured.
        limits: What a usable model keeps.
        gpus: The GPUs the child may see, as CUDA_VISIBLE_DEVICES names them; empty for none.
    """

    engine: str
    study: str
    number: int
    params: Mapping[str, Any]
    sampled: frozenset[str]
    data: PreparedDataset
    epochs: int
    seed: int
    device: Device
    directory: Path
    resume_from: Path | None
    reported: int
    objective: str
    mode: Literal["max", "min"]
    train_metrics: TrainMetrics
    limits: tuple[Limit, ...] = ()
    gpus: str = ""
    over: bool = False


def make_task(
    plan: "StudyPlan",
    number: int,
    sampled: Mapping[str, Any],
    seed: int,
    directory: Path,
    placement: Placement,
) -> TrialTask:
    """A first attempt at a trial of a study.

    Args:
        plan: The study.
        number: The trial's number.
        sampled: Its sampled hyperparameters.
        seed: Of its training.
        directory: The attempt's own folder, absolute.
        placement: Gives it its GPUs.
    """
    study = plan.study
    gpus = placement.place(number)
    images = study.train_metrics.images
    return TrialTask(
        engine=study.trainable,
        study=study.study,
        number=number,
        params={**plan.fixed, **sampled},
        sampled=frozenset(sampled),
        data=plan.data,
        epochs=study.budget.epochs,
        seed=seed,
        device=device_on(gpus, placement.share, plan.shares.cpus),
        directory=directory,
        resume_from=None,
        reported=0,
        objective=study.objective.metric,
        mode=study.objective.mode,
        train_metrics=TrainMetrics(study.train_metrics.every, None if images == "auto" else images),
        limits=study.objective.limits,
        gpus=gpu_names(gpus),
    )


@dataclass(frozen=True)
class Reported:
    """The engine trained an epoch and waits."""

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Kept:
    """The engine handed over an artifact; `path` is the kept copy."""

    path: Path
    kind: ArtifactKind


@dataclass(frozen=True)
class Noted:
    """The engine has something to tell the user."""

    message: str


@dataclass(frozen=True)
class Ended:
    """The engine is done with this trial.

    Attributes:
        rule: None where it trained to the end or stopped as told; else why it ended by itself.
        message: For the user.
        retry: Whether another attempt from the last checkpoint may succeed.
        disk_full: Whether it ended because nothing can be written: no other trial would do better.
    """

    rule: Rule | None = None
    message: str = ""
    retry: bool = False
    disk_full: bool = False


Event = Reported | Kept | Noted | Ended


class RunnerGoneError(Exception):
    """The runner has died, so nobody is left to report to."""


class Channel(Protocol):
    """Two-way, ordered, one end each for the runner and the engine."""

    def send(self, obj: Any, /) -> None:
        """Pass a message to the other end."""
        ...

    def recv(self) -> Any:
        """Wait for a message from the other end."""
        ...


class _QueueEnd:
    """A `Channel` within one process."""

    def __init__(self, outgoing: "queue.Queue[Any]", incoming: "queue.Queue[Any]") -> None:
        self._outgoing, self._incoming = outgoing, incoming

    def send(self, obj: Any, /) -> None:
        self._outgoing.put(obj)

    def recv(self) -> Any:
        return self._incoming.get()


@dataclass
class WorkerTrial:
    """The `Trial` an engine sees under the tuner (`trainables.contract.Trial`)."""

    task: TrialTask
    channel: Channel
    name: str
    keeper: BestKeeper = field(init=False)

    def __post_init__(self) -> None:
        task = self.task
        self.params = task.params
        self.sampled = task.sampled
        self.data = task.data
        self.epochs = task.epochs
        self.seed = task.seed
        self.device = task.device
        self.directory = task.directory
        self.resume_from = task.resume_from
        self.train_metrics = task.train_metrics
        self.goal: Goal | None = Goal(task.objective, task.mode, task.limits)
        self.over = task.over
        self.keeper = BestKeeper(task.directory, task.objective, task.mode, task.limits)

    @property
    def train_to(self) -> int:
        """Last epoch to train; 0 for a trial that has ended already."""
        return 0 if self.over else self.epochs

    def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
        """Keep the model if it is the best so far, report, and wait for the decision.

        Raises:
            TrialStopped: The study's scheduler, stopper or budget ends the trial.
            RunnerGoneError: Nobody answers.
        """
        if self.over:
            raise TrialStopped(f"{self.name} is over")
        if checkpoint is not None:
            self.keeper.offer(metrics.epoch, metrics.values, checkpoint)
        log.debug("%s: %s", self.name, self._line(metrics))
        self._send(Reported(metrics.epoch, dict(metrics.values)))
        try:
            answer = self.channel.recv()
        except (EOFError, OSError) as error:
            raise RunnerGoneError from error
        if answer == _STOP:
            raise TrialStopped(f"{self.name} ends after epoch {metrics.epoch}")

    def artifact(self, path: Path, kind: ArtifactKind) -> None:
        """Copy a finished file into the attempt's artifacts."""
        self._send(Kept(keep_artifact(path, self.directory), kind))

    def note(self, message: str) -> None:
        """Pass a message on to the user."""
        log.info("%s: %s", self.name, message)
        self._send(Noted(message))

    def _line(self, metrics: EpochMetrics) -> str:
        """Losses and objective of an epoch, for the log."""
        shown = [name for name in metrics.values if "loss" in name]
        values = (
            f"{name} {metrics.values[name]:.4g}"
            for name in dict.fromkeys([*shown, self.task.objective])
            if name in metrics.values
        )
        return f"epoch {metrics.epoch} of {self.epochs}: {', '.join(values) or 'no objective'}"

    def _send(self, event: Event) -> None:
        try:
            self.channel.send(event)
        except OSError as error:
            raise RunnerGoneError from error

    def report_history(self) -> None:
        """Report again what the checkpoint has beyond the journal, before anything trains.

        Where one of these epochs ends the trial, or pauses it, none is left to train: the engine
        only draws its artifacts, as after any other last epoch.
        """
        if self.resume_from is None or self.over:
            return
        history = json.loads((self.resume_from / HISTORY_FILE).read_text())
        last = history[-1]["epoch"] if history else 0
        beyond = [entry for entry in history if entry["epoch"] > self.task.reported]
        try:
            for entry in beyond:
                checkpoint = self.resume_from if entry["epoch"] == last else None
                self.report(EpochMetrics(entry["epoch"], entry["values"]), checkpoint)
        except TrialStopped:
            self.over = True


def run_task(task: TrialTask, channel: Channel) -> None:
    """Train one trial and say how it ended; never raises."""
    name = f"{task.study}/{task.number}"
    try:
        trial = WorkerTrial(task, channel, name)
        engine = load_engine(task.engine)
        trial.report_history()
        engine.train(trial)
        ended = Ended()
    except (TrialStopped, EarlyStopped, Diverged, InfeasibleParams, TransientError) as error:
        ended = _ended_on_purpose(error)
    except RunnerGoneError:
        return
    except Exception as error:  # any engine's bug fails its trial, not the study
        log.exception("%s failed", name)
        ended = _failed(task, error)
    if ended.message:
        level = logging.INFO if ended.rule is Rule.PATIENCE else logging.ERROR
        log.log(level, "%s: %s", name, ended.message)
    channel.send(ended)


def _failed(task: TrialTask, error: Exception) -> Ended:
    message = f"{type(error).__name__}: {error}"
    with contextlib.suppress(FileNotFoundError):  # somebody has cleared the trial's folder
        if _is_of_full_disk(error) or shutil.disk_usage(task.directory).free < LEAST_FREE_BYTES:
            return Ended(Rule.ERROR, message, retry=True, disk_full=True)
        write_text(task.directory.parent / ERROR, "".join(traceback.format_exception(error)))
    return Ended(Rule.ERROR, message)


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there is no room."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return True
    return _is_of_full_disk(error.__cause__ or error.__context__)


def _ended_on_purpose(error: TrainingError) -> Ended:
    match error:
        case TrialStopped():
            return Ended()
        case EarlyStopped():
            return Ended(Rule.PATIENCE, str(error))
        case Diverged():
            return Ended(Rule.DIVERGED, str(error))
        case _:
            return Ended(Rule.ERROR, str(error), retry=isinstance(error, TransientError))


def _child(task: TrialTask, channel: mp.connection.Connection) -> None:
    """A child's main function: own process group, own log, dies with its runner."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends the runner
    _die_with_parent()
    _log_to(task.directory.parent / "train.log")
    os.environ["CUDA_VISIBLE_DEVICES"] = task.gpus
    os.environ["OMP_NUM_THREADS"] = str(task.device.cpus)
    run_task(task, channel)


def _die_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None

    def watch() -> None:
        mp.connection.wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def _log_to(path: Path) -> None:
    """Send everything the engine prints or logs to the trial's log."""
    file = path.open("a", buffering=1)
    sys.stdout.flush()
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    logging.basicConfig(
        stream=file, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("tune", "trainables", "search_spaces"):
        logging.getLogger(name).setLevel(logging.DEBUG)


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Keep multiprocessing from importing the caller's script again in every child.

    In a Ray worker that script imports Ray, which costs each trial a second.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class TrialRunner:
    """Runs one trial at a time.

    Call `start`, then `next_event` until it returns `Ended`; answer each `Reported` with `go_on`
    or `stop`.
    """

    def __init__(self, engine: str) -> None:
        self._isolated = engine_info(engine).isolated
        self._context = mp.get_context("forkserver")
        if self._isolated:
            self._context.set_forkserver_preload(["tune.worker", *_preload(engine)])
        self._process: mp.process.BaseProcess | None = None
        self._channel: Any = None

    def start(self, task: TrialTask) -> None:
        """Begin an attempt; its folder must exist."""
        if not self._isolated:
            to_engine: queue.Queue[Any] = queue.Queue()
            to_runner: queue.Queue[Any] = queue.Queue()
            self._channel = _QueueEnd(to_engine, to_runner)
            engine_end = _QueueEnd(to_runner, to_engine)
            threading.Thread(target=run_task, args=(task, engine_end), daemon=True).start()
            return
        self._channel, child_end = self._context.Pipe()
        process = self._context.Process(target=_child, args=(task, child_end), daemon=False)
        with _no_main():
            process.start()
        child_end.close()
        self._process = process

    def next_event(self) -> Event:
        """Wait for the engine's next word; a child that dies without one has crashed."""
        self.poll(None)
        try:
            if self._is_dead() and not self._channel.poll():
                raise EOFError  # what the child left behind may hold its end open
            event: Event = self._channel.recv()
        except (EOFError, ConnectionResetError):
            event = Ended(Rule.ERROR, self._how_it_died(), retry=True)
        if isinstance(event, Ended):
            self._clean_up()
        return event

    def go_on(self) -> None:
        """Let the trial train its next epoch."""
        self._answer(_GO_ON)

    def stop(self) -> None:
        """Tell the trial to finish its artifacts and end."""
        self._answer(_STOP)

    def kill(self) -> None:
        """End the child and everything it started, now."""
        self.abort()
        self._clean_up()

    def abort(self) -> None:
        """End them where another thread waits for the next event, which then says so."""
        process = self._process
        if process is not None and process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def poll(self, timeout_s: float | None) -> bool:
        """Whether an event, or the child's death, is there within `timeout_s`; None for ever."""
        if self._process is None:
            return True
        ends = [self._channel, self._process.sentinel]
        return bool(mp.connection.wait(ends, timeout_s))

    def _is_dead(self) -> bool:
        return self._process is not None and not self._process.is_alive()

    def _answer(self, word: str) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):  # the next event says it died
            self._channel.send(word)

    def _how_it_died(self) -> str:
        assert self._process is not None
        self._process.join(timeout=10)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = "; out of memory?" if -code == signal.SIGKILL else ""
            return f"the training process was ended by {name}{hint}"
        return f"the training process ended without a word (exit code {code})"

    def _clean_up(self) -> None:
        if self._process is None:
            return
        pid = self._process.pid
        self._process.join(timeout=10)
        if pid is not None:  # loader workers and whatever else the engine left behind
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._process.join(timeout=5)
        self._channel.close()
        self._process = None


def _preload(engine: str) -> list[str]:
    return [f"{packages()[engine]}.engine"]
