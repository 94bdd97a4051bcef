"""A trial without a study: trained here, to full length, and safe to interrupt.

::

    <out>/work/checkpoint/     the engine's, from which an interrupted training goes on
    <out>/work/resume/         the one it went on from
    <out>/best/                model.pt and metrics.json of the best epoch so far
    <out>/artifacts/           curves, tables, pictures
    <out>/metrics.jsonl        one line an epoch
"""

import json
import logging
import math
import shutil
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from trainables.contract import (
    ArtifactKind,
    Device,
    Diverged,
    EpochMetrics,
    TrainingError,
    TrainMetrics,
    Trial,
    TrialStopped,
)
from trainables.datasets.prepared import PreparedDataset
from trainables.files.whole import finish_replacing, write_text
from trainables.goal import Goal
from trainables.trials.keeping import BestKeeper, keep_artifact
from trainables.trials.layout import CHECKPOINT_FOLDER, HISTORY_FILE, METRICS, RESUME_FOLDER

log = logging.getLogger(__name__)

WORK: Final = "work"

Progress = Callable[[EpochMetrics], None]


@dataclass
class StopFlag:
    """A request to end the training after its present epoch."""

    requested: bool = False


@dataclass
class LocalTrial:
    """The `Trial` of a training in this process (`trainables.contract.Trial`).

    Attributes:
        out: Folder of the result.
        goal: Says which epoch is the best, whose model is kept.
        progress: Function that is told of every epoch.
        told: Messages that the user has read already, which are not logged again.
        stop: Looked at after every epoch.
        last: Last epoch to train, where the training is cut before its length; else None.
        ended_early: Whether the engine's own patience has run out.
        notes: Messages of the engine.
    """

    name: str
    params: Mapping[str, Any]
    sampled: frozenset[str]
    data: PreparedDataset
    epochs: int
    seed: int
    device: Device
    out: Path
    goal: Goal
    train_metrics: TrainMetrics = field(default_factory=TrainMetrics)
    progress: Progress = lambda metrics: None
    told: Collection[str] = ()
    stop: StopFlag = field(default_factory=StopFlag)
    last: int | None = None
    directory: Path = field(init=False)
    resume_from: Path | None = field(init=False)
    keeper: BestKeeper = field(init=False)
    ended_early: bool = field(init=False, default=False)
    notes: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.directory = self.out / WORK
        self.directory.mkdir(parents=True, exist_ok=True)
        self.resume_from = _take_checkpoint(self.directory)
        self.keeper = BestKeeper(self.out, self.goal)
        self._lines = [] if self.resume_from is None else _history(self.resume_from)
        self._write_lines()
        if self.resume_from is not None and self._lines:
            last = self._lines[-1]
            self.keeper.offer(int(last["epoch"]), last, self.resume_from)

    @property
    def train_to(self) -> int:
        """Last epoch to train."""
        return self.epochs if self.last is None else self.last

    @property
    def epochs_done(self) -> int:
        """Epochs that are trained and need not be trained again."""
        return len(self._lines)

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self.ended_early or self.epochs_done >= self.train_to

    def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
        """Keep the model if it is the best so far, and write the epoch down.

        Raises:
            TrialStopped: The user interrupted.
            Diverged: The objective is not finite.
            TrainingError: The engine does not report the objective.
        """
        self._check(metrics)
        self.keeper.offer(metrics.epoch, metrics.values, checkpoint)
        self._lines.append({"epoch": metrics.epoch, **metrics.values})
        self._write_lines()
        self.progress(metrics)
        if self.stop.requested and metrics.epoch < self.epochs:
            raise TrialStopped(f"interrupted after epoch {metrics.epoch}")

    def artifact(self, path: Path, kind: ArtifactKind) -> None:
        """Copy a file into `<out>/artifacts`."""
        del kind
        keep_artifact(path, self.out)

    def note(self, message: str) -> None:
        """Tell the user what was not told yet."""
        self.notes.append(message)
        if message not in self.told:
            log.info("%s: %s", self.name, message)

    def _check(self, metrics: EpochMetrics) -> None:
        objective = self.keeper.goal.metric
        if objective not in metrics.values:
            reported = ", ".join(sorted(metrics.values)) or "nothing"
            raise TrainingError(f"the engine reports no {objective}; it reports {reported}")
        value = metrics.values[objective]
        if not math.isfinite(value):
            raise Diverged(f"{objective} is {value} after epoch {metrics.epoch}")

    def _write_lines(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self._lines)
        write_text(self.out / METRICS, text)


@contextmanager
def stopping_on_signals(stop: StopFlag) -> Iterator[None]:
    """Let Ctrl-C (or SIGTERM) end the training after its present epoch; a second one ends it now.

    Outside the main thread signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(number: int, frame: FrameType | None) -> None:
        """Note the first signal; the second one interrupts."""
        del frame
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        name = signal.Signals(number).name
        log.warning("%s: ends after this epoch; once more to end at once", name)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _take_checkpoint(directory: Path) -> Path | None:
    """The checkpoint to go on from, out of the way of the ones to come."""
    checkpoint, resume = directory / CHECKPOINT_FOLDER, directory / RESUME_FOLDER
    finish_replacing(checkpoint, HISTORY_FILE)
    if (checkpoint / HISTORY_FILE).is_file():
        shutil.rmtree(resume, ignore_errors=True)
        checkpoint.rename(resume)
    return resume if (resume / HISTORY_FILE).is_file() else None


def _history(checkpoint: Path) -> list[dict[str, float]]:
    entries = json.loads((checkpoint / HISTORY_FILE).read_text("utf-8"))
    return [{"epoch": entry["epoch"], **entry["values"]} for entry in entries]


if TYPE_CHECKING:

    def _is_a_trial(trial: LocalTrial) -> Trial:
        return trial
