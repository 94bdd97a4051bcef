"""What an ended trial's folder holds that neither resuming nor exporting needs: checkpoints.

A trial that has ended and is closed trains no epoch more. Its best model and its artifacts stay, in
its latest attempt; the checkpoint it would go on from and its earlier attempts are left over. A
trial that is not closed keeps all: its artifacts may still have to be drawn.
"""

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.trials.layout import (
    ARTIFACT_FOLDER,
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    MODEL_FILE,
    RESUME_FOLDER,
)
from tune.directory.layout import CLOSED, attempts, latest_attempt
from tune.directory.lock import LOCK, DriverLock
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.trials import UNFINISHED
from tune.errors import StoreError

_PARTS = ("", ".old", ".new", ".part")  # a kill leaves some of a folder that was being replaced


@dataclass(frozen=True)
class Leftover:
    """A folder that can be removed.

    Attributes:
        path: The folder.
        size: Number of bytes of the files in it.
    """

    path: Path
    size: int


def leftovers_of(directory: Path) -> Iterator[Path]:
    """Folders of a closed trial that nothing needs any more: earlier attempts, and checkpoints.

    Args:
        directory: Folder of the trial, which must have ended and be closed.
    """
    if _has_best(directory):
        *earlier, latest = attempts(directory)
        yield from earlier
        yield from _checkpoints(latest)


def remove_checkpoints(directory: Path) -> None:
    """Remove the checkpoints of a trial that has just been closed."""
    if _has_best(directory):
        for attempt in attempts(directory):
            for path in _checkpoints(attempt):
                shutil.rmtree(path, ignore_errors=True)


def _has_best(directory: Path) -> bool:
    """Whether a trial's best model is kept; else the last one there is may lie in a checkpoint."""
    latest = latest_attempt(directory)
    return latest is not None and (latest / BEST_FOLDER / MODEL_FILE).is_file()


def _checkpoints(attempt: Path) -> list[Path]:
    names = (CHECKPOINT_FOLDER, RESUME_FOLDER)
    folders = (attempt / f"{name}{part}" for name in names for part in _PARTS)
    return [folder for folder in folders if folder.is_dir()]


def leftovers(study: StudyDir) -> list[Leftover]:
    """What can be removed of a study, and how large it is.

    Raises:
        StoreError: The study's files cannot be read, or disagree.
    """
    closed = [trial for trial in study.trials() if _is_closed(study, trial)]
    found = (path for trial in closed for path in leftovers_of(trial.directory))
    return [Leftover(path, size_of(path)) for path in found]


def clean(study: StudyDir) -> list[Leftover]:
    """Remove what neither resuming nor exporting needs; returns what was removed.

    Raises:
        StoreError: A driver runs the study, or its files cannot be read, or disagree.
        OSError: Something cannot be removed.
    """
    lock = DriverLock(study.path / LOCK)
    holder = lock.acquire()
    if holder is not None:
        raise StoreError(
            f"{study.path}: a driver is running this study (process {holder}); it removes the "
            "checkpoints of trials as they end, `clean` what is left when it has ended"
        )
    try:
        found = leftovers(study)
        for leftover in found:
            shutil.rmtree(leftover.path)
    finally:
        lock.release()
    return found


def size_of(folder: Path) -> int:
    """Number of bytes of the files in a folder; one that goes meanwhile does not count."""
    return sum(map(_bytes_of, folder.rglob("*")))


def _bytes_of(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISDIR(found.st_mode) else found.st_size


def _is_closed(study: StudyDir, trial: TrialRecord) -> bool:
    """Whether a trial has ended and nothing is left to be drawn of it."""
    if trial.state in UNFINISHED:
        return False
    if (trial.directory / CLOSED).is_file():
        return True
    earlier_layout = "layout" not in study.resolved  # closed no trial by itself
    artifacts = trial.attempt / ARTIFACT_FOLDER if trial.attempt else None
    return earlier_layout and artifacts is not None and any(artifacts.glob("*"))
