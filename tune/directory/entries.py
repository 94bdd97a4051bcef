"""The lines of a study's journal that count: those its drivers wrote.

A journal is an Optuna journal, so Optuna's own programs can open it, and optuna-dashboard deletes
or renames a study at a click: it appends a line that says so. Nothing that others append takes
anything away here: such lines are passed over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tune.errors import StoreError

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
