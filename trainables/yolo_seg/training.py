"""One trial from its first epoch, or from its checkpoint, to its artifacts."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.contract import EpochMetrics, InfeasibleParams, Trial, TrialStopped
from trainables.loop.checkpoint import read_history
from trainables.loop.device import (
    forget_peak_memory,
    loader_processes,
    peak_memory_gb,
    use_device,
)
from trainables.loop.epochs import finite, measured_train_images, train_metrics_due
from trainables.metrics import Evaluation, overfit_gap, train_subset
from trainables.yolo_seg.artifacts import keep_artifacts
from trainables.yolo_seg.checkpoint import SavedModel, restore, save_checkpoint
from trainables.yolo_seg.data import MeasuredSplit, describe_dataset, untouched_random
from trainables.yolo_seg.effective import check_effective
from trainables.yolo_seg.framework import unwrap_model
from trainables.yolo_seg.inference import Detection
from trainables.yolo_seg.params import YoloSegParams, model_problem, sampled_problem
from trainables.yolo_seg.trainer import YoloSegRun, overrides, within_memory
from trainables.yolo_seg.validation import Measured, measure

log = logging.getLogger(__name__)

_SUBSET = "train_subset"


def train_trial(trial: Trial, params: YoloSegParams) -> None:
    """Train, reporting each epoch, and keep the artifacts, also of a stopped trial.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    _check_start(trial, params)
    use_device(trial.device, loader_processes(params.workers, trial.device))
    described, lost = describe_dataset(trial.data, trial.directory)
    for loss in lost:
        trial.note(loss)
    run = YoloSegRun(overrides(params, trial), described)
    try:
        run.build()
        session = _Session(trial, params, run)
        check_effective(run, session.detection, params, _ignored(trial, params))
        _note_ignored(trial, params)
        session.train()
    finally:
        run.close()


@dataclass
class _Session:
    """A training and what has come of it so far."""

    trial: Trial
    params: YoloSegParams
    run: YoloSegRun
    history: list[EpochMetrics] = field(default_factory=list)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    train_images: int | None = None

    def __post_init__(self) -> None:
        self.detection = Detection(float(self.run.args.iou), int(self.run.args.max_det))
        data = self.trial.data
        self.validation = MeasuredSplit(
            self.run.test_loader.dataset,
            data,
            data.images("val"),
            2 * self.params.batch,
            self.run.train_loader.num_workers,
        )
        self._train_split: MeasuredSplit | None = None

    def train(self) -> None:
        if self.trial.resume_from is not None:
            self.history = read_history(self.trial.resume_from)
            self.train_images = restore(self.run, self.trial.resume_from)[_SUBSET]
        try:
            for epoch in range(len(self.history), self.trial.train_to):
                with within_memory(self.run):
                    self._train_epoch(epoch)
        except TrialStopped:
            self._keep_artifacts()
            raise
        self._keep_artifacts()

    def _train_epoch(self, epoch: int) -> None:
        forget_peak_memory(self.run.device)
        start = time.perf_counter()
        losses = self.run.train_epoch(epoch)
        measured = self._validate()
        finite(dict(measured.losses), epoch)
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
        net, classes = self.run.ema.ema, self.trial.data.classes
        return measure(net, self.validation, classes, self.detection)

    def _train_metrics(self, epoch: int, trained_s: float, validated: Measured) -> dict[str, float]:
        """Metrics of the training subset, and how far they are ahead; {} where not due."""
        if not train_metrics_due(self.trial, epoch):
            return {}
        split = self._subset(trained_s, validated)
        values = validated.metrics()
        measured = measure(
            self.run.ema.ema,
            split,
            self.trial.data.classes,
            self.detection,
            confidences=values,
            losses=False,
        )
        found = measured.metrics("train_")
        gap, _ = overfit_gap(found["train_seg_metrics/F1"], values["seg_metrics/F1"])
        return {**found, "overfit_gap": gap, "train_metrics_images": split.n_images}

    def _subset(self, trained_s: float, validated: Measured) -> MeasuredSplit:
        """The training images that are measured, chosen once in a trial."""
        if self._train_split is None:
            if self.train_images is None:
                self.train_images = self._affordable(trained_s, validated)
            images = self.trial.data.images("train")
            with untouched_random():
                dataset = self.run.build_dataset(self.run.data["train"], mode="val")
            self._train_split = MeasuredSplit(
                dataset,
                self.trial.data,
                train_subset(images, self.train_images, self.trial.seed),
                2 * self.params.batch,
                self.run.train_loader.num_workers,
            )
        return self._train_split

    def _affordable(self, trained_s: float, validated: Measured) -> int:
        if self.run.device.type == "cuda":  # the first pass on a GPU is slower than all others
            validated = self._validate()
        n_validation = self.validation.n_images
        each = validated.seconds / n_validation
        return measured_train_images(self.trial, trained_s, each, n_validation)

    def _save(self, measured: Measured) -> Path:
        net = self.run.ema.ema
        model = SavedModel(
            weights=net.state_dict(),
            architecture=unwrap_model(self.run.model).yaml,
            classes=list(self.trial.data.classes),
            imgsz=self.params.imgsz,
            confidence=measured.evaluations["seg_metrics"].confidence,
            iou=self.detection.iou,
            max_det=self.detection.max_det,
            epoch=len(self.history),
            params=self.params.model_dump(),
        )
        extra = {_SUBSET: self.train_images}
        return save_checkpoint(self.run, model, self.history, extra, self.trial.directory)

    def _keep_artifacts(self) -> None:
        if not self.evaluations:  # resumed when nothing was left to train
            self.evaluations = self._validate().evaluations
        keep_artifacts(self.trial, self.run, self.history, self.evaluations)


def _check_start(trial: Trial, params: YoloSegParams) -> None:
    """Refuse what would fail or mislead.

    Raises:
        InfeasibleParams: The model is not there, or `optimizer=auto` ignores a sampled key.
    """
    problems = [
        ("model", model_problem(params.model, params.download)),
        ("optimizer", sampled_problem(params.optimizer, trial.sampled)),
    ]
    found = [f"{key}: {problem}" for key, problem in problems if problem]
    if found:
        raise InfeasibleParams("; ".join(found))


def _ignored(trial: Trial, params: YoloSegParams) -> dict[str, str]:
    """Keys without effect in this trial, defaults included, with the reason."""
    ignored = YoloSegParams.without_effect(params.model_dump())
    if trial.device.name == "cpu":
        ignored |= {"amp": "there is no mixed precision on the CPU"}
        ignored |= {"workers": "the CPU trains without loader processes"}
    return ignored


def _note_ignored(trial: Trial, params: YoloSegParams) -> None:
    """Tell the user which of the given keys have no effect in this trial."""
    here = YoloSegParams.without_effect_in(params.model_dump(), trial.epochs, grey=trial.data.grey)
    reasons = {**_ignored(trial, params), **here}
    for key, reason in reasons.items():
        if key in trial.params:
            trial.note(f"{key} has no effect: {reason}")
    if params.batch > len(trial.data.images("train")):
        trial.note(
            f"batch={params.batch} is more than there are training images; a batch holds "
            f"all {len(trial.data.images('train'))}"
        )
