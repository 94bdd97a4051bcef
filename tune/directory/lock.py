"""One driver a study: a lock that the system takes back from a killed process."""

import os
from pathlib import Path
from typing import Final

from trainables.files.whole import FileLock


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
