"""The study directory's layout: names, attempts, and the tables in trial folders."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trainables.trials.layout import METRICS
from tune.errors import StoreError

STUDY, RESOLVED, JOURNAL, LOG = "study.yaml", "resolved.json", "optuna.journal", "segtune.log"

PARAMS, OUTCOME, ERROR = "params.json", "outcome.json", "error.txt"

TRAIN_LOG = "train.log"  # what a trial's engine has printed, in all attempts

NOTES = "notes.json"  # what the engine had to say of a trial

SESSION = "session.json"  # how long the study has run, over all its drivers

DIARY = "diary.json"  # notes and tags that people keep with the study

CLOSED = "closed.json"  # a trial that has ended, its artifacts drawn and its record closed

LAYOUT = 2  # of a study directory, in its RESOLVED; 1, which does not say so, had no CLOSED

ELAPSED = "elapsed_s"  # column of the metrics table: wall time of all attempts so far

TAKEOVER = "takeover"  # of a trial's parameters: the take-over since which its records are new

CHECK = "check"  # checksum of an outcome or a line of metrics; earlier versions had none


BEFORE_CHECK: Final = f', "{CHECK}": "'.encode()

_NUMBER: Final = (int, float)

_SHAPES: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    PARAMS: {
        "sampled": dict,
        "fixed": dict,
        "seed": int,
        "warm_start": (int, type(None)),
        TAKEOVER: int,
    },
    OUTCOME: {
        "state": str,
        "stop_reason": str,
        "message": str,
        "epoch": int,
        "seconds": _NUMBER,
        **dict.fromkeys(("rung", "cutoff", "value"), (*_NUMBER, type(None))),
    },
    NOTES: {"notes": list},
    RESOLVED: {
        **dict.fromkeys(("study", "engine", "data", "data_name", "fingerprint"), str),
        **dict.fromkeys(("classes", "rungs", "points"), list),
        **dict.fromkeys(("epochs", "trials", "seed"), int),
        **dict.fromkeys(("fixed", "search_space", "objective", "written", "versions"), dict),
    },
    SESSION: {ELAPSED: _NUMBER},
}
"""What stands under the keys of a study's small files."""


def trial_dir(study: Path, number: int) -> Path:
    """Folder of a trial."""
    return study / "trials" / str(number)


def trial_numbers(study: Path) -> list[int]:
    """Numbers of the trials that have a folder."""
    try:
        names = os.listdir(study / "trials")  # noqa: PTH208  (a glob takes five times as long)
    except FileNotFoundError:
        return []
    return [int(name) for name in names if name.isdecimal()]


def attempts(directory: Path) -> list[Path]:
    """Folders of a trial's attempts, oldest first."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  (a glob takes five times as long)
    except FileNotFoundError:
        return []
    found = [directory / name for name in names if name.startswith("attempt-")]
    return sorted(found, key=attempt_number)


def attempt_number(attempt: Path) -> int:
    """Number of the attempt that a folder is from, 1-based."""
    return int(attempt.name.removeprefix("attempt-"))


def latest_attempt(directory: Path) -> Path | None:
    """Folder of a trial's latest attempt, or None where it has none."""
    found = attempts(directory)
    return found[-1] if found else None


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """A trial's metrics table, one mapping an epoch, a torn last line left out.

    Raises:
        StoreError: A line is no mapping of an epoch's numbers, or not as it was written.
    """
    path = directory / METRICS
    lines = (_content(path) or b"").split(b"\n")[:-1]
    return [_epoch(line, path, n) for n, line in enumerate(lines, start=1)]


def _epoch(text: bytes, path: Path, line: int) -> dict[str, float]:
    values = _object(text, path, line)
    said = values.pop(CHECK, None)
    content = text.rpartition(BEFORE_CHECK)[0]  # the bytes: to write them anew would cost thrice
    odd = [name for name, value in values.items() if not isinstance(value, _NUMBER)]
    if odd or not isinstance(values.get("epoch"), int):
        why = f"expected numbers by name, epoch among them, got {odd[0] if odd else 'no epoch'}"
        raise _unreadable(path, line, why)
    if said not in (None, _checksum(content)):
        raise _unreadable(path, line, "it is not as it was written: it has another checksum")
    return values


def outcome_check(outcome: Mapping[str, Any]) -> str:
    """Checksum of what an outcome says, beside its checksum."""
    said = {key: value for key, value in outcome.items() if key != CHECK}
    return _checksum(json.dumps(said, sort_keys=True).encode())


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def read_notes(directory: Path) -> tuple[str, ...]:
    """The messages of the engine about a trial."""
    return tuple(read_json(directory / NOTES).get("notes", ()))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file.

    Raises:
        StoreError: The file holds something else.
    """
    text = _content(path)
    content = {} if text is None else _object(text, path)
    for key, kind in _SHAPES.get(path.name, {}).items():
        if key in content and not isinstance(content[key], kind):
            raise _unreadable(path, None, f"{key} is {content[key]!r}")
    return content


def elapsed_before_s(study: Path) -> float:
    """Time a study has run so far, over all its drivers.

    Raises:
        StoreError: As for `read_json`.
    """
    return float(read_json(study / SESSION).get("elapsed_s", 0.0))


def _content(path: Path) -> bytes | None:
    """Bytes of a file, or None where there is none; asking first would cost a third call."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (thousands of small files)
            return file.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise _unreadable(path, None, "expected a file, got a folder") from error


def _object(text: bytes, path: Path, line: int | None = None) -> dict[str, Any]:
    """The JSON object that a file, or a line of it, holds."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, line, str(error)) from error
    if not isinstance(content, dict):
        raise _unreadable(path, line, f"expected a JSON object, got {type(content).__name__}")
    return content


def _unreadable(path: Path, line: int | None, why: str) -> StoreError:
    place = f"{path}" if line is None else f"{path}, line {line}"
    return StoreError(f"{place}: the study directory cannot be read: {why}")
