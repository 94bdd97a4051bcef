"""The study's memory: an Optuna journal in which a crash at any byte leaves a readable file.

Order of the lines is the order of events, so rungs are rebuilt by reading them from the top. For
each report the decision is written before the value; a decision that was written is never taken
anew.

Of a journal's lines those count that its drivers wrote. Optuna's own programs can open it, and
optuna-dashboard deletes or renames a study at a click: it appends a line that says so. Nothing that
others append takes anything away here: such lines are passed over.
"""

import json
import os
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from trainables.files.whole import FileLock, cut_torn_line
from tune.errors import StoreError
from tune.stopping.decision import Decision, Rule

SYNC_EVERY_S = 1.0

_DECISION, _EXCESS = "decision:", "excess"

CONSTRAINT = "constraints:"  # as optuna.Trial.set_constraint writes it; samplers read it


WRITER: Final = "writer"
"""Key that a driver of ours adds to each line; Optuna passes over it."""

OURS: Final = "segtune"

PASSED_OVER: Final[Mapping[str, Any]] = {"op_code": 1, "worker_id": "", "study_id": -1}
"""What stands for a line that does not count: no study is deleted."""

# Operation codes of the file format, fixed since Optuna 3.1.
CREATE_STUDY, DELETE_STUDY, CREATE_TRIAL, SET_PARAM, SET_STATE, SET_VALUE = 0, 1, 4, 5, 6, 7
SET_USER_ATTR, SET_SYSTEM_ATTR = 8, 9

ENDING: Final = "ending"  # user attribute that a driver writes before it ends a trial

_RUNNING: Final = 0  # state with which a driver begins a trial


class OwnEntries:
    """Tells a journal's lines that count from those that do not, asked for each in order.

    From the first line on that says that a driver wrote it, only such lines count. Journals of
    earlier versions have none: there, what no driver does does not count.

    Args:
        path: The journal, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self._marked = False
        self._name: str | None = None
        self._begun: dict[str, Mapping[str, Any]] = {}  # by the moment of their beginning
        self._ending: set[int] = set()

    def counts(self, entry: Mapping[str, Any]) -> bool:
        """Whether the next line counts.

        Raises:
            StoreError: It begins a trial that another line began.
        """
        self._line += 1
        ours = entry.get(WRITER) == OURS
        counts = ours or (not self._marked and self._is_a_drivers(entry))
        self._marked = self._marked or ours
        if counts and entry["op_code"] == CREATE_TRIAL:
            self._refuse_begun(entry)
        return counts

    def _is_a_drivers(self, entry: Mapping[str, Any]) -> bool:
        """Whether a line without a mark is one that drivers write."""
        operation = entry["op_code"]
        if operation == CREATE_STUDY:
            self._name = self._name or entry["study_name"]
            return bool(entry["study_name"] == self._name)
        if operation == CREATE_TRIAL:
            return bool(entry["study_id"] == 0 and entry.get("state") == _RUNNING)
        if operation == SET_USER_ATTR and ENDING in entry["user_attr"]:
            self._ending.add(entry["trial_id"])
        if operation == SET_STATE:
            return entry["trial_id"] in self._ending
        return operation not in (DELETE_STUDY, SET_PARAM)

    def _refuse_begun(self, entry: Mapping[str, Any]) -> None:
        first = self._begun.setdefault(entry["datetime_start"], entry)
        if first is not entry and first == entry:
            raise StoreError(
                f"{self._path}, line {self._line}: the study directory cannot be read: expected "
                "each trial to begin once, got the line of one again; every later trial would have "
                "the values of another. Remove the second one, or put a copy from before in its "
                "place."
            )


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
        self._own = OwnEntries(path)
        self._synced = 0.0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read the lines from a number on, of those that do not count a blank.

        Raises:
            StoreError: A line is damaged, and more follow; or a trial begins twice.
        """
        if log_number_from == 0:
            self._own = OwnEntries(self._path)
        try:
            for entry in super().read_logs(log_number_from):
                yield entry if self._own.counts(entry) else dict(PASSED_OVER)
        except ValueError as error:
            raise StoreError(
                f"{self._path}: the study directory cannot be read: expected a JSON object a line, "
                f"got something else ({error}); put a copy from before in its place, or begin "
                "another study"
            ) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines: where the disk is full, none of them."""
        own = ({**log, WRITER: OURS} for log in logs)
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in own)
        with self._lock_file, self._path.open("ab", buffering=0) as file:
            _append_whole(file, text.encode())
            ends = any(log["op_code"] == SET_STATE for log in logs)  # its checkpoint goes next
            if ends or time.monotonic() - self._synced > SYNC_EVERY_S:
                os.fsync(file.fileno())
                self._synced = time.monotonic()


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
    """Open (or begin) the journal at `path`."""
    return JournalStorage(_Backend(path))


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
    """Every report in the order in which it was decided."""
    found: dict[tuple[int, int], Arrival] = {}
    for entry in _entries(path):
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
    return list(found.values())


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    own = OwnEntries(path)
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and own.counts(entry := json.loads(line)):
                yield entry


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


def reported_of(trial: FrozenTrial) -> dict[int, float]:
    """The value that each decision on a journalled trial was taken on, by epoch."""
    return {
        int(name.removeprefix(_DECISION)): written["reported"]
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
