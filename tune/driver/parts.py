"""The parts of a driver, each made with what it needs of a study's plan."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from tune.directory.journal import Journal
from tune.directory.layout import RESOLVED
from tune.driver.bridge import Work
from tune.driver.controller import Controller, Rules
from tune.driver.search import Search
from tune.trial.task import tasks_of

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


def controller_of(
    plan: "StudyPlan", journal: Journal, elapsed_s: Callable[[], float] = lambda: 0.0
) -> Controller:
    """The controller of a study, built on its journal.

    Args:
        plan: The study.
        journal: Open for writing.
        elapsed_s: Wall time the study has taken so far.
    """
    study = plan.study
    rules = Rules(
        goal=study.objective.goal,
        epochs=study.budget.epochs,
        hours=study.budget.hours,
        rungs=plan.rungs,
        reduction_factor=getattr(study.scheduler, "reduction_factor", 2),
        plateau=study.plateau,
        train_every=study.train_metrics.every,
    )
    search = Search(
        plan.configurations,
        study.search,
        plan.points,
        study.seed,
        study.budget.trials,
        study.objective.mode,
    )
    return Controller(rules, search, journal, elapsed_s)


def work_of(plan: "StudyPlan") -> Work:
    """The work that a study's bridge hands out; its directory must have been begun."""
    return Work(
        tasks=tasks_of(plan),
        tracking=plan.study.tracking,
        created=json.loads((plan.directory / RESOLVED).read_text("utf-8"))["created"],
        concurrent=plan.study.resources.concurrent,
        rungs=plan.early_rungs,
        reshare=plan.study.resources.shares == "rungs",
        useful_gpus=plan.info.useful_gpus,
    )
