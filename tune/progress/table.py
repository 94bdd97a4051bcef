"""The board as a table for the terminal."""

from collections.abc import Mapping
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune.directory.trials import State
from tune.progress.board import Board, Section, TrialView
from tune.progress.lines import best_line
from tune.progress.words import clock, ending, number, roughly

_STYLES: Final[Mapping[State, str]] = {
    "waiting": "dim",
    "running": "cyan",
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
}


def board_header(board: Board, now: float, state: str) -> RenderableType:
    """The lines above the table: how far the study is, its best value, the time left."""
    ended, trials, best = len(board.ended), board.eta.trials, board.best
    first = Table.grid(padding=(0, 2))
    first.add_row(
        Text.assemble((board.study, "bold"), f" {state}"),
        ProgressBar(total=trials, completed=ended, width=16),
        Text(f"{ended} of {trials} trials ended, {len(board.running)} running"),
    )
    second = Text.assemble(
        (f"best {_short(board)} {best_line(best)}", "bold green" if best else "dim"),
        f"  {clock(board.elapsed_s(now))} elapsed",
        f", left {roughly(board.left(now))}" if state == "running" else "",
        "  ! breaks a constraint" if any(v.violation for v in board.trials.values()) else "",
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(first, second)


def trials_table(board: Board, sections: list[Section], now: float) -> RenderableType:
    """The table of trials, a row each."""
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
    best = board.best
    for section in sections:
        if section.title and section.trials:
            table.add_row("", "", "", "", "", _cut(section.title, "dim italic"))
        for view in section.trials:
            table.add_row(*_row(board, view, now, leads=view is best))
        if section.hidden:
            table.add_row("", "", "", "", "", _cut(f"... {section.hidden} more", "dim"))
        table.add_section()
    return table


def _row(board: Board, view: TrialView, now: float, *, leads: bool) -> list[RenderableType]:
    share = [board.share if view.state == "running" else ""] if board.share else []
    return [
        Text(str(view.number), style="bold" if leads else ""),
        f"{view.epoch}/{board.epochs}",
        number(view.last),
        Text(
            number(view.best) + ("!" if view.violation else ""), style="bold green" if leads else ""
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
