"""The plan of a study: a value that says what the study will do, before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.machines.machine import Machine, Shares
from search_spaces.space import SearchSpace
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from tune.plan.forecast import Forecast, Hours, forecast, hours
from tune.plan.pace import Pace
from tune.study.configurations import Configurations
from tune.study.space import possible_values
from tune.study.study import Study


@dataclass(frozen=True)
class StudyPlan:
    """A study with everything it leaves open decided.

    Attributes:
        study: The study as given.
        info: The study's engine.
        data: The study's prepared data set.
        space: Search space that is sampled; keys without effect are left out.
        written_space: Every domain in the study file's syntax, those of the preset included.
        fixed: Every key that has one value in all trials, also one without effect.
        no_effect: Reason by key for the keys given that the framework ignores.
        points: Warm-start points, in the order they are tried; partial ones are completed.
        best: A line for each thing the warm start took from the best-config store.
        machine: Processors of this machine.
        begun_rungs: Epochs of the rungs that a study has that goes on; None for a new one.
        notes: Sentences on what should be known before the study starts, though nothing about it
            is wrong (`tune.plan.remarks`); None where nobody has looked.
    """

    study: Study
    info: EngineInfo
    data: PreparedDataset
    space: SearchSpace
    written_space: Mapping[str, Any]
    fixed: Mapping[str, Any]
    no_effect: Mapping[str, str]
    points: tuple[Mapping[str, Any], ...]
    best: tuple[str, ...]
    machine: Machine
    begun_rungs: tuple[int, ...] | None = None
    notes: tuple[str, ...] | None = None

    @property
    def directory(self) -> Path:
        """The study directory, absolute: <storage>/<study>."""
        return self.study.storage / self.study.study

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials are compared, rising; of a study that goes on as they were."""
        if self.begun_rungs is not None:
            return self.begun_rungs
        return self.study.scheduler.rungs(self.study.budget.epochs, self.beginning)

    @property
    def early_rungs(self) -> tuple[int, ...]:
        """Rungs at which a trial can be stopped: those before its last epoch."""
        return tuple(rung for rung in self.rungs if rung < self.study.budget.epochs)

    @cached_property
    def beginning(self) -> float:
        """Epochs of warm-up, or of a first phase, after which trials can be compared."""
        epochs, n_train = self.study.budget.epochs, self.data.counts()["train"]
        return self.info.params.beginning(self.possible, epochs, n_train)

    @property
    def possible(self) -> Mapping[str, Any]:
        """Every key that is fixed or sampled; a sampled one has a tuple of its possible values."""
        return {**self.fixed, **possible_values(self.space)}

    @property
    def shares(self) -> Shares:
        """The part of a machine that each trial gets."""
        resources = self.study.resources
        cpus, gpus = resources.cpus_per_trial, resources.gpus_per_trial
        own = max(1, self.machine.cpus // resources.concurrent)
        return Shares(own if cpus == "auto" else cpus, None if gpus == "auto" else gpus)

    @cached_property
    def configurations(self) -> Configurations:
        """The configurations that the study could try."""
        batch = {self.info.batch: self.data.counts()["train"]} if self.info.batch else {}
        return Configurations(self.space, self.info.params, self.fixed, batch)

    @cached_property
    def trials(self) -> int:
        """Number of trials to run, each of another configuration; of a race, the most."""
        if self.study.search == "race":
            return self.study.budget.trials
        grid = self.study.search == "grid"
        return self.configurations.most(self.study.budget.trials, grid=grid)

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


def estimate_hours(plan: StudyPlan, pace: Pace | None) -> Hours | None:
    """Wall-clock time of a study, or None where the time of an epoch is not known.

    Args:
        plan: The study.
        pace: Speed of its trials, from past runs or a probe; None where there is neither.
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
