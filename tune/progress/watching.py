"""A board that follows a driver, filled from what the journal knew before."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.machines.sharing import auto_share
from tune.directory.layout import elapsed_before_s
from tune.errors import StoreError
from tune.plan.eta import StudyEta
from tune.plan.past_pace import probed_pace
from tune.progress.board import Board

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan
    from tune.study.study import Study


class Watching:
    """The board of the study that an observer is told of, safe to read while it changes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.board: Board | None = None

    def begin(self, plan: "StudyPlan", *, resumed: bool) -> Board:
        """Start the account of a study, with what earlier runs of it did."""
        board = empty_board(plan.study, plan.trials, plan.rungs)
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
    from tune.directory.reader import StudyDir

    try:
        board.restore(StudyDir.open(directory).trials())
    except StoreError:  # nothing to show of earlier runs
        return
    board.before_s = elapsed_before_s(directory)


def _share(plan: "StudyPlan") -> str:
    cpus, gpu = plan.shares.cpus, plan.shares.gpu_fraction
    if gpu is None:
        gpu = auto_share(plan.machine.gpus, plan.study.resources.concurrent)
    if gpu == 0:
        return f"{cpus} cpu"
    return f"{gpu:g} gpu" if gpu >= 1 else f"1/{round(1 / gpu)} gpu"
