"""One driver a study: a lock that the system takes back from a killed process."""

import fcntl
import os
from pathlib import Path
from typing import IO


class DriverLock:
    """One driver a study: held from the first line written until the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> int | None:
        """Take the lock; returns the process id of the living holder instead where it is held."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            return int(holder) if holder.isdigit() else 0
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return None

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_driven(study_dir: Path) -> bool:
    """Whether a driver of this machine runs the study: it holds a lock for as long as it lives."""
    try:
        inode = str((study_dir / ".driver").stat().st_ino)
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    fields = (line.split() for line in locks)
    return any("FLOCK" in f and inode in (place.rpartition(":")[2] for place in f) for f in fields)
