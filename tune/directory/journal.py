"""The study's memory: an Optuna journal in which a crash at any byte leaves a readable file.

Order of the lines is the order of events, so rungs are rebuilt by reading them from the top. For
each report the decision is written before the value; a decision that was written is never taken
anew.

Those lines count that the study's drivers wrote. Optuna's own programs can open a journal, and
optuna-dashboard deletes or renames a study at a click: it appends a line that says so. Nothing that
others append takes anything away here: such lines are passed over.

Each line of a driver ends in a checksum of itself and of all such lines before it. A changed byte,
a line that is missing, doubled, moved or another journal's is found at its number. What a
checksum cannot tell is a journal that ends early: it is the study at an earlier moment.
"""

import json
import os
import time
import zlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
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
from tune.errors import StoreError
from tune.stopping.decision import Decision

WRITER: Final = "writer"
"""Key that a driver of ours adds to each line; Optuna passes over it."""

OURS: Final = "segtune"

CHECK: Final = "check"
"""Key of a line's checksum; earlier versions wrote none."""

PASSED_OVER: Final[Mapping[str, Any]] = {"op_code": 1, "worker_id": "", "study_id": -1}
"""What stands for a line that does not count: no study is deleted."""

# Operation codes of the file format, fixed since Optuna 3.1.
CREATE_STUDY, DELETE_STUDY, CREATE_TRIAL, SET_PARAM, SET_STATE, SET_VALUE = 0, 1, 4, 5, 6, 7
SET_USER_ATTR, SET_SYSTEM_ATTR = 8, 9

ENDING: Final = "ending"  # user attribute that a driver writes before it ends a trial

SEED: Final = "seed"  # user attribute with which a driver begins a trial

WARM_START: Final = "warm_start"  # another: name of the point it came from

_RUNNING: Final = 0  # state with which a driver begins a trial


SYNC_EVERY_S = 1.0

CANNOT_BE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    *(RuntimeError, OptunaError),
)
"""What replaying a damaged line of an earlier version raises; those of today have a checksum."""

DECISION, EXCESS = "decision:", "excess"

CONSTRAINT = "constraints:"  # as optuna.Trial.set_constraint writes it; samplers read it


def sealed(entry: Mapping[str, Any], before: int) -> tuple[dict[str, Any], int]:
    """A line as a driver writes it, and the checksum with it.

    Args:
        entry: The line.
        before: Checksum of the drivers' lines before it; 0 where there are none.
    """
    written = {**entry, WRITER: OURS}
    checksum = _checksum(written, before)
    return {**written, CHECK: f"{checksum:08x}"}, checksum


def text_of(entry: Mapping[str, Any]) -> str:
    """A line as it stands in the file."""
    return json.dumps(entry, separators=(",", ":"))


def _checksum(entry: Mapping[str, Any], before: int) -> int:
    content = {key: value for key, value in entry.items() if key != CHECK}
    return zlib.crc32(text_of(content).encode(), before)


