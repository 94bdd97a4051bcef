"""Processes of others, which may end while they are looked at: one that has gone has no words."""

import contextlib
import signal
from collections.abc import Iterable

import psutil


def words_of(process: psutil.Process) -> list[str]:
    """Words of a process's command; none where it has ended."""
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def command_of(process: psutil.Process) -> str:
    """A process's command in one line; "" where it has ended."""
    return " ".join(words_of(process))


def is_raylet(process: psutil.Process) -> bool:
    """Whether a process is one of Ray's raylets, and has not ended."""
    with contextlib.suppress(psutil.Error):
        return bool(process.name() == "raylet")
    return False


def raylet_below(parent: int) -> psutil.Process:
    """The one raylet that a process, or one of those below it, has started.

    Args:
        parent: Id of the process.
    """
    [raylet] = filter(is_raylet, psutil.Process(parent).children(recursive=True))
    return raylet


def send(what: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Send a signal to those of the processes that have not ended."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(what)
