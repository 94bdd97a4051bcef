"""The driver's writers: of the trial folders, and of the time the study has taken."""

import json
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainables.files.whole import replace_folder, write_json, write_text
from trainables.trials.layout import (
    ARTIFACT_FOLDER,
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    HISTORY_FILE,
    METRICS,
    METRICS_FILE,
    RESUME_FOLDER,
)
from tune.directory.layout import (
    BEFORE_CHECK,
    CHECK,
    CLOSED,
    ELAPSED,
    NOTES,
    OUTCOME,
    PARAMS,
    SESSION,
    TAKEOVER,
    attempt_number,
    attempts,
    elapsed_before_s,
    latest_attempt,
    outcome_check,
    read_json,
    read_metrics,
    read_notes,
    trial_dir,
)
from tune.directory.leftovers import remove_checkpoints
from tune.directory.trials import TrialAssignment, TrialOutcome


def close_earlier(study: Path) -> None:
    """Note as closed the ended trials of a study directory of layout 1 that have artifacts.

    Its trials were not closed one by one; whether a kill left some half drawn, nobody can say.
    """
    for ended in study.glob(f"trials/*/{OUTCOME}"):
        latest = latest_attempt(ended.parent)
        if latest is not None and any((latest / ARTIFACT_FOLDER).glob("*")):
            _close(ended.parent)


def _close(directory: Path) -> None:
    write_json(directory / CLOSED, {"attempts": len(attempts(directory))})


class SessionClock:
    """Wall time the study has taken, over all its drivers; written at most once a second."""

    def __init__(self, study_dir: Path) -> None:
        self._study = study_dir
        self._before_s = elapsed_before_s(study_dir)
        self._started = time.monotonic()
        self._saved = 0.0

    def elapsed_s(self) -> float:
        """Seconds that the study has run, over all its drivers."""
        return self._before_s + time.monotonic() - self._started

    def tick(self) -> None:
        """Save the time once a second."""
        if time.monotonic() - self._saved > 1:
            self.save()

    def save(self) -> None:
        """Write the time into the study directory."""
        write_json(self._study / SESSION, {"elapsed_s": self.elapsed_s()})
        self._saved = time.monotonic()


def metrics_line(values: Mapping[str, float]) -> str:
    """A line of the metrics table, with a checksum of itself, which `read_metrics` looks at."""
    content = json.dumps(dict(values)).removesuffix("}")
    return f'{content}{BEFORE_CHECK.decode()}{zlib.crc32(content.encode()):08x}"}}\n'


@dataclass
class _Attempt:
    """An attempt at a trial that this driver has begun.

    Attributes:
        table: File of the trial's metrics table.
        last: Last epoch in the table.
        before_s: Wall time of the earlier attempts.
        started: Moment at which this one began.
    """

    table: Path
    last: int
    before_s: float
    started: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        """Wall time of all attempts so far."""
        return self.before_s + time.monotonic() - self.started


