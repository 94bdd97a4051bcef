"""The study directory's layout: names, attempts, and the tables in trial folders."""

import json
from pathlib import Path
from typing import Any

from trainables.trials.layout import METRICS
from tune.errors import StoreError

STUDY, RESOLVED, JOURNAL, LOG = "study.yaml", "resolved.json", "optuna.journal", "segtune.log"

PARAMS, OUTCOME, ERROR = "params.json", "outcome.json", "error.txt"

NOTES = "notes.json"  # what the engine had to say of a trial

SESSION = "session.json"  # how long the study has run, over all its drivers

CLOSED = "closed.json"  # a trial that has ended, its artifacts drawn and its record closed

LAYOUT = 2  # of a study directory, in its RESOLVED; 1, which does not say so, had no CLOSED

ELAPSED = "elapsed_s"  # column of the metrics table: wall time of all attempts so far


def trial_dir(study: Path, number: int) -> Path:
    """Folder of a trial."""
    return study / "trials" / str(number)


def attempts(directory: Path) -> list[Path]:
    """A trial's attempts, oldest first."""
    found = directory.glob("attempt-*")
    return sorted(found, key=attempt_number)


def attempt_number(attempt: Path) -> int:
    """Number of the attempt that a folder is from, 1-based."""
    return int(attempt.name.removeprefix("attempt-"))


def latest_attempt(directory: Path) -> Path | None:
    """A trial's latest attempt."""
    found = attempts(directory)
    return found[-1] if found else None


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """A trial's metrics table, one mapping an epoch, a torn last line left out.

    Raises:
        StoreError: A line is no JSON object.
    """
    path = directory / METRICS
    if not path.is_file():
        return []
    with path.open("rb") as file:
        whole = [line for line in file if line.endswith(b"\n")]
    return [_object(line, f"{path}, line {n}") for n, line in enumerate(whole, start=1)]


def read_notes(directory: Path) -> tuple[str, ...]:
    """The messages of the engine about a trial."""
    return tuple(read_json(directory / NOTES).get("notes", ()))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file.

    Raises:
        StoreError: The file holds something else.
    """
    return _object(path.read_bytes(), str(path)) if path.is_file() else {}


def elapsed_before_s(study: Path) -> float:
    """Time a study has run so far, over all its drivers.

    Raises:
        StoreError: As for `read_json`.
    """
    return float(read_json(study / SESSION).get("elapsed_s", 0.0))


def _object(text: bytes, place: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise StoreError(f"{place}: the study directory cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(
            f"{place}: the study directory cannot be read: expected a JSON object, got "
            f"{type(content).__name__}"
        )
    return content
