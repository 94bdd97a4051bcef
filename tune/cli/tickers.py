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

    The first piece may wait for much that the others do not, such as models to be loaded, so what
    is left is told from the second on, by the time since the first.

    Args:
        what: The work.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = time.monotonic()
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done, now and then."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        began, before = self._first = self._first or (now, done)
        if now - self._shown < (0.2 if terminal else 10.0) and done < total:
            return
        if now - began < 1.0:
            return
        self._shown = now
        left = (now - began) / max(done - before, 1) * (total - done)
        end = "\n" if done >= total or not terminal else "\r"
        typer.echo(f"{self._what}: {done}/{total}, {_span(left)} left   {end}", nl=False, err=True)


class StepTicker:
    """What a piece of work is doing, with the time since it began, told as each step begins.

    On a terminal one line is rewritten; in a log a step of the same kind, by the words before its
    comma, is told every ten seconds only.

    Args:
        what: The work.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._shown = 0.0
        self._kind = ""
        self._width = 0

    def __call__(self, doing: str) -> None:
        """Show what is being done from now on."""
        since = time.monotonic() - self._started
        terminal = sys.stderr.isatty()
        kind = doing.partition(",")[0]
        if not terminal and kind == self._kind and since - self._shown < 10.0:
            return
        self._shown, self._kind = since, kind
        text = f"{self._what}: {_span(since)}, {doing}"
        self._width = max(self._width, len(text))
        end = f"{' ' * (self._width - len(text))}\r" if terminal else "\n"
        typer.echo(f"{text}{end}", nl=False, err=True)


class EpochTicker:
    """A line an epoch of a training, at most one in ten seconds in a log."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._first: tuple[int, float] | None = None
        self._before = ""
        self._after = 0

    def begin(self, number: int, total: int) -> None:
        """The next of several trainings, of one length, begins; the time left is that of all."""
        self._first, self._shown = None, 0.0
        self._before, self._after = f"training {number} of {total}, ", total - number

    def __call__(self, metrics: "EpochMetrics", epochs: int) -> None:
        """Show an epoch with its F1 and, from the second on, the time left, now and then."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        first, began = self._first = self._first or (metrics.epoch, now)
        last = metrics.epoch >= epochs
        if now - self._shown < (0.2 if terminal else 10.0) and not last:
            return
        self._shown = now
        from trainables.metrics.names import F1_NAMES  # loaded when asked for

        f1 = next((name for name in F1_NAMES if name in metrics.values), None)
        score = "" if f1 is None else f", {f1} {metrics.values[f1]:.3f}"
        done = metrics.epoch - first
        to_go = epochs - metrics.epoch + self._after * epochs
        left = f", {_span((now - began) / done * to_go)} left" if done else ""
        end = "\r" if terminal and not last else "\n"
        text = f"{self._before}epoch {metrics.epoch} of {epochs}{score}{left}   {end}"
        typer.echo(text, nl=False, err=True)


def _span(seconds: float) -> str:
    """Time left, in the unit that fits.

    >>> _span(20.4), _span(119), _span(150), _span(9000)
    ('20 s', '119 s', '2.5 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
