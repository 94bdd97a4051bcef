"""The study directory: where everything of a study lies, and how to read it back.

`StudyDir` reads (also while a driver runs); `Recorder` is the driver's one writer of the trial
folders. The journal decides what counts; the folders hold what is too big for it.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.controller import Assignment
from tune.errors import StoreError, StudyError
from tune.events import Outcome, State
from tune.files import write_json
from tune.journal import cut_torn_line, open_storage
from tune.plan import StudyPlan
from tune.study import Study, load_study

STUDY, RESOLVED, JOURNAL, LOG = "study.yaml", "resolved.json", "optuna.journal", "segtune.log"
PARAMS, METRICS, OUTCOME, ERROR = "params.json", "metrics.jsonl", "outcome.json", "error.txt"

_STATES: Mapping[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the study directory holds it.

    Attributes:
        number: Optuna's number.
        state: What became of it so far.
        params: Sampled values.
        fixed: The other values it trains with.
        seed: Seed of its training.
        stop_reason: A `tune.stopping.Rule`, or "" while it runs.
        rung: Rung at which ASHA ended it.
        cutoff: What `value` was compared with.
        value: What the rule looked at.
        objective: The objective at the best epoch.
        best_epoch: Its epoch, 1-based.
        last: The objective at the last epoch.
        epochs: Epochs trained.
        seconds: Wall time of all attempts.
        metrics: One mapping an epoch, in order.
        directory: trials/<n>.
        attempt: Folder of the latest attempt, or None.
        warm_start: Index of the warm-start point it came from, or None.
        message: Why it ended, for a reader.
    """

    number: int
    state: State
    params: Mapping[str, Any]
    fixed: Mapping[str, Any]
    seed: int
    stop_reason: str
    rung: int | None
    cutoff: float | None
    value: float | None
    objective: float | None
    best_epoch: int | None
    last: float | None
    epochs: int
    seconds: float
    metrics: tuple[Mapping[str, float], ...]
    directory: Path
    attempt: Path | None
    warm_start: int | None
    message: str

    @property
    def best_metrics(self) -> Mapping[str, float]:
        """Every metric at the best epoch."""
        found = [m for m in self.metrics if m["epoch"] == self.best_epoch]
        return found[0] if found else {}

    @property
    def best_model(self) -> Path | None:
        """The model of the best epoch, if it was kept."""
        model = self.attempt / "best" / "model.pt" if self.attempt else None
        return model if model is not None and model.is_file() else None

    @property
    def artifacts(self) -> Path | None:
        """Curves, confusion matrices and tables of the latest attempt."""
        folder = self.attempt / "artifacts" if self.attempt else None
        return folder if folder is not None and folder.is_dir() else None

    @property
    def label(self) -> str:
        """Short name for a table or a chart."""
        start = "" if self.warm_start is None else f" (start {self.warm_start})"
        return f"trial {self.number}{start}"


@dataclass(frozen=True)
class StudyDir:
    """A study directory, read only.

    Attributes:
        path: Absolute.
        study: As resolved when it was started.
        resolved: What was true then: versions, classes, rungs, fingerprint.
    """

    path: Path
    study: Study
    resolved: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a study directory.

        Raises:
            StoreError: `path` is none, or is damaged.
        """
        path = path.resolve()
        missing = [name for name in (STUDY, RESOLVED, JOURNAL) if not (path / name).is_file()]
        if missing:
            raise StoreError(
                f"{path}: expected a study directory with {', '.join(missing)}; `segtune tune` "
                "makes one at <storage>/<study>"
            )
        try:
            resolved = json.loads((path / RESOLVED).read_text())
            return cls(path, load_study(path / STUDY, check_data=False), resolved)
        except (ValueError, StudyError) as error:
            raise StoreError(f"{path}: the study directory cannot be read: {error}") from error

    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial, by number."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = open_storage(self.path / JOURNAL)
        studies = storage.get_all_studies()
        if not studies:
            return ()
        trials = storage.get_all_trials(studies[0]._study_id, deepcopy=False)
        return tuple(self._record(trial) for trial in trials)

    def best(self) -> TrialRecord | None:
        """The trial with the best epoch, failed ones included if they got that far."""
        sign = 1 if self.study.objective.mode == "max" else -1
        candidates = [t for t in self.trials() if t.objective is not None]
        return max(candidates, key=lambda t: sign * (t.objective or 0.0), default=None)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        directory = trial_dir(self.path, trial.number)
        params = _read_json(directory / PARAMS)
        outcome = _read_json(directory / OUTCOME)
        best_epoch, best = _best(trial.intermediate_values, self.study.objective.mode)
        last_epoch = max(trial.intermediate_values, default=0)
        metrics = tuple(m for m in read_metrics(directory) if m["epoch"] <= last_epoch)
        ended = trial.state.is_finished()
        return TrialRecord(
            number=trial.number,
            state=_STATES[trial.state],
            params=trial.params,
            fixed=params.get("fixed", {}),
            seed=params.get("seed", 0),
            stop_reason=trial.user_attrs.get("stop_reason", "") if ended else "",
            rung=outcome.get("rung"),
            cutoff=outcome.get("cutoff"),
            value=outcome.get("value"),
            objective=best,
            best_epoch=best_epoch,
            last=trial.intermediate_values.get(last_epoch),
            epochs=last_epoch,
            seconds=float(metrics[-1].get("elapsed_s", 0.0)) if metrics else 0.0,
            metrics=metrics,
            directory=directory,
            attempt=latest_attempt(directory),
            warm_start=params.get("warm_start"),
            message=trial.user_attrs.get("message", "") if ended else "",
        )


def _best(values: Mapping[int, float], mode: str) -> tuple[int | None, float | None]:
    if not values:
        return None, None
    sign = 1 if mode == "max" else -1
    epoch = max(values, key=lambda e: (sign * values[e], -e))
    return epoch, values[epoch]


def trial_dir(study: Path, number: int) -> Path:
    """Folder of a trial."""
    return study / "trials" / str(number)


def attempts(directory: Path) -> list[Path]:
    """A trial's attempts, oldest first."""
    found = directory.glob("attempt-*")
    return sorted(found, key=lambda path: int(path.name.removeprefix("attempt-")))


