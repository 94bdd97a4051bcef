"""`segtune move` ended by Ctrl-C at a terminal: what it says then is so, and nothing is lost."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.places import ROOT
from tests.support.servers.heads import Head, running_head
from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.servers.ray_clusters import until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked, reports, wait_for_reports
from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(1800)]

CTRL_C = b"\x03"

ASKED_NO_MORE = (
    "interrupted; its driver is asked no more and goes on with the study; or it has ended,"
)
PAUSED = "interrupted; the study is paused and all of it at"
SENT = "interrupted; job moving goes on with the study:"


class Terminal:
    """A terminal, and the verb in its foreground, to which its Ctrl-C goes."""

    def __init__(self, folder: Path, environment: Mapping[str, str], words: Sequence[str]) -> None:
        self._keys, screen = pty.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 400, 0, 0))
        self._shown = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "tune.cli", *words],  # as of a shell
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end is closed with the last who has it
            while piece := os.read(self._keys, 4096):
                self._shown += piece

    @property
    def shown(self) -> str:
        """All that it has shown so far, without colours and cursor moves."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace"))

    def press_ctrl_c(self) -> int:
        """Press Ctrl-C, and wait for the end; returns the exit code."""
        os.write(self._keys, CTRL_C)
        return self.process.wait(timeout=WAIT_S)


@contextmanager
def terminal(
    folder: Path, environment: Mapping[str, str], words: Sequence[str]
) -> Iterator[Terminal]:
    """A terminal whose verb is killed where it outlives the block."""
    made = Terminal(folder, environment, words)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def endless(storage: Path) -> dict[str, Any]:
    """A study that no machine ends in time."""
    return {
        "study": "moving",
        "storage": str(storage),
        "budget": {"trials": 400, "epochs": 30},
        "fixed": {"epoch_seconds": 3.0},
        "resources": {"concurrent": 1, "cpus_per_trial": 1},
        "tracking": {"wandb": {"mode": "disabled"}},
    }


def is_pausing(study: Path) -> bool:
    """Whether a trial has paused by now, for somebody who asked."""
    return any("pauses after epoch" in trial.message for trial in StudyDir.open(study).trials())


def is_looking(head: Head) -> bool:
    """Whether the job runs by which a cluster says whether a study can go on there."""
    return any("tune.job.entry check" in title(process) for process in head.processes())


def title(process: psutil.Process) -> str:
    """Command of a process; "" where it has just ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def interrupted(
    machine: Computer,
    user: Mapping[str, str],
    words: Sequence[str],
    shown: str,
    so: Callable[[], object] = lambda: True,
) -> str:
    """Move a study, press Ctrl-C when something is shown; returns what is shown from then on.

    Args:
        machine: Whose terminal it is.
        user: Variables of its user.
        words: After `segtune move`.
        shown: Words on the terminal that are waited for first.
        so: What is waited for then.
    """
    home = {**user, "HOME": str(machine.disk / "home")}
    with terminal(machine.disk, home, ["move", *words]) as opened:
        until(f"{shown!r} is shown", lambda: shown in opened.shown or has_ended(opened), WAIT_S)
        until("it is so", so, WAIT_S)
        assert opened.press_ctrl_c() == 130, opened.shown
        until("all is shown", lambda: "interrupted; " in opened.shown, 30)
        text = opened.shown
    assert "Traceback" not in text
    assert text.count("interrupted; ") == 1, text
    return text[text.index("interrupted; ") :]


def has_ended(opened: Terminal) -> bool:
    """Never: a verb that has ended before anybody interrupted it fails the test."""
    assert opened.process.poll() is None, opened.shown
    return False


def test_what_an_interrupted_move_says_is_so_at_whatever_moment_and_nothing_is_lost(
    bucket: str, tmp_path: Path
) -> None:
    with running_head(cpus=1) as head, computers(tmp_path, 1) as [machine]:
        here, there = machine.disk / "studies" / "moving", tmp_path / "there" / "moving"
        mirror = f"{bucket}/{tmp_path.name}"
        words = [str(here), "--to", head.address, "--through", mirror]
        words += ["--set", f"storage={there.parent}"]
        driver = machine.start("tune", str(write_study(tmp_path, **endless(here.parent))))
        wait_until("it runs", machine.log, lambda: reports(here) >= 2)

        said = interrupted(machine, head.user, words, "", lambda: is_looking(head))
        assert said.startswith("interrupted; nobody was asked to pause, and the study is as it was")
        said = interrupted(machine, head.user, words, "waiting for its driver")
        assert said.startswith(ASKED_NO_MORE)
        wait_for_reports(here, reports(here) + 2)
        assert driver.poll() is None, machine.log.read_text()

        said = interrupted(
            machine, head.user, words, "waiting for its driver", lambda: is_pausing(here)
        )
        assert said.startswith(ASKED_NO_MORE)
        before = reports(here)
        until("one of both", lambda: driver.poll() is not None or reports(here) > before, WAIT_S)
        if driver.poll() is not None:
            assert f"`segtune resume {here}` goes on" in said
            driver = machine.start("resume", str(here))
            wait_for_reports(here, before + 1)

        for moment in ("shipping what", "shipping to", "package:"):
            said = interrupted(machine, head.user, words, moment)
            assert driver.wait(timeout=WAIT_S) == 0, machine.log.read_text()
            if said.startswith(SENT):
                break
            assert said.startswith(PAUSED)
            assert not is_driven(here)
        else:
            moved = asked(machine.disk, head.user, "move", *words)  # the same command once more
            assert moved.returncode == 0, moved.stderr
        left, before = (here / "optuna.journal").read_bytes(), reports(here)
        wait_for_reports(there, before + 2)
        assert asked(tmp_path, head.user, "stop", "moving").returncode == 0
    assert (there / "optuna.journal").read_bytes().startswith(left)
    counted = values_written(there / "optuna.journal")
    assert len(counted) == len(set(counted)) > before, "an epoch is double, or one is lost"
