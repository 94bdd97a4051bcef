"""The board as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search_spaces.names import written
from tune.directory.trials import State
from tune.progress.board import Board, Section, TrialView
from tune.progress.lines import best_line
from tune.progress.words import clock, ending, number, roughly

GAP: Final = 2  # columns between two cells, and at the table's edges

MARK: Final = ""  # title of the column that marks the best trial

_STYLES: Final[Mapping[State, str]] = {
    "waiting": "dim",
    "running": "cyan",
    "complete": "green",
    "pruned": "yellow",
    "failed": "red",
}


def board_header(board: Board, now: float, state: str, width: int) -> RenderableType:
    """The lines above the table: how far the study is, its best value, the time left.

    Args:
        board: The study.
        now: The time in seconds.
        state: What the study does.
        width: Columns of the terminal; the bar gives way first, then the part that a trial has,
            which is said here only where all have the same.
    """
    ended, trials, best = len(board.ended), board.eta.trials, board.best
    name = Text.assemble((board.study, "bold"), f" {state}", no_wrap=True, overflow="ellipsis")
    told = f"{ended} of {trials} trials ended, {len(board.running)} running"
    room = width - len(name) - len(told) - 2 * GAP
    alike = not any(view.part for view in board.running)  # else each row says its own
    share = f" ({board.share} each)" if alike and board.running and board.share else ""
    if share and room >= len(share):
        told, room = told + share, room - len(share)
    bar = [ProgressBar(total=trials, completed=ended, width=min(16, room))] if room > 0 else []
    first = Table.grid(padding=(0, GAP))
    first.add_row(name, *bar, Text(told, no_wrap=True))
    second = Text.assemble(
        (f"best {_short(board)} {best_line(best)}", "bold green" if best else "dim"),
        f"  {clock(board.elapsed_s(now))} elapsed",
        f", left {roughly(board.left(now))}" if state == "running" else "",
        "  ! breaks a constraint" if any(v.violation for v in board.trials.values()) else "",
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(first, second)


def trials_table(board: Board, sections: list[Section], now: float, width: int) -> RenderableType:
    """The table of trials, a row each, with the hyperparameters that differ where there is room.

    Args:
        board: The study.
        sections: Trials to show.
        now: The time in seconds.
        width: Columns of the terminal.
    """
    views = [view for section in sections for view in section.trials]
    columns = _columns(board, views)
    taken = sum(least + GAP for least in columns.values())
    keys, hidden = _fitting(board, views, width - taken - 1)  # the left edge
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title, least in columns.items():
        if title == "state":
            table.add_column(title)  # the one to give way where the terminal is narrow
        else:
            table.add_column(title, justify="right", no_wrap=True, min_width=least)
    for key in keys:
        table.add_column(key, justify="right", no_wrap=True)
    for section in sections:
        _add_section(table, board, section, now, keys)
    if hidden:
        table.caption, table.caption_justify = f"no room for {', '.join(hidden)}", "left"
    return table


def _add_section(
    table: Table, board: Board, section: Section, now: float, keys: Sequence[str]
) -> None:
    before = [""] * list(_columns(board, section.trials)).index("state")
    if section.title and section.trials:
        table.add_row(*before, _cut(section.title, "dim italic"))
    best = board.best
    for view in section.trials:
        cells = _cells(board, view, now, leads=view is best)
        shown = [cells[str(column.header)] for column in table.columns if column.header in cells]
        table.add_row(*shown, *(_value(view.params.get(key)) for key in keys))
    if section.hidden:
        table.add_row(*before, _cut(f"... {section.hidden} more", "dim"))
    table.add_section()


def _columns(board: Board, views: Sequence[TrialView]) -> dict[str, int]:
    """Least width of each column that is not a hyperparameter's, by its title."""
    digits = len(str(board.epochs))
    runs = any(view.state == "running" for view in views)
    least = {
        "trial": len(str(max(board.trials, default=0))),
        "epoch": 2 * digits + 1,
        _short(board): 5,
        "best": 5,
        "at": digits,
        "state": max((len(_state(board, view)) for view in views), default=0),
        **({"left": 7} if runs else {}),
        MARK: len("best"),
    }
    return {title: max(len(title), width) for title, width in least.items()}


def _fitting(board: Board, views: Sequence[TrialView], room: int) -> tuple[list[str], list[str]]:
    """The hyperparameters that differ: those that fit into so many columns, and the others."""
    shown: list[str] = []
    for key in (keys := board.varied):
        least = max([len(key), *(len(_value(view.params.get(key))) for view in views)])
        if least + GAP <= room:
            shown.append(key)
            room -= least + GAP
    return shown, [key for key in keys if key not in shown]


def _value(value: object) -> str:
    """A hyperparameter's value as a cell shows it.

    >>> _value(0.00123456), _value(True), _value(None), _value("AdamW"), _value(160)
    ('0.00123', 'true', '', 'AdamW', '160')
    """
    return "" if value is None else written(value, digits=3)


def _cells(board: Board, view: TrialView, now: float, *, leads: bool) -> dict[str, RenderableType]:
    """Cells of a trial's row that are not hyperparameters, by the column's title."""
    running = view.state == "running"
    best = number(view.best) + ("!" if view.violation else "")
    return {
        "trial": Text(str(view.number), style="bold" if leads else ""),
        "epoch": f"{view.epoch}/{board.epochs}",
        _short(board): number(view.last),
        "best": Text(best, style="bold green" if leads else ""),
        "at": "-" if view.best_epoch is None else str(view.best_epoch),
        "state": _cut(_state(board, view), _STYLES[view.state]),
        "left": clock(board.left_of(view, now)) if running else "",
        MARK: Text("best", style="bold green") if leads else "",
    }


def _cut(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _short(board: Board) -> str:
    return board.metric.rpartition("/")[2]


def _state(board: Board, view: TrialView) -> str:
    if view.outcome is not None:
        return ending(view.outcome, board.mode, brief=True)
    return f"{view.state} ({view.part})" if view.part else view.state
