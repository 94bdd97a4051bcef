"""What the terminal shows of a study.

A terminal gets a live table; anything else gets plain lines: one when a trial starts, one when it
ends, one now and then for the study. `status_lines` shows a study directory as the table does.
"""

import logging
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune.board import Board, Section, TrialView, clock, ending, number, roughly
from tune.errors import StoreError
from tune.eta import StudyEta
from tune.events import Observer, Outcome, State
from tune.folders import elapsed_before_s
from tune.pace import probed_pace
from tune.sharing import auto_share
from tune.stopping import Decision

if TYPE_CHECKING:
    from tune.plan import StudyPlan
    from tune.store import StudyDir
    from tune.study import Study

REFRESHES_PER_S: Final = 4
LINE_EVERY_S: Final = 60.0
FRAME_ROWS: Final = 8  # of a live table besides its trials, and the line below it
STATUS_WIDTH: Final = 110  # where the terminal does not say

_STYLES: Final[Mapping[State, str]] = {
    "waiting": "dim",
    "running": "cyan",
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
}


def make_progress(stream: TextIO | None = None) -> Observer:
    """A live table where `stream` (default: standard output) is a terminal, else plain lines."""
    stream = stream or sys.stdout
    console = Console(file=stream)
    if stream.isatty() and not console.is_dumb_terminal:
        return TerminalProgress(console)
    return LineProgress(_line_writer(stream))


def status_lines(study_dir: "StudyDir", *, width: int | None = None) -> list[str]:
    """A study directory's trials as a table, a line an element.

    Args:
        study_dir: Of a study that runs or has ended.
        width: Columns; default: the terminal's.
    """
    driven = is_driven(study_dir.path)
    board = _board_of(study_dir, driven=driven)
    terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout, width=width or (None if terminal else STATUS_WIDTH), legacy_windows=False
    )
    now = time.monotonic()
    finished = len(board.ended) >= board.eta.trials
    state = "running" if driven else "finished" if finished else "not running"
    with console.capture() as capture:
        console.print(_header(board, now, state))
        console.print(_table(board, board.sections(len(board.trials)), now))
        if state != "running" and (line := _next_step(study_dir, board)):
            console.print(Text(line), soft_wrap=True)
    return [line.rstrip() for line in capture.get().splitlines()]


def next_step(study: "Study", directory: Path, ended: int, trials: int) -> str:
    """The command that goes on with a study nobody runs, and why it stands still; "" for none.

    Args:
        study: As it was started.
        directory: Its folder.
        ended: Trials that have ended.
        trials: Of the whole study.
    """
    resume, budget = f"segtune resume {shlex.quote(str(directory))}", study.budget
    if ended >= trials:
        if trials < budget.trials:  # a grid, and there is no more of it
            return ""
        more = f"{resume} --set budget.trials={2 * trials}"
        return f"budget.trials is used up; `{more}`, or another number above {trials}, tries more"
    if budget.hours is not None and elapsed_before_s(directory) >= budget.hours * 3600:
        more = f"{resume} --set budget.hours={2 * budget.hours:g}"
        return (
            f"budget.hours is used up; `{more}`, or another number above {budget.hours:g}, goes on"
        )
    return f"`{resume}` goes on"


def _next_step(study_dir: "StudyDir", board: Board) -> str:
    return next_step(study_dir.study, study_dir.path, len(board.ended), board.eta.trials)


def is_driven(study_dir: Path) -> bool:
    """Whether a driver of this machine runs the study: it holds a lock for as long as it lives."""
    try:
        inode = str((study_dir / ".driver").stat().st_ino)
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    fields = (line.split() for line in locks)
    return any("FLOCK" in f and inode in (place.rpartition(":")[2] for place in f) for f in fields)


# --- observers


