"""The processes that train one network together, one on each GPU of a trial.

The trial's own process leads: it is rank 0, and validates, reports and keeps everything. The
others follow: they get orders through a pipe, take part in the training's steps and end with their
leader, however it ends. What goes wrong in one of them is raised in the leader.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, NoReturn

import torch
from torch import distributed

from trainables.contract import Device, TrainingError, TransientError
from trainables.processes import die_with_parent, without_main

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 300.0
"""How long a process waits for the others within a step before the training fails."""

_START_S: Final = 600.0  # until a follower has opened its data and built its network

_END_S: Final = 10.0

_GRACE_S: Final = 5.0  # until a process whose sockets have closed is gone

_TOO_LATE: Final = ("timed out", "timeout")
"""What the backends say when a process is waited for in vain."""


@dataclass(frozen=True)
class Rank:
    """One of the processes of a training.

    Attributes:
        number: 0 leads.
        of: Number of processes.
    """

    number: int = 0
    of: int = 1

    def share(self, n: int) -> range:
        """The rank's part of `n` things in order; where it is uneven, the first have one more.

        >>> [list(Rank(number, 3).share(4)) for number in range(3)]
        [[0, 1], [2], [3]]
        """
        each, more = divmod(n, self.of)
        first = self.number * each + min(self.number, more)
        return range(first, first + each + (self.number < more))

    def device(self, device: Device) -> Device:
        """This process's part of a trial's device: a GPU of its own, and a share of the CPUs."""
        if self.of == 1:
            return device
        name = "cpu" if device.name == "cpu" else f"cuda:{self.number}"
        return replace(device, name=name, cpus=max(1, device.cpus // self.of), gpus=1)


ALONE: Final = Rank()

Follow = Callable[[Any, Rank, Iterator[Any]], None]
"""What a follower does, from what it was given, until its orders end.

It asks for its first order when it has built what it needs; the order comes once all have joined.
"""


@dataclass(frozen=True)
class _Failed:
    """The last word of a follower."""

    error: TrainingError | None
    text: str = ""


_READY = "ready"


class Team:
    """The leader's hold on its followers. Close it, or leave it as a context.

    Attributes:
        rank: The leader's own.
        folder: Folder of this team alone, for what is too large for an order; gone at the end.
    """

    def __init__(
        self, follow: Follow, task: Any, n: int, device: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Start the followers, and wait until they are ready.

        Args:
            follow: Function of a module that each runs.
            task: Given to each; plain data.
            n: Processes, the leader included.
            device: Kind of device they train on: "cpu" or "cuda".
            timeout_s: Time they wait for each other within a step.

        Raises:
            TrainingError: As raised in a follower.
            TransientError: One was killed, or took too long.
            RuntimeError: Another failure of one.
        """
        self.rank = Rank(0, n)
        self._timeout_s = timeout_s
        self.folder = Path(tempfile.mkdtemp(prefix="segtune-team-"))
        self._failure: TrainingError | RuntimeError | None = None
        self._pipes: list[connection.Connection] = []
        self._processes: list[BaseProcess] = []
        meeting = _Meeting(self.folder / "store", device, timeout_s)
        try:
            for number in range(1, n):
                self._start(follow, task, Rank(number, n), meeting)
            self._wait_until_ready()
            with self.together():
                meeting.join(self.rank)
        except BaseException:
            self.close()
            raise

    def order(self, order: Any) -> None:
        """Give all followers an order."""
        self.check()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):  # it has ended; `together` says why
                pipe.send(order)

    def check(self) -> None:
        """Raise what went wrong in a follower, if anything did."""
        for number, (pipe, process) in enumerate(self._each(), start=1):
            if self._failure is None and (pipe.poll() or not process.is_alive()):
                self._failure = self._failure_of(number, _last_word(pipe), process)
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block in which all processes work together: a failure in it is the follower's, if any.

        Raises:
            TrainingError: As raised in a follower.
            TransientError: One was killed, or they waited too long for each other.
            RuntimeError: Another failure.
        """
        try:
            yield
        except RuntimeError as error:
            self.check()
            if any(sign in str(error).casefold() for sign in _TOO_LATE):
                raise TransientError(
                    f"the {self.rank.of} processes of this training waited for each other for "
                    f"more than {self._timeout_s:g} s: {error}"
                ) from error
            connection.wait([process.sentinel for process in self._processes], _GRACE_S)
            self.check()
            raise

    def wait(self, device: torch.device) -> None:
        """Wait for this process' GPU, but not for what a failed follower will never send."""
        if device.type == "cpu":
            return
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(device))
        while not done.query():
            self.check()
            time.sleep(0.0002)

    def close(self) -> None:
        """End the followers; without them, nobody is left in the group."""
        for pipe in self._pipes:
            pipe.close()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        deadline = time.monotonic() + _END_S
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
        self._pipes, self._processes = [], []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _each(self) -> Iterator[tuple[connection.Connection, BaseProcess]]:
        return zip(self._pipes, self._processes, strict=True)

    def _start(self, follow: Follow, task: Any, rank: Rank, meeting: "_Meeting") -> None:
        context = get_context("spawn")
        own, theirs = context.Pipe()
        process = context.Process(
            target=_follower, args=(follow, task, rank, meeting, theirs), daemon=True
        )
        with without_main():
            process.start()
        theirs.close()
        self._pipes.append(own)
        self._processes.append(process)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        for number, (pipe, process) in enumerate(self._each(), start=1):
            left = max(0.0, deadline - time.monotonic())
            if not connection.wait([pipe, process.sentinel], left):
                raise TransientError(
                    f"{self._name(number)} was not ready within {_START_S:g} s; the machine may "
                    "be overloaded"
                )
            word = _last_word(pipe)
            if word != _READY:
                raise self._failure_of(number, word, process)

    def _failure_of(
        self, number: int, word: Any, process: BaseProcess
    ) -> TrainingError | RuntimeError:
        if isinstance(word, _Failed):
            return word.error or RuntimeError(f"{self._name(number)} failed:\n{word.text}")
        process.join(_GRACE_S)
        code = process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return TransientError(f"{self._name(number)} {how}")

    def _name(self, number: int) -> str:
        return f"process {number + 1} of the {self.rank.of} of this training"


