"""The study directory's layout: names, attempts, and the tables in trial folders."""

import json
from pathlib import Path
from typing import Any

STUDY, RESOLVED, JOURNAL, LOG = "study.yaml", "resolved.json", "optuna.journal", "segtune.log"
PARAMS, METRICS, OUTCOME, ERROR = "params.json", "metrics.jsonl", "outcome.json", "error.txt"
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
    """Which attempt at its trial a folder is from, 1-based."""
    return int(attempt.name.removeprefix("attempt-"))


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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file."""
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text())
    return content