def latest_attempt(directory: Path) -> Path | None:
    """A trial's latest attempt."""
    found = attempts(directory)
    return found[-1] if found else None


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """A trial's metrics table, one mapping an epoch, a torn last line left out."""
    path = directory / METRICS
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@dataclass
class _Clock:
    """Wall time of a trial over its attempts."""

    before_s: float
    started: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        return self.before_s + time.monotonic() - self.started


class Recorder:
    """Writes the trial folders; one a driver.

    The metrics table is appended to after the journal has the epoch, so on resume a trial reports
    again what either lacks.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self._study = plan.directory
        self._fixed = dict(plan.fixed)
        self._clocks: dict[int, _Clock] = {}
        self._last: dict[int, int] = {}

    def begin(self, assignment: Assignment) -> tuple[Path, Path | None, int]:
        """Make the folder of a new attempt.

        Returns:
            The folder, the checkpoint to go on from or None, and the last epoch that journal and
            table both have.
        """
        directory = trial_dir(self._study, assignment.number)
        self._set_aside_stranger(directory, assignment)
        directory.mkdir(parents=True, exist_ok=True)
        cut_torn_line(directory / METRICS)
        written = read_metrics(directory)
        last = int(written[-1]["epoch"]) if written else 0
        self._last[assignment.number] = last
        before = written[-1].get("elapsed_s", 0.0) if written else 0.0
        self._clocks[assignment.number] = _Clock(before)
        write_json(
            directory / PARAMS,
            {
                "sampled": dict(assignment.proposal.params),
                "fixed": self._fixed,
                "seed": assignment.seed,
                "warm_start": assignment.proposal.warm_start,
            },
        )
        attempt, checkpoint = _new_attempt(directory)
        return attempt, checkpoint, min(last, assignment.last_epoch)

    def report(self, number: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append an epoch to the trial's table, unless it is there."""
        if epoch != self._last[number] + 1:
            return
        line = {"epoch": epoch, **values, "elapsed_s": self._clocks[number].elapsed_s()}
        with (trial_dir(self._study, number) / METRICS).open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._last[number] = epoch

    def end(self, number: int, outcome: Outcome) -> Outcome:
        """Write how a trial ended, before its actor hears of it."""
        clock = self._clocks.get(number)
        outcome = replace(outcome, seconds=clock.elapsed_s() if clock else outcome.seconds)
        directory = trial_dir(self._study, number)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / OUTCOME, outcome.__dict__)
        return outcome

    def has_outcome(self, number: int) -> bool:
        """Whether a trial's end is written."""
        return (trial_dir(self._study, number) / OUTCOME).is_file()

    def _set_aside_stranger(self, directory: Path, assignment: Assignment) -> None:
        """Move away a folder of another trial of this number (its journal lines were lost)."""
        found = _read_json(directory / PARAMS)
        sampled = json.loads(json.dumps(dict(assignment.proposal.params)))
        if found and (found["sampled"] != sampled or found["seed"] != assignment.seed):
            aside = directory.with_name(f"{directory.name}.lost-{time.time_ns()}")
            directory.rename(aside)


def _new_attempt(directory: Path) -> tuple[Path, Path | None]:
    """The next attempt's folder, with the best model so far, and the checkpoint to go on from.

    The checkpoint is moved over: a worker of a killed driver may write into its own attempt for
    some seconds more.
    """
    before = attempts(directory)
    number = int(before[-1].name.removeprefix("attempt-")) + 1 if before else 1
    attempt = directory / f"attempt-{number}"
    attempt.mkdir()
    best = [a / "best" for a in before if (a / "best" / "metrics.json").is_file()]
    if best:
        shutil.copytree(best[-1], attempt / "best")
    folders = [a / name for a in before for name in ("resume", "checkpoint")]
    whole = [folder for folder in folders if (folder / "history.json").is_file()]
    if not whole:
        return attempt, None
    return attempt, whole[-1].rename(attempt / "resume")