class Recorder:
    """Writes the trial folders; one a driver.

    The metrics table is appended to before the journal has the epoch, so it never lacks one that
    the journal has; a new attempt cuts it to the journal's last epoch and reports the rest again.

    Attributes:
        study: The study directory.
        changed: Told of each trial whose folder was written into.
        takeover: Last term of the study's mirror that was taken from a driver which may only be
            asleep; 0 for none.
    """

    def __init__(self, study_dir: Path, fixed: Mapping[str, Any]) -> None:
        """Write below a study directory.

        Args:
            study_dir: <storage>/<study>.
            fixed: Hyperparameters that have one value in all trials.
        """
        self.study = study_dir
        self.changed: Callable[[int], None] = lambda number: None
        self.takeover = 0
        self._fixed = dict(fixed)
        self._attempts: dict[int, _Attempt] = {}

    def begin(self, assignment: TrialAssignment) -> tuple[Path, Path | None, int]:
        """Make the folder of a new attempt.

        Returns:
            The folder, the checkpoint to go on from or None, and the last epoch that journal and
            table both have.
        """
        directory = trial_dir(self.study, assignment.number)
        self._set_aside_stranger(directory, assignment)
        directory.mkdir(parents=True, exist_ok=True)
        for ending in (CLOSED, OUTCOME):  # it has paused, or its journal line was lost
            (directory / ending).unlink(missing_ok=True)
        written = [m for m in read_metrics(directory) if m["epoch"] <= assignment.last_epoch]
        write_text(directory / METRICS, "".join(map(metrics_line, written)))
        last = int(written[-1]["epoch"]) if written else 0
        before_s = written[-1].get(ELAPSED, 0.0) if written else 0.0
        self._attempts[assignment.number] = _Attempt(directory / METRICS, last, before_s)
        takeover = max(self.takeover, read_json(directory / PARAMS).get(TAKEOVER, 0))
        write_json(
            directory / PARAMS,
            {
                "sampled": dict(assignment.proposal.params),
                "fixed": self._fixed,
                "seed": assignment.seed,
                "warm_start": assignment.proposal.warm_start,
                **({TAKEOVER: takeover} if takeover else {}),
            },
        )
        folder, checkpoint = _new_attempt(directory)
        self.changed(assignment.number)
        return folder, checkpoint, last

    def report(self, number: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append an epoch to the trial's table, unless it is there."""
        attempt = self._attempts[number]
        if epoch != attempt.last + 1:
            return
        line = {"epoch": epoch, **values, ELAPSED: attempt.elapsed_s()}
        with attempt.table.open("a") as file:
            file.write(metrics_line(line))
        attempt.last = epoch
        self.changed(number)

    def note(self, number: int, text: str) -> None:
        """Keep what an engine has to say of a trial, once."""
        directory = trial_dir(self.study, number)
        notes = read_notes(directory)
        if text not in notes:
            directory.mkdir(parents=True, exist_ok=True)
            write_json(directory / NOTES, {"notes": [*notes, text]})
            self.changed(number)

    def end(self, number: int, outcome: TrialOutcome) -> TrialOutcome:
        """Write how a trial ended, or that it pauses, before its actor hears of it."""
        directory, attempt = trial_dir(self.study, number), self._attempts.get(number)
        seconds = attempt.elapsed_s() if attempt else _seconds(directory)
        outcome = replace(outcome, seconds=seconds)
        directory.mkdir(parents=True, exist_ok=True)
        said = dict(outcome.__dict__)
        write_json(directory / OUTCOME, {**said, CHECK: outcome_check(said)})
        self.changed(number)
        return outcome

    def takeover_of(self, number: int) -> int:
        """Take-over since which a trial's records elsewhere are new ones; 0 for none.

        A driver that may wake up yet goes on writing into those from before it. So a trial that is
        begun, gone on with or closed after a take-over gets records of its own.
        """
        path = trial_dir(self.study, number) / PARAMS
        params = read_json(path)
        before: int = params.get(TAKEOVER, 0)
        if params and before < self.takeover:
            write_json(path, {**params, TAKEOVER: self.takeover})
            self.changed(number)
        return max(before, self.takeover)

    def has_outcome(self, number: int) -> bool:
        """Whether a trial's end is written."""
        return (trial_dir(self.study, number) / OUTCOME).is_file()

    def close(self, number: int) -> None:
        """Note that an ended trial has its artifacts, and its tracker all of it.

        Its checkpoint has done its work and is removed; the best model stays.
        """
        directory = trial_dir(self.study, number)
        _close(directory)
        remove_checkpoints(directory)
        self.changed(number)

    def is_closed(self, number: int) -> bool:
        """Whether nothing is left to do for an ended trial."""
        return (trial_dir(self.study, number) / CLOSED).is_file()

    def reopen(self, number: int, *, redraw: bool) -> tuple[Path, Path | None]:
        """Make ready to close an ended trial that a crash left open.

        Args:
            number: Number of the trial.
            redraw: Whether its artifacts are to be drawn anew.

        Returns:
            A new attempt's folder and the checkpoint to draw from; the latest attempt's and None
            where nothing can or need be drawn.
        """
        directory = trial_dir(self.study, number)
        latest = latest_attempt(directory)
        if latest is None:  # somebody has cleared the trial's folder
            return _new_attempt(directory)
        if not redraw or _last_checkpoint(attempts(directory)) is None:
            return latest, None
        return _new_attempt(directory)

    def _set_aside_stranger(self, directory: Path, assignment: TrialAssignment) -> None:
        """Move away a folder of another trial of this number (its journal lines were lost)."""
        found = read_json(directory / PARAMS)
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
    number = attempt_number(before[-1]) + 1 if before else 1
    attempt = directory / f"attempt-{number}"
    attempt.mkdir()
    best = _last_whole(before, (BEST_FOLDER,), METRICS_FILE)
    if best is not None:
        copy = shutil.copytree(best, attempt / f"{BEST_FOLDER}.part")  # of no name that counts
        replace_folder(copy, attempt / BEST_FOLDER)
    checkpoint = _last_checkpoint(before)
    return attempt, None if checkpoint is None else checkpoint.rename(attempt / RESUME_FOLDER)


def _last_checkpoint(before: Sequence[Path]) -> Path | None:
    return _last_whole(before, (RESUME_FOLDER, CHECKPOINT_FOLDER), HISTORY_FILE)


def _last_whole(before: Sequence[Path], names: Sequence[str], marker: str) -> Path | None:
    """The newest folder of some names with its `marker`, the JSON file written into it last.

    A kill while one was being replaced leaves it under `<name>.new`, the one before it under
    `<name>.old`, or both, and none under its name.
    """
    places = [
        attempt / f"{name}{suffix}"
        for attempt in before
        for name in names
        for suffix in (".old", "", ".new")
    ]
    return next((place for place in reversed(places) if _is_json(place / marker)), None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def _seconds(directory: Path) -> float:
    """Wall time of a trial that an earlier driver ran."""
    written = read_metrics(directory)
    return float(written[-1].get(ELAPSED, 0.0)) if written else 0.0
