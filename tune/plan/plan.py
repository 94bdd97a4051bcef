"""What a study will do, as a value: made without starting or changing anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.machines.machine import Machine, Shares, this_machine
from search_spaces.space import SearchSpace
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from tune.plan.forecast import Forecast, Hours, forecast, hours
from tune.plan.pace import Pace
from tune.plan.provenance import git_commit, package_versions
from tune.plan.readiness import check_study
from tune.study.problems import study_error
from tune.study.study import Resources, Study


@dataclass(frozen=True)
class StudyPlan:
    """A study with everything it leaves open decided.

    Attributes:
        study: As given.
        space: What is sampled; keys without effect are left out.
        written_space: Every domain in the study file's syntax, the preset's ones included.
        points: Warm-start points, in the order they are tried; partial ones are completed.
        fixed: Every key that has one value in all trials, also one without effect.
        no_effect: Keys given that the framework ignores, with the reason.
        rungs: Epochs at which trials are compared.
        data: The prepared data set.
        info: The engine.
        directory: Absolute <storage>/<study>.
        shares: What each trial gets of a machine.
        machine: What this one has.
        versions: Installed versions by distribution.
        git_commit: Of the code, "-dirty" appended where it was changed; "" outside a repository.
        best: What the warm start took from the best-config store, a line each.
    """

    study: Study
    space: SearchSpace
    written_space: Mapping[str, Any]
    points: tuple[Mapping[str, Any], ...]
    fixed: Mapping[str, Any]
    no_effect: Mapping[str, str]
    rungs: tuple[int, ...]
    data: PreparedDataset
    info: EngineInfo
    directory: Path
    shares: Shares
    machine: Machine
    versions: Mapping[str, str]
    git_commit: str
    best: tuple[str, ...] = ()

    @cached_property
    def trials(self) -> int:
        """How many trials there are to run: of a grid, no more than it has points."""
        trials = self.study.budget.trials
        return min(trials, len(self.space.grid())) if self.study.search == "grid" else trials

    @cached_property
    def forecast(self) -> Forecast:
        """Epochs if every trial ran to its end, and as the scheduler will have it."""
        return forecast(
            self.rungs,
            getattr(self.study.scheduler, "reduction_factor", 2),
            trials=self.trials,
            epochs=self.study.budget.epochs,
            concurrent=self.study.resources.concurrent,
            seed=self.study.seed,
        )


def plan_study(study: Study, *, machine: Machine | None = None) -> StudyPlan:
    """Decide everything a study leaves open; reads, but changes nothing.

    Args:
        study: Usually of `load_study`.
        machine: What there is to train on; default: this machine.

    Raises:
        StudyError: The study cannot be run, with a line for everything that is wrong.
    """
    parts = {name: getattr(study, name) for name in Study.model_fields}
    checked = check_study(parts, machine=machine)
    if checked.problems:
        raise study_error(f"study {study.study}", checked.problems)
    assert checked.info is not None
    assert checked.space is not None
    assert checked.data is not None
    there = machine or this_machine()
    return StudyPlan(
        study=study,
        space=checked.space.space,
        written_space=checked.space.written,
        points=checked.points,
        fixed=checked.space.fixed,
        no_effect=checked.space.no_effect,
        rungs=study.scheduler.rungs(study.budget.epochs),
        data=checked.data,
        info=checked.info,
        directory=study.storage / study.study,
        shares=_shares(study.resources, there),
        machine=there,
        versions=package_versions(checked.info.frameworks),
        git_commit=git_commit(),
        best=checked.best,
    )


def estimate_hours(plan: StudyPlan, pace: Pace | None) -> Hours | None:
    """Wall-clock time of a study, or None where the time of an epoch is not known.

    Args:
        plan: The study.
        pace: Of its trials, from past runs or a probe.
    """
    if pace is None:
        return None
    return hours(
        plan.forecast,
        pace,
        trials=plan.trials,
        concurrent=min(plan.study.resources.concurrent, plan.trials),
        budget=plan.study.budget.hours,
    )


def _shares(resources: Resources, machine: Machine) -> Shares:
    cpus, gpus = resources.cpus_per_trial, resources.gpus_per_trial
    own = max(1, machine.cpus // resources.concurrent)
    return Shares(own if cpus == "auto" else cpus, None if gpus == "auto" else gpus)