class OwnEntries:
    """Tells a journal's lines that count from those that do not, asked for each in order.

    From the first line on that says that a driver wrote it, only such lines count. Journals of
    earlier versions have none: there, what no driver does does not count.

    Attributes:
        line: Number of the line that was asked for last, 1-based.
        checksum: Checksum of the lines that count.
    """

    def __init__(self, path: Path) -> None:
        """Begin at the first line.

        Args:
            path: The journal, for messages.
        """
        self.line = 0
        self.checksum = 0
        self._path = path
        self._marked = self._checked = False
        self._name: str | None = None
        self._n_trials = 0
        self._begun: dict[str, Mapping[str, Any]] = {}  # by the moment of their beginning
        self._ending: set[int] = set()

    def counts(self, entry: Any) -> bool:
        """Whether the next line counts.

        Raises:
            StoreError: It is no line of a journal, not as it was written, or begins a trial that
                another line began.
        """
        self.line += 1
        if not isinstance(entry, dict):
            raise self.damaged(f"expected a JSON object, got {type(entry).__name__}")
        ours = entry.get(WRITER) == OURS or CHECK in entry
        try:
            counts = ours or (not self._marked and self._is_a_drivers(entry))
            if counts and entry["op_code"] == CREATE_TRIAL:
                self._n_trials += 1
                self._refuse_begun(entry)
            if counts and not 0 <= entry.get("trial_id", 0) < max(1, self._n_trials):
                raise self.damaged(f"expected a trial that has begun, got {entry['trial_id']}")
        except (LookupError, TypeError) as error:
            raise self.damaged(f"expected a journal's line, got one without {error}") from error
        self._marked = self._marked or ours
        if counts:
            self._compare(entry)
        return counts

    def damaged(self, why: str) -> StoreError:
        """What to raise of the line that was asked for last."""
        return StoreError(
            f"{self._path}, line {self.line}: the study directory cannot be read: {why}; put a "
            "copy from before in its place, or begin another study"
        )

    def _compare(self, entry: Mapping[str, Any]) -> None:
        """Hold a line that counts against its checksum."""
        self.checksum = _checksum(entry, self.checksum)
        said = entry.get(CHECK)
        if said != f"{self.checksum:08x}" and (self._checked or said is not None):
            raise self.damaged(
                "expected the next line as its driver wrote it, got one with another checksum: it "
                "was changed, doubled or moved, or one before it is missing"
            )
        self._checked = said is not None

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
        if operation in (SET_VALUE, SET_USER_ATTR, SET_SYSTEM_ATTR):
            return bool(0 <= entry["trial_id"] < self._n_trials)
        return operation not in (DELETE_STUDY, SET_PARAM)

    def _refuse_begun(self, entry: Mapping[str, Any]) -> None:
        first = self._begun.setdefault(entry["datetime_start"], entry)
        if first is not entry and first == entry:
            raise StoreError(
                f"{self._path}, line {self.line}: the study directory cannot be read: expected "
                "each trial to begin once, got the line of one again; every later trial would have "
                "the values of another. Remove the second one, or put a copy from before in its "
                "place."
            )


class Lines:
    """A journal's whole lines, each read once, also while a driver writes on.

    Attributes:
        n_read: Number of lines read so far.
        own: Which of them count.
    """

    def __init__(self, path: Path) -> None:
        self.n_read = 0
        self.own = OwnEntries(path)
        self._path = path
        self._offset = 0

    def more(self) -> Iterator[dict[str, Any] | None]:
        """The lines since the last call; None for each that does not count.

        A line without its end is still being written, or was torn by a kill; it is left.

        Raises:
            StoreError: As for `OwnEntries.counts`; or the journal is gone, or another.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError as error:
            raise self._gone("none") from error
        with file:
            if file.seek(0, os.SEEK_END) < self._offset:
                raise self._gone("a shorter one")
            file.seek(self._offset)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                entry = self._parsed(text)
                counts = self.own.counts(entry)
                self._offset += len(text)
                self.n_read += 1
                yield entry if counts else None

    def _gone(self, what: str) -> StoreError:
        return StoreError(
            f"{self._path}: expected the study's journal, read up to line {self.n_read}, "
            f"got {what}: the study directory was moved, deleted or replaced meanwhile; put it "
            "back, and resume"
        )

    def _parsed(self, text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.own.line += 1
            raise self.own.damaged(f"expected a JSON object, got {error}") from error


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
            f"{DECISION}{arrival.epoch}",
            {
                "reported": arrival.value,
                "watched": arrival.watched,
                "go_on": decision.go_on,
                "rule": decision.rule,
                "rung": decision.rung,
                "cutoff": decision.cutoff,
                "value": decision.value,
                **({EXCESS: dict(arrival.excess)} if arrival.excess else {}),
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
