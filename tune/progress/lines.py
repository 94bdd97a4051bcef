"""Progress in lines, for a log or a pipe."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from search_spaces.names import written
from tune.directory.trials import TrialOutcome
from tune.progress.beginning import first_board
from tune.progress.board import Board, TrialView
from tune.progress.words import clock, ending, number, roughly
from tune.stopping.decision import Decision

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


LINE_EVERY_S: Final = 60.0


class LineProgress:
    """Plain lines, for a log.

    Args:
        write: Takes a line.
        every_s: Seconds between two lines for the study at least.
        clock_s: The time in seconds.
    """

    _board: Board  # from the start of the study on

    def __init__(
        self,
        write: Callable[[str], None],
        every_s: float = LINE_EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._every_s = every_s
        self._clock_s = clock_s
        self._last_s = 0.0
        self._sampled: frozenset[str] = frozenset()

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Say what is about to run."""
        self._board = board = first_board(plan, resumed=resumed)
        board.began = self._last_s = self._clock_s()
        self._sampled = frozenset(plan.space.parameters)
        rungs = ", ".join(map(str, plan.early_rungs)) or "none"
        constraints = "".join(f", {limit}" for limit in board.limits)
        self._write(
            f"study {board.study}: {board.eta.trials} trials of {board.epochs} epochs, "
            f"{board.eta.concurrent} at a time ({board.share} each), rungs {rungs}, "
            f"objective {board.metric} ({board.mode}){constraints}"
        )
        if resumed:
            left = len(board.ended) < board.eta.trials
            self._write(f"resumed: {_summary(board, self._clock_s(), left=left)}")

    def trial_placed(self, number: int, part: str) -> None:
        """Remember a trial's part of the machine, to be told when it starts."""
        self._board.place(number, part)

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """Say which configuration is tried."""
        self._board.start(number, self._clock_s())
        again = f" again (attempt {attempt})" if attempt > 1 else ""
        sampled = {key: value for key, value in params.items() if key in self._sampled}
        part = self._board.trials[number].part
        on = f" on {part}" if part else ""
        self._write(f"trial {number} started{again}{on}: {_parameters(sampled)}")

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """Say now and then how far the study is."""
        now = self._clock_s()
        self._board.report(number, epoch, values, now)
        if now - self._last_s < self._every_s:
            return
        self._last_s = now
        self._write(f"{_summary(self._board, now)}; {_running(self._board)}")

    def trial_ended(self, number: int, outcome: TrialOutcome) -> None:
        """Say why it ended, and what its best was."""
        self._board.end(number, outcome, self._clock_s())
        self._write(_ended(self._board, self._board.trials[number], outcome))

    def study_ended(self, reason: str) -> None:
        """Say how the study stands."""
        summary = _summary(self._board, self._clock_s(), left=False)
        self._write(f"study {self._board.study} {reason}: {summary}")


def line_writer(stream: TextIO) -> Callable[[str], None]:
    """A function that writes a line to a stream at once."""

    def write(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    return write


def _summary(board: Board, now: float, *, left: bool = True) -> str:
    parts = [f"{len(board.ended)}/{board.eta.trials} trials ended"]
    best = board.best
    if best is not None:
        parts.append(f"best {board.metric} {best_line(best)}")
    parts.append(f"{clock(board.elapsed_s(now))} elapsed")
    if left:
        parts.append(f"left {roughly(board.left(now))}")
    return ", ".join(parts)


def best_line(best: TrialView | None) -> str:
    """The best value so far with its trial and epoch; "-" where there is none."""
    if best is None:
        return "-"
    return f"{number(best.best)} (trial {best.number}, epoch {best.best_epoch}{_broken(best)})"


def _broken(view: TrialView) -> str:
    return f", breaks its constraints by {number(view.violation)}" if view.violation else ""


def _running(board: Board) -> str:
    shown = [f"{t.number} at {t.epoch}/{board.epochs} {number(t.last)}" for t in board.running]
    return "running: " + (", ".join(shown) or "none")


def _ended(board: Board, view: TrialView, outcome: TrialOutcome) -> str:
    best = ""
    if view.best is not None:
        best = f"; best {number(view.best)} at epoch {view.best_epoch}{_broken(view)}"
    took = f"; {clock(outcome.seconds)}" if outcome.seconds else ""
    return f"trial {view.number} ended: {ending(outcome, board.mode)}{best}{took}"


def _parameters(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={written(value, digits=3)}" for key, value in params.items())
