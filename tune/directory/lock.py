"""One driver a study: a lock that the system takes back from a killed process."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainables.files.whole import FileLock
from tune.errors import StoreError


class DriverLock:
    """A study's lock, held by its one driver from the first line written until the process ends."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> int | None:
        """Take the lock; returns the process id of the living holder instead where it is held."""
        if not self._lock.acquire(wait=False):
            holder = self._lock.path.read_text().strip()
            return int(holder) if holder.isdigit() else 0
        self._lock.path.write_text(str(os.getpid()))  # the locked file itself, not a new one
        return None

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


LOCK: Final = ".driver"
"""File of a study directory that its driver holds a lock on."""


HAND_OVER: Final = signal.SIGUSR1
"""Signal at which a driver pauses its trials at the ends of their epochs, and ends."""

_LOOK_S: Final = 0.2


def ask_to_hand_over(study_dir: Path, waiting: Callable[[], object]) -> None:
    """Have the driver of a study on this machine pause its trials and end, if there is one.

    Args:
        study_dir: The study directory.
        waiting: Called once if there is a driver, before it is waited for.

    Raises:
        StoreError: The driver is another user's.
    """
    if not is_driven(study_dir):
        return
    holder = int((study_dir / LOCK).read_text())
    waiting()
    try:
        os.kill(holder, HAND_OVER)
    except PermissionError as error:
        raise StoreError(
            f"{study_dir}: expected a driver that you may end, got process {holder} of another user"
        ) from error
    while is_driven(study_dir):
        time.sleep(_LOOK_S)


def driven_since_ns(study_dir: Path) -> int | None:
    """Modification time at which the study's driver took its lock; None where none runs here."""
    return (study_dir / LOCK).stat().st_mtime_ns if is_driven(study_dir) else None


def is_driven(study_dir: Path) -> bool:
    """Whether a driver of this machine runs the study: it holds a lock for as long as it lives."""
    try:
        inode = str((study_dir / LOCK).stat().st_ino)
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    fields = (line.split() for line in locks)
    return any("FLOCK" in f and inode in (place.rpartition(":")[2] for place in f) for f in fields)
