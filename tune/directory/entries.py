"""The lines of a study's journal: which of them count, and whether they are as they were written.

Those count that the study's drivers wrote. Optuna's own programs can open a journal, and
optuna-dashboard deletes or renames a study at a click: it appends a line that says so. Nothing that
others append takes anything away here: such lines are passed over.

Each line of a driver ends in a checksum of itself and of all such lines before it. A changed byte,
a line that is missing, doubled, moved or another journal's is found at its number. What a
checksum cannot tell is a journal that ends early: it is the study at an earlier moment.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tune.errors import StoreError

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