class _Watching:
    """The board of the study that an observer is told of, safe to read while it changes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.board: Board | None = None

    def begin(self, plan: "StudyPlan", *, resumed: bool) -> Board:
        """Start the account of a study, with what earlier runs of it did."""
        board = _empty_board(plan.study, plan.trials, plan.rungs)
        board.share = _share(plan)
        board.eta.prior = probed_pace(plan)
        board.began = time.monotonic()
        if resumed:
            _restore(board, plan.directory)
        self.board = board
        return board

    @contextmanager
    def open(self) -> Iterator[Board]:
        """The board, to be read or changed."""
        with self.lock:
            assert self.board is not None
            yield self.board


class LineProgress:
    """Plain lines, for a log.

    Args:
        write: Takes a line.
        every_s: Seconds between two lines for the study at least.
        clock_s: The time in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        every_s: float = LINE_EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._every_s = every_s
        self._clock_s = clock_s
        self._watching = _Watching()
        self._last_s = 0.0
        self._sampled: frozenset[str] = frozenset()

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Say what is about to run."""
        board = self._watching.begin(plan, resumed=resumed)
        board.began = self._last_s = self._clock_s()
        self._sampled = frozenset(plan.space.parameters)
        rungs = ", ".join(map(str, plan.rungs)) or "none"
        constraints = "".join(f", {limit}" for limit in board.limits)
        self._write(
            f"study {board.study}: {board.eta.trials} trials of {board.epochs} epochs, "
            f"{board.eta.concurrent} at a time ({board.share} each), rungs {rungs}, "
            f"objective {board.metric} ({board.mode}){constraints}"
        )
        if resumed:
            self._write(f"resumed: {_summary(board, self._clock_s())}")

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """Say which configuration is tried."""
        with self._watching.open() as board:
            board.start(number, self._clock_s())
        again = f" again (attempt {attempt})" if attempt > 1 else ""
        sampled = {key: value for key, value in params.items() if key in self._sampled}
        self._write(f"trial {number} started{again}: {_parameters(sampled)}")

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """Say now and then how far the study is."""
        now = self._clock_s()
        with self._watching.open() as board:
            board.report(number, epoch, values, now)
            if now - self._last_s < self._every_s:
                return
            self._last_s = now
            line = f"{_summary(board, now)}; {_running(board)}"
        self._write(line)

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        """Say why it ended, and what its best was."""
        with self._watching.open() as board:
            board.end(number, outcome, self._clock_s())
            line = _ended(board, board.trials[number], outcome)
        self._write(line)

    def study_ended(self, reason: str) -> None:
        """Say how the study stands."""
        with self._watching.open() as board:
            line = f"study {board.study} {reason}: {_summary(board, self._clock_s(), left=False)}"
        self._write(line)


class TerminalProgress:
    """A live table that fits the terminal.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._watching = _Watching()
        self._live: Live | None = None
        self._state = "running"
        self._diverted: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Show the table."""
        self._watching.begin(plan, resumed=resumed)
        self._live = Live(
            console=self._console,
            get_renderable=self.renderable,
            refresh_per_second=REFRESHES_PER_S,
            vertical_overflow="crop",
        )
        self._live.start()
        self._divert_logs()

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """Show a trial."""
        with self._watching.open() as board:
            board.start(number, time.monotonic())

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """Show an epoch."""
        with self._watching.open() as board:
            board.report(number, epoch, values, time.monotonic())

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        """Show how a trial ended."""
        with self._watching.open() as board:
            board.end(number, outcome, time.monotonic())

    def study_ended(self, reason: str) -> None:
        """Leave the last table on the screen."""
        with self._watching.open() as board:
            self._state = reason
            board.interrupt()
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
        with self._watching.open() as board:
            rows = max(1, self._console.size.height - FRAME_ROWS)
            return Group(_header(board, now, self._state), _table(board, board.sections(rows), now))


def _line_writer(stream: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    return write


# --- boards


def _empty_board(study: "Study", trials: int, rungs: tuple[int, ...]) -> Board:
    eta = StudyEta(
        trials=trials,
        epochs=study.budget.epochs,
        concurrent=min(trials, study.resources.concurrent),
        rungs=rungs,
        reduction_factor=getattr(study.scheduler, "reduction_factor", 2),
    )
    return Board(
        study=study.study,
        metric=study.objective.metric,
        mode=study.objective.mode,
        limits=study.objective.limits,
        epochs=study.budget.epochs,
        eta=eta,
        hours=study.budget.hours,
    )


def _restore(board: Board, directory: Path) -> None:
    from tune.store import StudyDir

    try:
        board.restore(StudyDir.open(directory).trials())
    except StoreError:  # nothing to show of earlier runs
        return
    board.before_s = elapsed_before_s(directory)


def _board_of(study_dir: "StudyDir", *, driven: bool) -> Board:
    study, resolved = study_dir.study, study_dir.resolved
    board = _empty_board(study, int(resolved["trials"]), tuple(resolved["rungs"]))
    board.restore(study_dir.trials())
    board.before_s = elapsed_before_s(study_dir.path)
    board.began = time.monotonic()
    for view in board.trials.values():
        if view.outcome is None and driven:
            view.state = "running"
    return board


def _share(plan: "StudyPlan") -> str:
    cpus, gpu = plan.shares.cpus, plan.shares.gpu_fraction
    if gpu is None:
        gpu = auto_share(plan.machine.gpus, plan.study.resources.concurrent)
    if gpu == 0:
        return f"{cpus} cpu"
    return f"{gpu:g} gpu" if gpu >= 1 else f"1/{round(1 / gpu)} gpu"


# --- lines


def _summary(board: Board, now: float, *, left: bool = True) -> str:
    parts = [f"{len(board.ended)}/{board.eta.trials} trials ended"]
    if board.best is not None:
        parts.append(f"best {board.metric} {_best_of(board)}")
    parts.append(f"{clock(board.elapsed_s(now))} elapsed")
    if left:
        parts.append(f"left {roughly(board.left(now))}")
    return ", ".join(parts)


def _best_of(board: Board) -> str:
    best = board.best
    if best is None:
        return "-"
    return f"{number(best.best)} (trial {best.number}, epoch {best.best_epoch}{_broken(best)})"


def _broken(view: TrialView) -> str:
    return f", breaks its constraints by {number(view.violation)}" if view.violation else ""


def _running(board: Board) -> str:
    shown = [f"{t.number} at {t.epoch}/{board.epochs} {number(t.last)}" for t in board.running]
    return "running: " + (", ".join(shown) or "none")


def _ended(board: Board, view: TrialView, outcome: Outcome) -> str:
    best = ""
    if view.best is not None:
        best = f"; best {number(view.best)} at epoch {view.best_epoch}{_broken(view)}"
    took = f"; {clock(outcome.seconds)}" if outcome.seconds else ""
    return f"trial {view.number} ended: {ending(outcome, board.mode)}{best}{took}"


def _parameters(params: Mapping[str, Any]) -> str:
    shown = (
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in params.items()
    )
    return ", ".join(shown)


# --- the table


def _header(board: Board, now: float, state: str) -> RenderableType:
    ended, trials = len(board.ended), board.eta.trials
    first = Table.grid(padding=(0, 2))
    first.add_row(
        Text.assemble((board.study, "bold"), f" {state}"),
        ProgressBar(total=trials, completed=ended, width=16),
        Text(f"{ended} of {trials} trials ended, {len(board.running)} running"),
    )
    second = Text.assemble(
        (f"best {_short(board)} {_best_of(board)}", "bold green" if board.best else "dim"),
        f"  {clock(board.elapsed_s(now))} elapsed",
        f", left {roughly(board.left(now))}" if state == "running" else "",
        "  ! breaks a constraint" if any(v.violation for v in board.trials.values()) else "",
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(first, second)


def _table(board: Board, sections: list[Section], now: float) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    numbers = {
        "trial": 5,
        "epoch": 2 * len(str(board.epochs)) + 1,
        _short(board): 5,
        "best": 5,
        "at": len(str(board.epochs)),
    }
    for title, width in numbers.items():
        table.add_column(title, justify="right", no_wrap=True, min_width=width)
    table.add_column("state")  # the one to give way where the terminal is narrow
    if board.share:
        table.add_column("share", no_wrap=True, min_width=len(board.share))
    table.add_column("left", justify="right", no_wrap=True, min_width=7)
    for section in sections:
        if section.title and section.trials:
            table.add_row("", "", "", "", "", _cut(section.title, "dim italic"))
        for view in section.trials:
            table.add_row(*_row(board, view, now))
        if section.hidden:
            table.add_row("", "", "", "", "", _cut(f"... {section.hidden} more", "dim"))
        table.add_section()
    return table


def _row(board: Board, view: TrialView, now: float) -> list[RenderableType]:
    best = view is board.best
    share = [board.share if view.state == "running" else ""] if board.share else []
    return [
        Text(str(view.number), style="bold" if best else ""),
        f"{view.epoch}/{board.epochs}",
        number(view.last),
        Text(
            number(view.best) + ("!" if view.violation else ""), style="bold green" if best else ""
        ),
        "-" if view.best_epoch is None else str(view.best_epoch),
        _cut(_state(board, view), _STYLES[view.state]),
        *share,
        clock(board.left_of(view, now)) if view.state == "running" else "",
    ]


def _cut(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _short(board: Board) -> str:
    return board.metric.rpartition("/")[2]


def _state(board: Board, view: TrialView) -> str:
    return view.state if view.outcome is None else ending(view.outcome, board.mode, brief=True)


if TYPE_CHECKING:  # the type checker proves that both are observers
    _lines: Observer = LineProgress(_line_writer(sys.stdout))
    _live: Observer = TerminalProgress(Console())
