"""A study's board from its folder, for `segtune status`, and the step to take next."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from tune.directory.diary import read_diary
from tune.directory.layout import elapsed_before_s
from tune.directory.running import study_state
from tune.mirror.mirror import mirror_address
from tune.plan.cost import cost_so_far
from tune.progress.beginning import empty_board
from tune.progress.board import Board, Section
from tune.progress.table import board_header, trials_table

if TYPE_CHECKING:
    from tune.directory.reader import StudyDir, TrialRecord
    from tune.study.study import Study


STATUS_WIDTH: Final = 110  # where the terminal does not say

STATUS_ROWS: Final = 100  # more than a screen; a table of thousands takes seconds to lay out


def status_lines(
    study_dir: "StudyDir", *, width: int | None = None, rows: int | None = STATUS_ROWS
) -> list[str]:
    """A study directory's trials as a table, best first, a line an element.

    Args:
        study_dir: Directory of a study that runs or has ended.
        width: Columns; default: the terminal's.
        rows: Number of trials to show at most; None: all.
    """
    trials = study_dir.trials()
    board = _board_of(study_dir, trials)
    terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout, width=width or (None if terminal else STATUS_WIDTH), legacy_windows=False
    )
    now = time.monotonic()
    state = study_state(study_dir, trials)
    with console.capture() as capture:
        console.print(board_header(board, now, state, console.width))
        if cost := cost_so_far(study_dir):
            console.print(Text(f"cost so far {cost.words}, of {cost.units}"), soft_wrap=True)
        for line in read_diary(study_dir.path).lines:
            console.print(Text(line), soft_wrap=True)
        console.print(trials_table(board, [best_first(board, rows)], now, console.width))
        if len(board.trials) > (rows or len(board.trials)):
            console.print("`--all` shows every trial", soft_wrap=True)
        race = study_dir.study.search == "race" and state == "finished"
        if race:
            console.print(Text("the race is over"), soft_wrap=True)
        elif state != "running" and (line := _next_step(study_dir, board)):
            console.print(Text(line), soft_wrap=True)
    return [line.rstrip() for line in capture.get().splitlines()]


def best_first(board: Board, rows: int | None) -> Section:
    """Trials by rank, so many at most; those that run are always among them."""
    ordered = board.in_order
    if rows is None or len(ordered) <= rows:
        return Section("", ordered)
    running = {view.number for view in board.running}
    ended = [view.number for view in ordered if view.number not in running]
    kept = running | set(ended[: max(0, rows - len(running))])
    shown = [view for view in ordered if view.number in kept]
    return Section("", shown, len(ordered) - len(shown))


def next_step(study: "Study", directory: Path, ended: int, trials: int) -> str:
    """The command that goes on with a study nobody runs, and why it stands still; "" for none.

    Args:
        study: The study as it was started.
        directory: Folder of the study.
        ended: Number of trials that have ended.
        trials: Number of trials of the whole study.
    """
    resume, budget = f"segtune resume {shlex.quote(str(directory))}", study.budget
    if ended >= trials:
        if trials < budget.trials:
            return "every configuration of the search space was tried"
        more = f"{resume} --set budget.trials={2 * trials}"
        return f"budget.trials is used up; `{more}`, or another number above {trials}, tries more"
    if budget.hours is not None and elapsed_before_s(directory) >= budget.hours * 3600:
        more = f"{resume} --set budget.hours={2 * budget.hours:g}"
        return (
            f"budget.hours is used up; `{more}`, or another number above {budget.hours:g}, goes on"
        )
    return f"`{resume}` goes on"


def _next_step(study_dir: "StudyDir", board: Board) -> str:
    step = next_step(study_dir.study, study_dir.path, len(board.ended), board.eta.trials)
    address = mirror_address(study_dir.study)
    if not address or len(board.ended) >= board.eta.trials:
        return step
    return (
        f"as it is in this folder: `segtune status {shlex.quote(address)}` shows it as it is at "
        f"its mirror, where another driver may have gone on with it; {step}"
    )


def _board_of(study_dir: "StudyDir", trials: "Sequence[TrialRecord]") -> Board:
    study, resolved = study_dir.study, study_dir.resolved
    board = empty_board(study, int(resolved["trials"]), tuple(resolved["rungs"]))
    board.restore(trials)
    board.before_s = elapsed_before_s(study_dir.path)
    board.began = time.monotonic()
    return board
