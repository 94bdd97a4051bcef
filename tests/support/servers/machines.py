"""Machines of their own for tests: each with its home, its disk and its working folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.places import ROOT
from tests.support.servers.processes import send

WAIT_S = 300.0  # for what takes seconds where the machine has nothing else to do


@dataclass
class Computer:
    """A machine on which `segtune` runs.

    Attributes:
        disk: All that it has: its home, its cache, its working folder.
        drivers: What was started on it.
    """

    disk: Path
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.disk / "home").mkdir(parents=True)

    @property
    def log(self) -> Path:
        """What everything that was started on it has said."""
        return self.disk / "log.txt"

    def copy_of(self, address: str) -> Path:
        """Its working copy of a mirrored study."""
        return self.disk / "home/.cache/segtune/buckets" / address.removeprefix("gs://")

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `segtune` in a process group of its own."""
        with self.log.open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", "tune.cli", *words],
                cwd=self.disk,
                env={**self._environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.drivers.append(driver)
        return driver

    def run(self, *words: str) -> str:
        """Run `segtune` to its end; gives what it said."""
        ran = subprocess.run(
            [sys.executable, "-m", "tune.cli", *words],
            cwd=self.disk,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return f"{ran.stdout}{ran.stderr}exit code {ran.returncode}"

    def lose(self) -> None:
        """End everything on it as a power cut does, and delete its disk."""
        self.cut()
        shutil.rmtree(self.disk)

    def cut(self) -> None:
        """Kill -9 whatever was started on it, and what that started."""
        for driver in self.drivers:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(driver.pid)
                send(signal.SIGKILL, [parent, *parent.children(recursive=True)])
            driver.wait(timeout=60)
        self.drivers.clear()

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"}
        return {**kept, "HOME": str(self.disk / "home"), "PYTHONPATH": str(ROOT)}


@contextmanager
def computers(folder: Path, n: int) -> Iterator[list[Computer]]:
    """Machines that end with the block."""
    made = [Computer(folder / f"machine-{number}") for number in range(1, n + 1)]
    try:
        yield made
    finally:
        for machine in made:
            machine.cut()


def wait_until(what: str, log: Path, is_so: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Wait for something; where it does not come, the test fails with what was said."""
    deadline = time.monotonic() + seconds
    while not is_so():
        said = log.read_text()[-4000:] if log.exists() else ""
        assert time.monotonic() < deadline, f"{what}: {said}"
        time.sleep(0.1)
