"""One attempt of a trial, as its process gets it, made of what all trials of a study share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.machines.sharing import Placement, gpu_names
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


def device_on(gpus: Sequence[int], share: float, cpus: int) -> Device:
    """The device of a trial with these GPUs.

    >>> device_on((0, 3), 2.0, 8)
    Device(name='cuda:0', memory_fraction=1.0, cpus=8, gpus=2)
    >>> device_on((), 0.0, 1).name
    'cpu'
    """
    if not gpus:
        return Device(cpus=cpus)
    return Device("cuda:0", min(1.0, share), cpus, len(gpus))


@dataclass(frozen=True)
class TrialTask:
    """All a worker needs to run one attempt at a trial; plain data, sent to the child.

    Attributes:
        engine: Name in the registry.
        study: Name of the study.
        number: Number of the trial.
        params: Fixed and sampled hyperparameters.
        sampled: Names of the sampled ones.
        data: Prepared data set.
        epochs: Length of a full training.
        seed: Seed of the training.
        device: CPUs and GPUs it may use.
        directory: The attempt's own folder, absolute.
        resume_from: Checkpoint of an earlier attempt, or None.
        reported: Last epoch that journal and metrics table both have.
        goal: Says which epoch is the best, whose model is kept.
        train_metrics: Frequency and extent of measuring the training split.
        gpus: The GPUs the child may see, as CUDA_VISIBLE_DEVICES names them; empty for none.
        over: Whether the trial has ended, and only its artifacts are wanted.
    """

    engine: str
    study: str
    number: int
    params: Mapping[str, Any]
    sampled: frozenset[str]
    data: PreparedDataset
    epochs: int
    seed: int
    device: Device
    directory: Path
    resume_from: Path | None
    reported: int
    goal: Goal
    train_metrics: TrainMetrics
    gpus: str = ""
    over: bool = False


@dataclass(frozen=True)
class StudyTasks:
    """The values that all trials of a study have in common, and the maker of their tasks.

    Attributes:
        engine: Name in the registry.
        study: Name of the study.
        fixed: Hyperparameters that have one value in all trials.
        data: Prepared data set.
        epochs: Length of a full training.
        cpus: CPUs of each trial.
        goal: Says which epoch of a trial is the best.
        train_metrics: Frequency and extent of measuring the training split.
    """

    engine: str
    study: str
    fixed: Mapping[str, Any]
    data: PreparedDataset
    epochs: int
    cpus: int
    goal: Goal
    train_metrics: TrainMetrics

    def first(
        self,
        number: int,
        sampled: Mapping[str, Any],
        seed: int,
        directory: Path,
        placement: Placement,
    ) -> TrialTask:
        """The task of a first attempt at a trial.

        Args:
            number: Number of the trial.
            sampled: Sampled hyperparameters of the trial.
            seed: Seed of the training.
            directory: The attempt's own folder, absolute.
            placement: Gives it its GPUs.
        """
        gpus = placement.place(number)
        return TrialTask(
            engine=self.engine,
            study=self.study,
            number=number,
            params={**self.fixed, **sampled},
            sampled=frozenset(sampled),
            data=self.data,
            epochs=self.epochs,
            seed=seed,
            device=device_on(gpus, placement.share, self.cpus),
            directory=directory,
            resume_from=None,
            reported=0,
            goal=self.goal,
            train_metrics=self.train_metrics,
            gpus=gpu_names(gpus),
        )


def tasks_of(plan: "StudyPlan") -> StudyTasks:
    """The maker of a planned study's tasks."""
    study = plan.study
    images = study.train_metrics.images
    return StudyTasks(
        engine=study.trainable,
        study=study.study,
        fixed=plan.fixed,
        data=plan.data,
        epochs=study.budget.epochs,
        cpus=plan.shares.cpus,
        goal=study.objective.goal,
        train_metrics=TrainMetrics(study.train_metrics.every, None if images == "auto" else images),
    )
