"""Processes of a job that outlive it: found by a mark in their environment, and ended.

Ray ends a job's driver; what a driver, an actor or a tracker has started may live on. Each of them
inherits the job's mark, wherever it runs and whatever it is called.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

MARK: Final = "SEGTUNE_JOB"
"""Variable that every process of a job has, with the job's id."""

_ITSELF_S: Final = 3.0
"""Time that processes get to end by themselves; Ray's idle workers take as long."""


def end_leftovers(job_id: str) -> list[str]:
    """End the processes that a job has left on this machine; returns what had to be ended."""
    deadline = time.monotonic() + _ITSELF_S
    while (found := _marked(job_id)) and time.monotonic() < deadline:
        time.sleep(0.1)
    named = [f"{pid} {_title(pid)}" for pid in found]
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return named


def _marked(job_id: str) -> list[int]:
    """Processes of this user that carry a job's mark."""
    wanted = f"{MARK}={job_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            mine = wanted in (folder / "environ").read_bytes().split(b"\0")
            if mine and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words[:3]).decode(errors="replace").strip()[:80]
    return ""