@dataclass(frozen=True)
class _Meeting:
    """The place where the processes find each other; all are on one machine.

    Attributes:
        file: Is there for this training only.
        device: Kind of device.
        timeout_s: Time they wait for each other.
    """

    file: Path
    device: str
    timeout_s: float

    def join(self, rank: Rank) -> None:
        distributed.init_process_group(
            "gloo" if self.device == "cpu" else "nccl",
            init_method=f"file://{self.file}",
            rank=rank.number,
            world_size=rank.of,
            timeout=timedelta(seconds=self.timeout_s),
        )


def _last_word(pipe: connection.Connection) -> Any:
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):
        return None


# --- in a follower
def _follower(
    follow: Follow, task: Any, rank: Rank, meeting: _Meeting, pipe: connection.Connection
) -> None:
    """A follower's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the leader's, who ends this process
    die_with_parent(lambda: _end(meeting.file.parent))
    try:
        follow(task, rank, _orders(rank, meeting, pipe))
    except TrainingError as error:
        _break_off(pipe, _Failed(error))
    except Exception:  # any bug is raised by the leader
        log.exception("process %d of %d failed", rank.number + 1, rank.of)
        _break_off(pipe, _Failed(None, traceback.format_exc()))
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _break_off(pipe: connection.Connection, word: _Failed) -> NoReturn:
    """Say why and end at once: what hangs in a broken group is not waited for."""
    with contextlib.suppress(OSError):
        pipe.send(word)
    os._exit(1)


def _orders(rank: Rank, meeting: _Meeting, pipe: connection.Connection) -> Iterator[Any]:
    """The leader's orders until it closes the pipe."""
    pipe.send(_READY)
    meeting.join(rank)
    while True:
        try:
            yield pipe.recv()
        except EOFError:
            return


def _end(folder: Path) -> None:
    """End this process, and clear the folder of the team, as nobody else does."""
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)
