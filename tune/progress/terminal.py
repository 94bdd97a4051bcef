"""Progress of a study on a terminal: a live table, or lines where the output is none.

A terminal gets a live table; anything else gets plain lines: one when a trial starts, one when it
ends, one now and then for the study. `status_lines` shows a study directory as the table does.
"""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live

from tune.directory.trials import TrialOutcome
from tune.progress.beginning import first_board
from tune.progress.board import Board
from tune.progress.lines import LineProgress, line_writer
from tune.progress.observer import Observer
from tune.progress.table import board_header, trials_table
from tune.stopping.decision import Decision

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


REFRESHES_PER_S: Final = 4

FRAME_ROWS: Final = 9  # of a live table besides its trials, and the line below it


def make_progress(stream: TextIO | None = None) -> Observer:
    """A live table where `stream` (default: standard output) is a terminal, else plain lines."""
    stream = stream or sys.stdout
    console = Console(file=stream)
    if stream.isatty() and not console.is_dumb_terminal:
        return TerminalProgress(console)
    return LineProgress(line_writer(stream))


class TerminalProgress:
    """A live table that fits the terminal.

    Args:
        console: The terminal.
    """

    _board: Board  # from the start of the study on

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()  # the table is drawn by a thread of its own
        self._live: Live | None = None
        self._state = "running"
        self._diverted: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Show the table."""
        self._board = first_board(plan, resumed=resumed)
        self._live = Live(
            console=self._console,
            get_renderable=self.renderable,
            refresh_per_second=REFRESHES_PER_S,
            vertical_overflow="crop",
        )
        self._live.start()
        self._divert_logs()

    def trial_placed(self, number: int, part: str) -> None:
        """Show a trial's part of the machine."""
        with self._lock:
            self._board.place(number, part)

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """Show a trial."""
        with self._lock:
            self._board.start(number, time.monotonic(), params)

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """Show an epoch."""
        with self._lock:
            self._board.report(number, epoch, values, time.monotonic())

    def trial_ended(self, number: int, outcome: TrialOutcome) -> None:
        """Show how a trial ended."""
        with self._lock:
            self._board.end(number, outcome, time.monotonic())

    def study_ended(self, reason: str) -> None:
        """Leave the last table on the screen."""
        with self._lock:
            self._state = reason
            self._board.interrupt()
        if self._live is not None:
            self._live.stop()
        for handler, stream in self._diverted:
            handler.setStream(stream)
        self._diverted = []

    def _divert_logs(self) -> None:
        """Let log messages appear above the table: Live has put itself before stdout and stderr."""
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.StreamHandler):
                continue
            stream = handler.stream
            if stream in (sys.__stderr__, sys.__stdout__):
                handler.setStream(sys.stderr)
                self._diverted.append((handler, stream))

    def renderable(self) -> RenderableType:
        """The table as it stands."""
        now = time.monotonic()
        width, height = self._console.size
        rows = max(1, height - FRAME_ROWS)
        with self._lock:
            return Group(
                board_header(self._board, now, self._state, width),
                trials_table(self._board, self._board.sections(rows), now, width),
            )


if TYPE_CHECKING:  # the type checker proves that both are observers
    _lines: Observer = LineProgress(line_writer(sys.stdout))
    _live: Observer = TerminalProgress(Console())
