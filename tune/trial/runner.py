"""Runs an engine for one trial after another, each in a child process of its own.

The runner is light: it never imports a framework. A child comes from a fork server that has the
engine's framework loaded, leads its own process group, and dies with its runner. A simulated
engine, which needs no framework, runs in a thread of the runner instead.
"""

import contextlib
import multiprocessing as mp
import os
import queue
import signal
import threading
from typing import Any

from trainables.processes import without_main
from trainables.registry import engine_info, packages
from tune.stopping.decision import Rule
from tune.trial.child import run_child, run_task
from tune.trial.messages import GO_ON, STOP, Ended, Event
from tune.trial.task import TrialTask


class _QueueEnd:
    """A `Channel` within one process."""

    def __init__(self, outgoing: "queue.Queue[Any]", incoming: "queue.Queue[Any]") -> None:
        self._outgoing, self._incoming = outgoing, incoming

    def send(self, obj: Any, /) -> None:
        self._outgoing.put(obj)

    def recv(self) -> Any:
        return self._incoming.get()


class TrialRunner:
    """Runs one trial at a time.

    Call `start`, then `next_event` until it returns `Ended`; answer each `Reported` with `go_on`
    or `stop`.
    """

    def __init__(self, engine: str) -> None:
        self._isolated = engine_info(engine).isolated
        self._context = mp.get_context("forkserver")
        if self._isolated:
            self._context.set_forkserver_preload(["tune.trial.child", *_preload(engine)])
        self._process: mp.process.BaseProcess | None = None
        self._channel: Any = None

    def start(self, task: TrialTask) -> None:
        """Begin an attempt; its folder must exist."""
        if not self._isolated:
            to_engine: queue.Queue[Any] = queue.Queue()
            to_runner: queue.Queue[Any] = queue.Queue()
            self._channel = _QueueEnd(to_engine, to_runner)
            engine_end = _QueueEnd(to_runner, to_engine)
            threading.Thread(target=run_task, args=(task, engine_end), daemon=True).start()
            return
        self._channel, child_end = self._context.Pipe()
        process = self._context.Process(target=run_child, args=(task, child_end), daemon=False)
        with without_main():
            process.start()
        child_end.close()
        self._process = process

    def next_event(self) -> Event:
        """Wait for the engine's next word; a child that dies without one has crashed."""
        self.poll(None)
        try:
            if self._is_dead() and not self._channel.poll():
                raise EOFError  # what the child left behind may hold its end open
            event: Event = self._channel.recv()
        except (EOFError, ConnectionResetError):
            event = Ended(Rule.ERROR, self._how_it_died(), retry=True)
        if isinstance(event, Ended):
            self._clean_up()
        return event

    def go_on(self) -> None:
        """Let the trial train its next epoch."""
        self._answer(GO_ON)

    def stop(self) -> None:
        """Tell the trial to finish its artifacts and end."""
        self._answer(STOP)

    def kill(self) -> None:
        """End the child and everything it started, now."""
        self.abort()
        self._clean_up()

    def abort(self) -> None:
        """End them where another thread waits for the next event, which then says so."""
        process = self._process
        if process is not None and process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def poll(self, timeout_s: float | None) -> bool:
        """Whether an event, or the child's death, is there within `timeout_s`; None for ever."""
        if self._process is None:
            return True
        ends = [self._channel, self._process.sentinel]
        return bool(mp.connection.wait(ends, timeout_s))

    def _is_dead(self) -> bool:
        return self._process is not None and not self._process.is_alive()

    def _answer(self, word: str) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):  # the next event says it died
            self._channel.send(word)

    def _how_it_died(self) -> str:
        assert self._process is not None
        self._process.join(timeout=10)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = "; out of memory?" if -code == signal.SIGKILL else ""
            return f"the training process was ended by {name}{hint}"
        return f"the training process ended without a word (exit code {code})"

    def _clean_up(self) -> None:
        if self._process is None:
            return
        pid = self._process.pid
        self._process.join(timeout=10)
        if pid is not None:  # loader workers and whatever else the engine left behind
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._process.join(timeout=5)
        self._channel.close()
        self._process = None


def _preload(engine: str) -> list[str]:
    return [f"{packages()[engine]}.engine"]
