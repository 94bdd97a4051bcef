"""The engine's own process: trains one trial and tells the actor about it."""

import contextlib
import json
import logging
import multiprocessing as mp
import multiprocessing.connection
import os
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.machines.memory import hold_to_share
from trainables.contract import (
    ArtifactKind,
    Diverged,
    EarlyStopped,
    Engine,
    EpochMetrics,
    InfeasibleParams,
    OutOfMemory,
    TrainingError,
    TransientError,
    TrialStopped,
    UnreadableFile,
)
from trainables.datasets.prepared import ChangedDataError, check_pictures
from trainables.failures import says_out_of_memory
from trainables.files.errors import UserError
from trainables.files.whole import FULL_DISK, write_text
from trainables.processes import die_with_parent
from trainables.registry import load_engine
from trainables.trials.keeping import BestKeeper, keep_artifact
from trainables.trials.layout import HISTORY_FILE
from tune.datasets.copies import DataAwayError, bring, told
from tune.directory.layout import ERROR, TRAIN_LOG
from tune.stopping.decision import Rule
from tune.trial.messages import (
    STOP,
    Channel,
    Ended,
    Event,
    HandedOver,
    Noted,
    Reported,
    RunnerGoneError,
)
from tune.trial.task import TrialTask

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 2**20  # below it a failure is the full disk's, in whatever words it comes


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
        self.goal = task.goal
        self.over = task.over
        self.keeper = BestKeeper(task.directory, task.goal)

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
        if answer == STOP:
            raise TrialStopped(f"{self.name} ends after epoch {metrics.epoch}")

    def artifact(self, path: Path, kind: ArtifactKind) -> None:
        """Copy a finished file into the attempt's artifacts."""
        self._send(HandedOver(keep_artifact(path, self.directory), kind))

    def note(self, message: str) -> None:
        """Pass a message on to the user."""
        log.info("%s: %s", self.name, message)
        self._send(Noted(message))

    def _line(self, metrics: EpochMetrics) -> str:
        """Losses and objective of an epoch, for the log."""
        shown = [name for name in metrics.values if "loss" in name]
        values = (
            f"{name} {metrics.values[name]:.4g}"
            for name in dict.fromkeys([*shown, self.task.goal.metric])
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
        trial = WorkerTrial(_with_data(task), channel, name)
        engine = load_engine(task.engine)
        trial.report_history()
        if not trial.over:
            check_pictures(trial.data)
        _train(engine, trial)
        ended = Ended()
    except (TrialStopped, EarlyStopped, Diverged, InfeasibleParams, TransientError) as error:
        ended = _ended_on_purpose(error)
    except RunnerGoneError:
        return
    except Exception as error:  # whatever an engine raises fails its trial, not the study
        if not isinstance(error, UserError):
            log.exception("%s failed", name)
        ended = _failed(task, error)
    if ended.message:
        level = logging.INFO if ended.rule is Rule.PATIENCE else logging.ERROR
        log.log(level, "%s: %s", name, ended.message)
    channel.send(ended)


def _train(engine: Engine, trial: WorkerTrial) -> None:
    """Train, from the beginning where the checkpoint to go on from is damaged.

    Epochs that were reported before are reported again, and are answered as they were.
    """
    try:
        engine.train(trial)
    except UnreadableFile as error:
        if trial.resume_from is None or trial.over:
            raise
        trial.note(f"{error}; it trains from its beginning")
        trial.resume_from = None
        engine.train(trial)


def _with_data(task: TrialTask) -> TrialTask:
    """A task with the data set as this machine has it; what lacks of one in a bucket is brought.

    Raises:
        TransientError: The bucket cannot be reached now.
        DatasetError: It holds another data set by now.
    """
    if not task.address:
        return task
    try:
        data = bring(task.address, task.data, told(log.info))
    except DataAwayError as error:
        raise TransientError(str(error)) from error
    return replace(task, data=data)


def _failed(task: TrialTask, error: Exception) -> Ended:
    """End of a trial whose engine failed; only a bug leaves its traceback in the trial's folder."""
    bug = not isinstance(error, UserError)
    message = f"{type(error).__name__}: {error}" if bug else str(error)
    with contextlib.suppress(FileNotFoundError):  # somebody has cleared the trial's folder
        if _is_of_full_disk(error) or shutil.disk_usage(task.directory).free < LEAST_FREE_BYTES:
            return Ended(Rule.ERROR, message, retry=True, disk_full=True)
        if bug and says_out_of_memory(error):
            return Ended(Rule.ERROR, message, out_of_memory=True)
        if bug:
            write_text(task.directory.parent / ERROR, "".join(traceback.format_exception(error)))
    return Ended(Rule.ERROR, message, data_changed=isinstance(error, ChangedDataError))


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
        case OutOfMemory():
            parts = error.micro_batch
            return Ended(Rule.ERROR, str(error), out_of_memory=True, micro_batch=parts)
        case _:
            return Ended(Rule.ERROR, str(error), retry=isinstance(error, TransientError))


def run_child(task: TrialTask, channel: mp.connection.Connection) -> None:
    """A child's main function: own process group, own log, dies with its runner."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends the runner
    die_with_parent(lambda: os.killpg(0, signal.SIGKILL))
    _log_to(task.directory.parent / TRAIN_LOG)
    os.environ["CUDA_VISIBLE_DEVICES"] = task.gpus or ""
    os.environ["OMP_NUM_THREADS"] = str(task.device.cpus)
    if task.device.name == "cpu":
        hold_to_share(task.device.memory_fraction)
    run_task(task, channel)


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
