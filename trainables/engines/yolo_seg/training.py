"""Training of one trial, from its first epoch or its checkpoint to its artifacts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from trainables.contract import ArtifactKind, EpochMetrics, InfeasibleParams, Trial
from trainables.datasets.records import ImageRecord
from trainables.engines.yolo_seg.checkpoint import SavedYolo, restore, training_state
from trainables.engines.yolo_seg.data import (
    LabelledImages,
    MeasuredBatches,
    describe_dataset,
    untouched_random,
)
from trainables.engines.yolo_seg.effective import check_effective
from trainables.engines.yolo_seg.framework import unwrap_model
from trainables.engines.yolo_seg.inference import Detection
from trainables.engines.yolo_seg.params import (
    INFO,
    YoloSegParams,
    mask_note,
    model_problem,
    sampled_problem,
)
from trainables.engines.yolo_seg.run import YoloSegRun, overrides, within_memory
from trainables.engines.yolo_seg.validation import measure
from trainables.loop.asked import note_ignored, without_effect_here
from trainables.loop.checkpoint import write_checkpoint
from trainables.loop.device import loader_processes, use_device
from trainables.loop.instances import InstanceTraining, SplitEvaluation
from trainables.loop.split.parts import note_parts


def train_trial(trial: Trial, params: YoloSegParams) -> None:
    """Train a trial, reporting each epoch, and keep its artifacts, also when it is stopped.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    _check_start(trial, params)
    use_device(trial.device, loader_processes(params.workers, trial.device))
    described, lost = describe_dataset(trial.data, trial.directory)
    for loss in (*lost, mask_note(trial.data, params.imgsz, params.mask_ratio)):
        if loss:
            trial.note(loss)
    run = YoloSegRun(overrides(params, trial), described, trial.device)
    try:
        with within_memory(params, trial.device):
            run.build()
        course = _YoloCourse(trial, params, run)
        ignored = without_effect_here(YoloSegParams, params.model_dump(), trial)
        check_effective(run, course.detection, params, ignored)
        _note_what_to_know(trial, params, ignored)
        note_parts(trial, params.batch, "its batch norms, and its losses, see a part alone")
        InstanceTraining(trial, course, INFO).run()
    finally:
        run.close()


class _YoloCourse:
    """Ultralytics' side of a training, which `InstanceTraining` drives."""

    def __init__(self, trial: Trial, params: YoloSegParams, run: YoloSegRun) -> None:
        self.trial, self.params, self.run = trial, params, run
        self.detection = Detection(float(run.args.iou), int(run.args.max_det))
        self.validation = self._images(run.test_loader.dataset, trial.data.images("val"))

    @property
    def device(self) -> torch.device:
        device: torch.device = self.run.device
        return device

    @property
    def learning_rate(self) -> float:
        return self.run.learning_rate

    @property
    def steady_epoch_s(self) -> float:
        return self.run.steady_epoch_s

    def train_images(self, records: Sequence[ImageRecord]) -> MeasuredBatches:
        with untouched_random():
            dataset = self.run.build_dataset(self.run.data["train"], mode="val")
        return self._images(dataset, records)

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        return self.run.train_epoch(epoch)

    def measure(
        self,
        images: MeasuredBatches,
        *,
        confidences: Mapping[str, float] | None = None,
        losses: bool = True,
    ) -> SplitEvaluation:
        net, classes = self.run.ema.ema, self.trial.data.classes
        return measure(net, images, classes, self.detection, confidences=confidences, losses=losses)

    def save(
        self, history: Sequence[EpochMetrics], extra: Mapping[str, Any], measured: SplitEvaluation
    ) -> Path:
        model = SavedYolo(
            weights=self.run.ema.ema.state_dict(),
            architecture=unwrap_model(self.run.model).yaml,
            classes=list(self.trial.data.classes),
            imgsz=self.params.imgsz,
            confidence=measured.evaluations["seg_metrics"].confidence,
            iou=self.detection.iou,
            max_det=self.detection.max_det,
            epoch=len(history),
            params=self.params.model_dump(),
        )
        state = training_state(self.run, extra)
        return write_checkpoint(self.trial.directory, vars(model), state, history)

    def restore(self, folder: Path) -> Mapping[str, Any]:
        return restore(self.run, folder)

    def keep(self, folder: Path) -> None:
        self.run.plot_training_labels()
        found = {"labels.jpg": ArtifactKind.PICTURE, "args.yaml": ArtifactKind.CONFIG}
        for name, kind in found.items():
            made = self.run.save_dir / name
            if made.is_file():  # Ultralytics draws no labels where there are none
                self.trial.artifact(made.replace(folder / name), kind)

    def within_memory(self) -> AbstractContextManager[None]:
        return within_memory(self.params, self.trial.device)

    def _images(self, dataset: LabelledImages, records: Sequence[ImageRecord]) -> MeasuredBatches:
        workers = self.run.train_loader.num_workers
        return MeasuredBatches(dataset, self.trial.data, records, 2 * self.params.batch, workers)


def _check_start(trial: Trial, params: YoloSegParams) -> None:
    """Refuse a trial that would fail or mislead.

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


def _note_what_to_know(trial: Trial, params: YoloSegParams, ignored: Mapping[str, str]) -> None:
    """Tell the user which of the given keys have no effect in this trial."""
    here = YoloSegParams.without_effect_in(params.model_dump(), trial.epochs, grey=trial.data.grey)
    note_ignored(trial, {**ignored, **here})
    if params.batch > len(trial.data.images("train")):
        trial.note(
            f"batch={params.batch} is more than there are training images; a batch holds "
            f"all {len(trial.data.images('train'))}"
        )
