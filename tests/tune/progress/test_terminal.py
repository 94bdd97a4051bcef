"""Progress on a terminal."""

import io
import logging
import os
import pty
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.shown_studies import STOPPED, plan_of, tell
from tune.plan.plan import StudyPlan
from tune.progress.terminal import FRAME_ROWS, TerminalProgress, make_progress


class Screen:
    """A real terminal, of which everything written to it is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._master, self._slave = pty.openpty()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("LINES", "30")
        self.stream = os.fdopen(self._slave, "w")
        self.written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.written += os.read(self._master, 4096)
            except OSError:
                return

    def text(self) -> str:
        """All that was written, without colours and cursor moves."""
        self.stream.flush()
        time.sleep(0.1)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written.decode())


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_a_terminal_gets_a_table_of_the_trials(plan: StudyPlan, screen: Screen) -> None:
    progress = make_progress(screen.stream)
    assert isinstance(progress, TerminalProgress)
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 25):
        pass
    progress.trial_ended(0, STOPPED)
    for _ in tell(progress, 1, 3, value=0.6):
        pass
    progress.study_ended("interrupted")
    last = screen.text().rpartition("sample ")[2]
    assert "interrupted" in last
    assert "1 of 4 trials ended" in last
    assert "best F1 0.600 (trial 1, epoch 3)" in last
    assert re.search(r"\b0 +25/50 +0\.300 +0\.300 +25 +stopped by ASHA: 0\.312 < 0\.407", last)
    assert re.search(r"\b1 +3/50 +0\.600 +0\.600 +3 +waiting", last)


def test_the_table_shows_the_part_of_the_machine_that_a_trial_has(
    plan: StudyPlan, screen: Screen
) -> None:
    progress = make_progress(screen.stream)
    progress.study_started(plan, resumed=False)
    progress.trial_placed(0, "2 threads")
    for _ in tell(progress, 0, 2):
        pass
    assert isinstance(progress, TerminalProgress)
    progress._live.refresh()  # type: ignore[union-attr]
    assert "running (2 threads)" in screen.text()
    progress.study_ended("finished")


def test_the_table_is_drawn_at_most_four_times_a_second(plan: StudyPlan, screen: Screen) -> None:
    progress = make_progress(screen.stream)
    began = time.monotonic()
    progress.study_started(plan, resumed=False)
    for _ in tell(progress, 0, 200):
        time.sleep(0.005)
    progress.study_ended("finished")
    took = time.monotonic() - began
    assert screen.text().count("trials ended") <= 4 * took + 3  # first and last come on top


def test_a_message_appears_above_the_table(
    plan: StudyPlan, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stderr__", screen.stream)
    monkeypatch.setattr(sys, "stderr", screen.stream)
    handler = logging.StreamHandler(screen.stream)
    logging.getLogger().addHandler(handler)
    try:
        progress = make_progress(screen.stream)
        progress.study_started(plan, resumed=False)
        logging.getLogger("tune.driver.driver").warning("trial 0: its worker died")
        progress.study_ended("finished")
    finally:
        logging.getLogger().removeHandler(handler)
    shown = screen.text()
    assert shown.count("trial 0: its worker died") == 1
    assert re.search(r"^trial 0: its worker died\s*$", shown, re.MULTILINE)
    assert shown.index("its worker died") < shown.rindex("trials ended")
    assert handler.stream is screen.stream


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 12)])
@pytest.mark.parametrize("running", [2, 12])
def test_a_study_of_many_trials_fits_the_screen(
    tmp_path: Path, size: tuple[int, int], running: int
) -> None:
    width, height = size
    made = plan_of(tmp_path, 80, 50)
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=True)
    progress = TerminalProgress(console)
    progress.study_started(made, resumed=False)
    for number in range(80):
        for _ in tell(progress, number, 2, value=number / 100):
            pass
        if number < 80 - running:
            progress.trial_ended(number, STOPPED)
    lines = console.render_lines(progress.renderable(), console.options, pad=False)
    progress.study_ended("finished")
    assert len(lines) < max(height, FRAME_ROWS + 9)
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)
