"""Several studies' journals as one that can only be read: numbered anew, one after another."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from tune.directory.journal import CANNOT_BE, CREATE_STUDY, CREATE_TRIAL, PASSED_OVER, Lines
from tune.errors import StoreError

_STUDY, _TRIAL, _NAME = "study_id", "trial_id", "study_name"


class _Renumbered:
    """The lines of one journal, with the numbers that they have among several.

    Args:
        path: The journal.
        name: Name of its study among the others.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._lines = Lines(path)
        self._name = name
        self._study: int | None = None
        self._trials: list[int] = []  # our number of each of its trials

    def more(self, numbers: "_Numbers") -> Iterator[Mapping[str, Any]]:
        """The lines since the last call.

        Raises:
            StoreError: One is damaged.
        """
        for entry in self._lines.more():
            if entry is not None:
                yield self._renumbered(entry, numbers)

    def _renumbered(self, entry: dict[str, Any], numbers: "_Numbers") -> Mapping[str, Any]:
        operation = entry["op_code"]
        if operation == CREATE_STUDY:
            if self._study is not None:  # each driver begins by such a line
                return PASSED_OVER
            self._study = numbers.next_study()
            return {**entry, _NAME: self._name}
        if operation == CREATE_TRIAL:
            self._trials.append(numbers.next_trial())
        if _TRIAL in entry:
            return {**entry, _TRIAL: self._trials[entry[_TRIAL]]}
        return {**entry, _STUDY: self._study}


class _Numbers:
    """The next free numbers of studies and trials."""

    def __init__(self) -> None:
        self._studies, self._trials = 0, 0

    def next_study(self) -> int:
        """A number for a study."""
        self._studies += 1
        return self._studies - 1

    def next_trial(self) -> int:
        """A number for a trial."""
        self._trials += 1
        return self._trials - 1


class ReadOnlyJournals(BaseJournalBackend):
    """Studies' journals behind one another, also while drivers write on; nothing is ever written.

    Args:
        journals: Journals by the name that each study has here.
    """

    def __init__(self, journals: Mapping[str, Path]) -> None:
        self._journals = [_Renumbered(path, name) for name, path in journals.items()]
        self._numbers = _Numbers()
        self._entries: list[Mapping[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read the lines from a number on.

        Raises:
            StoreError: One is damaged.
        """
        for journal in self._journals:
            self._entries += journal.more(self._numbers)
        yield from (dict(entry) for entry in self._entries[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse to write.

        Raises:
            StoreError: Always.
        """
        raise StoreError(READ_ONLY)


READ_ONLY: Final = "expected to be read only: what is shown here cannot be changed from here"


def read_only_storage(journals: Mapping[str, Path]) -> JournalStorage:
    """A storage for Optuna's programs, over journals by the name of their study.

    Raises:
        StoreError: A line of one is damaged.
    """
    try:
        return JournalStorage(ReadOnlyJournals(journals))
    except CANNOT_BE as error:
        places = ", ".join(map(str, journals.values()))
        raise StoreError(
            f"{places}: expected journals of studies, got one with a damaged line "
            f"({type(error).__name__}: {error}); `segtune status STUDY` says which"
        ) from error


def names_of(studies: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Folders by a name of their own: the study's, with its folder where two have one name.

    Args:
        studies: Name and folder of each study.
    """
    names = [name for name, _ in studies]
    return {name if names.count(name) == 1 else f"{name} ({path})": path for name, path in studies}
