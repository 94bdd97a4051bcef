"""One attempt of a trial, as its process gets it, made of what all trials of a study share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.machines.sharing import gpus_a_unit
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from tune.datasets.opening import in_bucket

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


@dataclass(frozen=True)
class Part:
    """A trial's part of a machine.

    Attributes:
        cpus: CPU cores.
        share: Fraction of a GPU, or number of whole ones; 0 for none.
        gpus: The GPUs, as CUDA_VISIBLE_DEVICES names them; None for those that Ray gives its actor.
        memory: Fraction of the machine's memory that a trial without a GPU may take.
        micro_batch: Most samples that go through the network at once; 0 for whole batches.
    """

    cpus: int
    share: float = 0.0
    gpus: str | None = ""
    memory: float = 1.0
    micro_batch: int = 0

    @property
    def device(self) -> Device:
        """The part as an engine sees it.

        >>> Part(8, share=2.0, gpus="0,3").device
        Device(name='cuda:0', memory_fraction=1.0, cpus=8, gpus=2, micro_batch=0)
        >>> Part(1).device.name
        'cpu'
        """
        if self.share == 0:
            return Device("cpu", self.memory, self.cpus, micro_batch=self.micro_batch)
        gpus = gpus_a_unit(self.share)
        return Device("cuda:0", min(1.0, self.share), self.cpus, gpus, self.micro_batch)


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
        address: Address of it, where it is in a bucket; "" elsewhere.
        epochs: Length of a full training.
        seed: Seed of the training.
        device: CPUs and GPUs it may use.
        directory: The attempt's own folder, absolute.
        resume_from: Checkpoint of an earlier attempt, or None.
        reported: Last epoch that journal and metrics table both have.
        goal: Says which epoch is the best, whose model is kept.
        train_metrics: Frequency and extent of measuring the training part.
        gpus: The GPUs the child may see, as CUDA_VISIBLE_DEVICES names them; empty for none, None
            for those that Ray gives its actor.
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
    gpus: str | None = ""
    over: bool = False
    address: str = ""


@dataclass(frozen=True)
class StudyTasks:
    """The values that all trials of a study have in common, and the maker of their tasks.

    Attributes:
        engine: Name in the registry.
        study: Name of the study.
        fixed: Hyperparameters that have one value in all trials.
        data: Prepared data set.
        address: As for a task.
        epochs: Length of a full training.
        goal: Says which epoch of a trial is the best.
        train_metrics: Frequency and extent of measuring the training part.
    """

    engine: str
    study: str
    fixed: Mapping[str, Any]
    data: PreparedDataset
    epochs: int
    goal: Goal
    train_metrics: TrainMetrics
    address: str = ""

    def first(
        self,
        number: int,
        sampled: Mapping[str, Any],
        seed: int,
        directory: Path,
        part: Part,
    ) -> TrialTask:
        """The task of a first attempt at a trial.

        Args:
            number: Number of the trial.
            sampled: Sampled hyperparameters of the trial.
            seed: Seed of the training.
            directory: The attempt's own folder, absolute.
            part: Its part of the machine.
        """
        return TrialTask(
            engine=self.engine,
            study=self.study,
            number=number,
            params={**self.fixed, **sampled},
            sampled=frozenset(sampled),
            data=self.data,
            epochs=self.epochs,
            seed=seed,
            device=part.device,
            directory=directory,
            resume_from=None,
            reported=0,
            goal=self.goal,
            train_metrics=self.train_metrics,
            gpus=part.gpus,
            address=self.address,
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
        goal=study.objective.goal,
        train_metrics=TrainMetrics(study.train_metrics.every, None if images == "auto" else images),
        address=str(study.data) if in_bucket(study.data) else "",
    )
