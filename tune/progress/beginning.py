"""The board a study begins with: empty, or filled with what earlier runs of it did."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tune.directory.layout import elapsed_before_s
from tune.directory.reader import StudyDir
from tune.errors import StoreError
from tune.plan.eta import StudyEta
from tune.plan.past_pace import gpu_share, probed_pace
from tune.progress.board import Board

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan
    from tune.study.study import Study


def first_board(plan: "StudyPlan", *, resumed: bool) -> Board:
    """The board of a study that begins, or goes on, as its driver starts."""
    board = empty_board(plan.study, plan.trials, plan.rungs)
    board.share = _share(plan)
    board.eta.prior = probed_pace(plan)
    board.began = time.monotonic()
    if resumed:
        _restore(board, plan.directory)
    return board


def empty_board(study: "Study", trials: int, rungs: tuple[int, ...]) -> Board:
    """The board of a study of which nothing has run yet."""
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
    try:
        board.restore(StudyDir.open(directory).trials())
    except StoreError:  # nothing to show of earlier runs
        return
    board.before_s = elapsed_before_s(directory)


def _share(plan: "StudyPlan") -> str:
    """A trial's part of the machine, in words."""
    cpus, gpu = plan.shares.cpus, gpu_share(plan, plan.machine.gpus)
    if gpu == 0:
        return f"{cpus} cpu"
    return f"{gpu:g} gpu" if gpu >= 1 else f"1/{round(1 / gpu)} gpu"
