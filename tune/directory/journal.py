"""The study's memory: an Optuna journal in which a crash at any byte leaves a readable file.

Order of the lines is the order of events, so rungs are rebuilt by reading them from the top. For
each report the decision is written before the value; a decision that was written is never taken
anew.

Which of its lines count, and how each is sealed, stands in `tune.directory.entries`.
"""

import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from trainables.files.whole import FileLock, cut_torn_line
from tune.directory.entries import (
    PASSED_OVER,
    SET_STATE,
    SET_SYSTEM_ATTR,
    SET_VALUE,
    Lines,
    sealed,
    text_of,
)
from tune.errors import StoreError
from tune.stopping.decision import Decision, Rule

SYNC_EVERY_S = 1.0

CANNOT_BE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    *(RuntimeError, OptunaError),
)
"""What replaying a damaged line of an earlier version raises; those of today have a checksum."""

_DECISION, _EXCESS = "decision:", "excess"

CONSTRAINT = "constraints:"  # as optuna.Trial.set_constraint writes it; samplers read it


class _JournalLock(FileLock, BaseJournalFileLock):
    """A lock the kernel releases when its holder dies (Optuna's own survive a `kill -9`)."""


class _Backend(JournalFileBackend):
    """Reads the lines that count, and waits for the disk once a second and where a trial ends.

    A `kill -9` loses nothing of what was written. A power failure may lose the last second, and a
    study goes on from any prefix of its journal.
    """

    def __init__(self, path: Path) -> None:
        self._lock_file = _JournalLock(path.with_suffix(".lock"))
        super().__init__(str(path), lock_obj=self._lock_file)
        self._path = path
        self._lines, self._before_own = Lines(path), Lines(path)
        self._synced = 0.0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read the lines from a number on, of those that do not count a blank.

        Raises:
            StoreError: A line is damaged, or a trial begins twice.
        """
        if log_number_from < self._lines.n_read:
            self._lines = Lines(self._path)
        for entry in self._lines.more():
            if self._lines.n_read > log_number_from:
                yield dict(PASSED_OVER) if entry is None else entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines: where the disk is full, none of them.

        Raises:
            StoreError: A line of the journal is damaged, or the journal is gone.
        """
        with self._lock_file:
            for _ in self._before_own.more():  # raises where there is none any more to append to
                pass
            self._append(logs)

    def _append(self, logs: list[dict[str, Any]]) -> None:
        with self._path.open("ab", buffering=0) as file:
            checksum, text = self._before_own.own.checksum, ""
            for log in logs:
                entry, checksum = sealed(log, checksum)
                text += text_of(entry) + "\n"
            _append_whole(file, text.encode())
            ends = any(log["op_code"] == SET_STATE for log in logs)  # its checkpoint goes next
            if ends or time.monotonic() - self._synced > SYNC_EVERY_S:
                os.fsync(file.fileno())
                self._synced = time.monotonic()

    def not_a_journal(self, error: Exception) -> StoreError:
        """What to raise where the line that was read last says what cannot be."""
        return self._lines.own.damaged(
            f"expected a journal's line, got one with {type(error).__name__}: {error}"
        )


def _append_whole(file: FileIO, data: bytes) -> None:
    """Write all of `data` at a file's end, or leave the file as it is."""
    before = file.seek(0, os.SEEK_END)
    try:
        while data:
            data = data[file.write(data) :]
    except OSError:
        file.truncate(before)
        raise


def open_storage(path: Path) -> JournalStorage:
    """Open (or begin) the journal at `path`.

    Raises:
        StoreError: A line of it is damaged.
    """
    backend = _Backend(path)
    try:
        return JournalStorage(backend)
    except CANNOT_BE as error:
        raise backend.not_a_journal(error) from error


@dataclass(frozen=True)
class Arrival:
    """A report as the journal holds it.

    Attributes:
        trial: Optuna's number.
        epoch: The epoch reported.
        value: The objective as the engine reported it.
        decision: Decision on it, where more than "go on" was to be said.
        watched: The metric the plateau rule watches, where it is not the objective.
        excess: Amount by which each constraint is broken, by metric (`trainables.goal.Limit`).
        told: Whether the value was written too, not only the decision.
    """

    trial: int
    epoch: int
    value: float
    decision: Decision | None = None
    watched: float | None = None
    excess: Mapping[str, float] = field(default_factory=dict)
    told: bool = False


