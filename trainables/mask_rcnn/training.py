"""One trial from its first epoch, or from its checkpoint, to its artifacts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from trainables.contract import EpochMetrics, InfeasibleParams, Trial, TrialStopped
from trainables.loop.checkpoint import read_history
from trainables.loop.device import (
    forget_peak_memory,
    loader_processes,
    peak_memory_gb,
    use_device,
)
from trainables.loop.epochs import finite, measured_train_images, train_metrics_due
from trainables.mask_rcnn.artifacts import keep_artifacts
from trainables.mask_rcnn.checkpoint import SavedModel, restore, save_checkpoint
from trainables.mask_rcnn.data import MeasuredSplit
from trainables.mask_rcnn.effective import check_effective
from trainables.mask_rcnn.params import MaskRcnnParams
from trainables.mask_rcnn.predictor import fusion_of
from trainables.mask_rcnn.trainer import MaskRcnnRun, diverged_in, within_memory
from trainables.mask_rcnn.validation import Measured, measure
from trainables.metrics import Evaluation, overfit_gap, train_subset

_SUBSET = "train_subset"


def train_trial(trial: Trial, params: MaskRcnnParams) -> None:
    """Train, reporting each epoch, and keep the artifacts, also of a stopped trial.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    problems = MaskRcnnParams.problems(dict(trial.params), frozenset())
    if problems:
        raise InfeasibleParams("; ".join(f"{key}: {message}" for key, message in problems))
    use_device(trial.device, loader_processes(params.workers, trial.device))
    with within_memory(params, torch.device(trial.device.name)):
        run = MaskRcnnRun(trial, params)
    session = _Session(trial, params, run)
    check_effective(run, session.fusion, params, _ignored(trial, params))
    _note_what_to_know(trial, params, run)
    session.train()


@dataclass
class _Session:
    """A training and what has come of it so far."""

    trial: Trial
    params: MaskRcnnParams
    run: MaskRcnnRun
    history: list[EpochMetrics] = field(default_factory=list)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    train_images: int | None = None

    def __post_init__(self) -> None:
        self.fusion = fusion_of(self.params)
        data = self.trial.data
        self.validation = MeasuredSplit(data, data.images("val"), self.params)
        self._train_split: MeasuredSplit | None = None

    def train(self) -> None:
        if self.trial.resume_from is not None:
            self.history = read_history(self.trial.resume_from)
            self.train_images = restore(self.run, self.trial.resume_from)[_SUBSET]
        try:
            for epoch in range(len(self.history), self.trial.train_to):
                with within_memory(self.params, self.run.device):
                    self._train_epoch(epoch)
        except TrialStopped:
            self._keep_artifacts()
            raise
        self._keep_artifacts()

    def _train_epoch(self, epoch: int) -> None:
        forget_peak_memory(self.run.device)
        start = time.perf_counter()
        losses = self.run.train_epoch(epoch)
        with diverged_in(epoch):
            measured = self._validate()
        finite(measured.losses, epoch)
        self.evaluations = measured.evaluations
        trained_s = self.run.steady_epoch_s + measured.seconds
        values = {
            "epoch": epoch + 1,
            **{f"train/{name}": value for name, value in losses.items()},
            **{f"val/{name}": value for name, value in measured.losses.items()},
            **measured.metrics(),
            **self._train_metrics(epoch, trained_s, measured),
            "lr": self.run.learning_rate,
            "gpu_memory_gb": peak_memory_gb(self.run.device),
            "epoch_seconds": time.perf_counter() - start,
        }
        metrics = EpochMetrics(epoch + 1, values)
        self.history.append(metrics)
        self.trial.report(metrics, self._save(measured))

    def _validate(self) -> Measured:
        return measure(self.run.networks, self.validation, self.fusion)

    def _train_metrics(self, epoch: int, trained_s: float, validated: Measured) -> dict[str, float]:
        """Metrics of the training subset, and how far they are ahead; {} where not due."""
        if not train_metrics_due(self.trial, epoch):
            return {}
        split = self._subset(trained_s, validated)
        values = validated.metrics()
        measured = measure(self.run.networks, split, self.fusion, confidences=values, losses=False)
        found = measured.metrics("train_")
        gap, _ = overfit_gap(found["train_seg_metrics/F1"], values["seg_metrics/F1"])
        return {**found, "overfit_gap": gap, "train_metrics_images": split.n_images}

    def _subset(self, trained_s: float, validated: Measured) -> MeasuredSplit:
        """The training images that are measured, chosen once in a trial."""
        if self._train_split is None:
            if self.train_images is None:
                self.train_images = self._affordable(trained_s, validated)
            data = self.trial.data
            chosen = train_subset(data.images("train"), self.train_images, self.trial.seed)
            self._train_split = MeasuredSplit(data, chosen, self.params)
        return self._train_split

    def _affordable(self, trained_s: float, validated: Measured) -> int:
        if self.run.device.type == "cuda":  # the first pass on a GPU is slower than all others
            validated = self._validate()
        n_validation = self.validation.n_images
        each = validated.seconds / n_validation
        return measured_train_images(self.trial, trained_s, each, n_validation)

    def _save(self, measured: Measured) -> Path:
        model = SavedModel(
            weights={name: net.state_dict() for name, net in self.run.networks.items()},
            configs={name: member.config.dump() for name, member in self.run.members.items()},
            classes=list(self.trial.data.classes),
            confidence=measured.evaluations["seg_metrics"].confidence,
            epoch=len(self.history),
            params=self.params.model_dump(),
        )
        extra = {_SUBSET: self.train_images}
        return save_checkpoint(self.run, model, self.history, extra, self.trial.directory)

    def _keep_artifacts(self) -> None:
        if not self.evaluations:  # resumed when nothing was left to train
            self.evaluations = self._validate().evaluations
        keep_artifacts(self.trial, self.run, self.history, self.evaluations)


def _ignored(trial: Trial, params: MaskRcnnParams) -> dict[str, str]:
    """Keys without effect in this trial, defaults included, with the reason."""
    ignored = MaskRcnnParams.without_effect(params.model_dump())
    if trial.device.name == "cpu":
        ignored |= {"amp": "there is no mixed precision on the CPU"}
        ignored |= {"workers": "the CPU trains without loader processes"}
    return ignored


def _note_what_to_know(trial: Trial, params: MaskRcnnParams, run: MaskRcnnRun) -> None:
    """Tell the user what has no effect, what the weights gave, and of a warm-up without end."""
    for key, reason in _ignored(trial, params).items():
        if key in trial.params:
            trial.note(f"{key} has no effect: {reason}")
    for member in run.members.values():
        if member.taken:
            trial.note(f"{member.backbone}: {member.taken}")
    schedule = run.schedule
    if schedule.warmup_steps >= schedule.n_steps:
        trial.note(
            f"warmup_iters={schedule.warmup_steps} is no shorter than the whole training of "
            f"{schedule.n_steps} steps; the learning rate never reaches base_lr"
        )
