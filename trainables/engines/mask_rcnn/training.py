"""Training of one trial, from its first epoch or its checkpoint to its artifacts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.datasets.records import ImageRecord
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn, restore, training_state
from trainables.engines.mask_rcnn.data import MeasuredPictures
from trainables.engines.mask_rcnn.effective import check_effective
from trainables.engines.mask_rcnn.network.start import Start, find_start
from trainables.engines.mask_rcnn.params import INFO, MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import fusion_of
from trainables.engines.mask_rcnn.run import MaskRcnnRun, diverged_in, within_memory
from trainables.engines.mask_rcnn.validation import measure
from trainables.files.whole import write_whole
from trainables.loop.asked import note_ignored, refuse_combinations, without_effect_here
from trainables.loop.checkpoint import write_checkpoint
from trainables.loop.device import loader_processes, use_device
from trainables.loop.instances import InstanceTraining, SplitEvaluation
from trainables.loop.split.parts import note_parts


def train_trial(trial: Trial, params: MaskRcnnParams) -> None:
    """Train a trial, reporting each epoch, and keep its artifacts, also when it is stopped.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    refuse_combinations(MaskRcnnParams, trial)
    use_device(trial.device, loader_processes(params.workers, trial.device))
    ignored = without_effect_here(MaskRcnnParams, params.model_dump(), trial)
    start = find_start(trial, params)
    with within_memory(start.params, trial.device):
        run = MaskRcnnRun(trial, start.params, start.configs)
    course = _MaskRcnnCourse(trial, start.params, run)
    check_effective(run, course.fusion, start.params, ignored)
    _note_what_to_know(trial, ignored, start, run)
    regions = "losses are means over the regions drawn in a part"
    note_parts(trial, start.params.ims_per_batch, regions)
    InstanceTraining(trial, course, INFO).run()


class _MaskRcnnCourse:
    """Detectron2's side of a training, which `InstanceTraining` drives."""

    def __init__(self, trial: Trial, params: MaskRcnnParams, run: MaskRcnnRun) -> None:
        self.trial, self.params, self.run = trial, params, run
        self.fusion = fusion_of(params)
        self.validation = MeasuredPictures(trial.data, trial.data.images("val"), params)
        self._epoch = 0

    @property
    def device(self) -> torch.device:
        return self.run.device

    @property
    def learning_rate(self) -> float:
        return self.run.learning_rate

    @property
    def steady_epoch_s(self) -> float:
        return self.run.steady_epoch_s

    def train_images(self, records: Sequence[ImageRecord]) -> MeasuredPictures:
        return MeasuredPictures(self.trial.data, records, self.params, objects=False)

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        self._epoch = epoch
        return self.run.train_epoch(epoch)

    def measure(
        self,
        images: MeasuredPictures,
        *,
        confidences: Mapping[str, float] | None = None,
        losses: bool = True,
    ) -> SplitEvaluation:
        with diverged_in(self._epoch):
            return measure(
                self.run.networks, images, self.fusion, confidences=confidences, losses=losses
            )

    def save(
        self, history: Sequence[EpochMetrics], extra: Mapping[str, Any], measured: SplitEvaluation
    ) -> Path:
        model = SavedMaskRcnn(
            weights={name: net.state_dict() for name, net in self.run.networks.items()},
            configs={name: member.config.dump() for name, member in self.run.members.items()},
            classes=list(self.trial.data.classes),
            confidence=measured.evaluations["seg_metrics"].confidence,
            epoch=len(history),
            params=self.params.model_dump(),
        )
        state = training_state(self.run, extra)
        return write_checkpoint(self.trial.directory, vars(model), state, history)

    def restore(self, folder: Path) -> Mapping[str, Any]:
        return restore(self.run, folder)

    def keep(self, folder: Path) -> None:
        for name, member in self.run.members.items():
            write = partial(Path.write_text, data=member.config.dump())
            self.trial.artifact(write_whole(folder / f"{name}.yaml", write), ArtifactKind.CONFIG)

    def within_memory(self) -> AbstractContextManager[None]:
        return within_memory(self.params, self.trial.device)


def _note_what_to_know(
    trial: Trial, ignored: Mapping[str, str], start: Start, run: MaskRcnnRun
) -> None:
    """Tell the user which keys have no effect, what was taken, and of an endless warm-up."""
    note_ignored(trial, ignored)
    for note in start.notes:
        trial.note(note)
    for member in run.members.values():
        if member.taken:
            trial.note(f"{member.backbone}: {member.taken}")
    schedule = run.schedule
    if schedule.warmup_steps >= schedule.n_steps:
        trial.note(
            f"warmup_iters={schedule.warmup_steps} is no shorter than the whole training of "
            f"{schedule.n_steps} steps; the learning rate never reaches base_lr"
        )
