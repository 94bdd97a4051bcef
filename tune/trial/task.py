"""One attempt of a trial, as its process gets it."""

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
    """What a trial with these GPUs may use.

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
        study: The study's name.
        number: The trial's number.
        params: Fixed and sampled hyperparameters.
        sampled: Which of them were sampled.
        data: The prepared data set.
        epochs: Length of a full training.
        seed: Seed of the training.
        device: What it may use.
        directory: The attempt's own folder, absolute.
        resume_from: Checkpoint of an earlier attempt, or None.
        reported: Last epoch that journal and metrics table both have.
        over: Whether the trial has ended, and only its artifacts are wanted.
        goal: What makes one epoch better than another; the best one's model is kept.
        train_metrics: How the training split is measured.
        gpus: The GPUs the child may see, as CUDA_VISIBLE_DEVICES names them; empty for none.
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


def make_task(
    plan: "StudyPlan",
    number: int,
    sampled: Mapping[str, Any],
    seed: int,
    directory: Path,
    placement: Placement,
) -> TrialTask:
    """A first attempt at a trial of a study.

    Args:
        plan: The study.
        number: The trial's number.
        sampled: Its sampled hyperparameters.
        seed: Of its training.
        directory: The attempt's own folder, absolute.
        placement: Gives it its GPUs.
    """
    study = plan.study
    gpus = placement.place(number)
    images = study.train_metrics.images
    return TrialTask(
        engine=study.trainable,
        study=study.study,
        number=number,
        params={**plan.fixed, **sampled},
        sampled=frozenset(sampled),
        data=plan.data,
        epochs=study.budget.epochs,
        seed=seed,
        device=device_on(gpus, placement.share, plan.shares.cpus),
        directory=directory,
        resume_from=None,
        reported=0,
        goal=study.objective.goal,
        train_metrics=TrainMetrics(study.train_metrics.every, None if images == "auto" else images),
        gpus=gpu_names(gpus),
    )