def arrivals(path: Path) -> list[Arrival]:
    """Every report in the order in which it was decided.

    Raises:
        StoreError: A line of the journal is damaged.
    """
    found: dict[tuple[int, int], Arrival] = {}
    lines = Lines(path)
    entries = lines.more() if path.exists() else ()
    try:
        for entry in entries:
            if entry is not None:
                _add(entry, found)
    except CANNOT_BE as error:
        raise lines.own.damaged(f"expected a decision or a value, got no {error}") from error
    return list(found.values())


def _add(entry: Mapping[str, Any], found: dict[tuple[int, int], Arrival]) -> None:
    """Add what a line says of a report to those before it, by trial and epoch."""
    trial = entry.get("trial_id", -1)
    if entry["op_code"] == SET_VALUE:
        key = (trial, entry["step"])
        seen = found.get(key) or Arrival(*key, entry["intermediate_value"])
        found[key] = replace(seen, told=True)
    elif entry["op_code"] == SET_SYSTEM_ATTR:
        for name, written in entry["system_attr"].items():
            if name.startswith(_DECISION):
                arrival = _decided(trial, int(name.removeprefix(_DECISION)), written)
                found.setdefault((trial, arrival.epoch), arrival)


def _decided(trial: int, epoch: int, written: Mapping[str, Any]) -> Arrival:
    rule = None if written["rule"] is None else Rule(written["rule"])
    decision = Decision(
        written["go_on"], rule, written["rung"], written["cutoff"], written["value"]
    )
    excess = written.get(_EXCESS, {})
    return Arrival(trial, epoch, written["reported"], decision, written["watched"], excess)


def excess_of(trial: FrozenTrial) -> dict[int, Mapping[str, float]]:
    """Amounts by which each constraint was broken, at each epoch of a journalled trial."""
    return {
        int(name.removeprefix(_DECISION)): written[_EXCESS]
        for name, written in trial.system_attrs.items()
        if name.startswith(_DECISION) and written.get(_EXCESS)
    }


def stop_of(trial: FrozenTrial) -> Decision | None:
    """The last decision that was to end a journalled trial, or None."""
    stops = {
        int(name.removeprefix(_DECISION)): written
        for name, written in trial.system_attrs.items()
        if name.startswith(_DECISION) and not written.get("go_on", True)
    }
    if not stops:
        return None
    last = max(stops)
    return _decided(trial.number, last, stops[last]).decision


def reported_of(trial: FrozenTrial) -> dict[int, float | None]:
    """The value that each decision on a journalled trial was taken on, by epoch.

    None where a damaged line of an earlier version does not say.
    """
    return {
        int(name.removeprefix(_DECISION)): written.get("reported")
        for name, written in trial.system_attrs.items()
        if name.startswith(_DECISION)
    }


class Journal:
    """One study's journal, open for writing by its one driver.

    A study file holds one Optuna study, so Optuna's trial id equals the trial's number.
    """

    def __init__(self, path: Path, name: str, mode: str) -> None:
        cut_torn_line(path)
        self.path = path
        self.storage = open_storage(path)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            study_name=name,
            storage=self.storage,
            direction="maximize" if mode == "max" else "minimize",
            load_if_exists=True,
        )

    def trials(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        return self.study.get_trials(deepcopy=False)

    def create(self, template: FrozenTrial) -> int:
        """Begin a trial, parameters and all, in one line; returns its number."""
        trial_id = self.storage.create_new_trial(self.study._study_id, template)
        return int(self.storage.get_trial(trial_id).number)

    def decide(self, arrival: Arrival, decision: Decision) -> None:
        """Write what was decided on a report, before the report's value."""
        self.storage.set_trial_system_attr(
            arrival.trial,
            f"{_DECISION}{arrival.epoch}",
            {
                "reported": arrival.value,
                "watched": arrival.watched,
                "go_on": decision.go_on,
                "rule": decision.rule,
                "rung": decision.rung,
                "cutoff": decision.cutoff,
                "value": decision.value,
                **({_EXCESS: dict(arrival.excess)} if arrival.excess else {}),
            },
        )

    def report(self, arrival: Arrival) -> None:
        """Write a report's value."""
        self.storage.set_trial_intermediate_value(arrival.trial, arrival.epoch, arrival.value)

    def annotate(self, trial: int, key: str, value: Any) -> None:
        """Write what a reader of the study should see with a trial."""
        self.storage.set_trial_user_attr(trial, key, value)

    def constrain(self, trial: int, excess: Mapping[str, float]) -> None:
        """Write by how much a trial breaks each constraint, before it is told."""
        for metric, value in excess.items():
            self.storage.set_trial_system_attr(trial, f"{CONSTRAINT}{metric}", value)

    def tell(self, trial: int, state: TrialState, value: float | None) -> None:
        """End a trial."""
        values = None if value is None else [value]
        self.storage.set_trial_state_values(trial, state, values)
