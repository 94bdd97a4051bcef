"""Progress of a long piece of work on the terminal, or in few lines of a log."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trainables.contract import EpochMetrics


def stage_tickers() -> Callable[[str, int, int], None]:
    """Progress of a piece of work in stages, a ticker each."""
    tickers: dict[str, Ticker] = {}

    def tick(stage: str, done: int, total: int) -> None:
        tickers.setdefault(stage, Ticker(stage))(done, total)

    return tick


class Ticker:
    """Progress of counted work: one line that is rewritten on a terminal, few lines in a log.

    Args:
        what: The work.
        slow_start: Whether the first piece waits for much that the others do not, such as models to
            be loaded: what is left is then told from the second on, by the time since the first.
    """

    def __init__(self, what: str, slow_start: bool = False) -> None:
        self._what = what
        self._started = time.monotonic()
        self._shown = self._started
        self._done = 0
        self._waits = slow_start

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done, now and then."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if self._waits:
            self._waits, self._started, self._done = False, now, done
        if now - self._shown < (0.2 if terminal else 10.0) and done < total:
            return
        if now - self._started < 1.0:
            return
        self._shown = now
        left = (now - self._started) / max(done - self._done, 1) * (total - done)
        end = "\n" if done >= total or not terminal else "\r"
        typer.echo(f"{self._what}: {done}/{total}, {left:.0f} s left   {end}", nl=False, err=True)


class EpochTicker:
    """A line an epoch of a training, at most one in ten seconds in a log."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, metrics: "EpochMetrics") -> None:
        """Show an epoch with its F1, now and then."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self._shown < (0.2 if terminal else 10.0):
            return
        self._shown = now
        from trainables.metrics.names import F1_NAMES  # loaded when asked for

        f1 = next((name for name in F1_NAMES if name in metrics.values), None)
        score = "" if f1 is None else f", {f1} {metrics.values[f1]:.3f}"
        end = "\r" if terminal else "\n"
        typer.echo(f"epoch {metrics.epoch}{score}   {end}", nl=False, err=True)
