"""Processes of a job that outlive it: found by a mark in their environment, and ended.

Ray ends a job's driver; what a driver, an actor or a tracker has started may live on. Each of them
inherits the job's mark, wherever it runs and whatever it is called.
"""

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "SEGTUNE_JOB"
"""Variable that every process of a job has, with the job's id."""

SHARED: Final = ("ray::_AutoscalingCoordinatorActor", "ray::ActorLocationTracker")
"""Actors of Ray Data that all jobs of a cluster share: the first that needs them has them started.

They hold no CPU, others may be using them, and Ray starts them again where they are killed.
"""

_ITSELF_S: Final = 3.0
"""Time that processes get to end by themselves; Ray's idle workers take as long."""

_KILLED_S: Final = 10.0
"""Time after which a process that was killed is told as one that cannot be ended, s."""


@dataclass(frozen=True)
class Leftovers:
    """What a job had left on a machine, a line for each process: its id and its command.

    Attributes:
        ended: Those that had to be ended.
        there: Those that are there still.
    """

    ended: tuple[str, ...] = ()
    there: tuple[str, ...] = ()


def end_leftovers(job_id: str, driver: str, orderly_s: float) -> Leftovers:
    """End the processes that a job has left on this machine.

    A driver is asked first, as Ray has not where it lost sight of it: it has a report to write.

    Args:
        job_id: Id of the job.
        driver: A word of its driver's command.
        orderly_s: Time that the driver gets then, s.
    """
    found = _still_there(job_id, _ITSELF_S)
    if drivers := [pid for pid in found if driver in _command(pid)]:
        _signal(drivers, signal.SIGTERM)
        _still_there(job_id, orderly_s, set(drivers))
        found |= _still_there(job_id, _ITSELF_S)
    _signal(_marked(job_id), signal.SIGKILL)
    there = _still_there(job_id, _KILLED_S)
    named = {pid: f"{pid} {title}" for pid, title in found.items()}
    return Leftovers(
        tuple(line for pid, line in named.items() if pid not in there),
        tuple(f"{pid} {title}" for pid, title in there.items()),
    )


def _still_there(job_id: str, within_s: float, of: Collection[int] = ()) -> dict[int, str]:
    """A job's processes with their commands, those named alone, once some time has gone by."""
    deadline = time.monotonic() + within_s
    while True:
        found = {pid: _title(pid) for pid in _marked(job_id) if not of or pid in of}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _signal(pids: Iterable[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)


def _marked(job_id: str) -> list[int]:
    """Processes of this user that carry a job's mark."""
    wanted = f"{MARK}={job_id}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            mine = wanted in (folder / "environ").read_bytes().split(b"\0")
            pid = int(folder.name)
            if mine and pid != os.getpid() and not _title(pid).startswith(SHARED):
                found.append(pid)
    return found


def _title(pid: int) -> str:
    return " ".join(_command(pid)[:3]).strip()[:80]


def _command(pid: int) -> list[str]:
    """Words of a process's command; none where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []
