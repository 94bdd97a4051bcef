"""Training of one trial, from its first epoch or its checkpoint to its artifacts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.datasets.records import ImageRecord
from trainables.engines.detector.checkpoint import SavedDetector, restore, training_state
from trainables.engines.detector.data import MeasuredPictures
from trainables.engines.detector.effective import check_effective
from trainables.engines.detector.params import INFO, DetectorParams
from trainables.engines.detector.run import DetectorRun, within_memory
from trainables.engines.detector.validation import better_of, measure
from trainables.files.whole import write_whole
from trainables.goal import Goal
from trainables.loop.asked import note_ignored, refuse_combinations, without_effect_here
from trainables.loop.checkpoint import write_checkpoint
from trainables.loop.device import loader_processes, use_device
from trainables.loop.instances import InstanceTraining, SplitEvaluation
from trainables.loop.split.parts import note_parts


def train_trial(trial: Trial, params: DetectorParams) -> None:
    """Train a trial, reporting each epoch, and keep its artifacts, also when it is stopped.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    refuse_combinations(DetectorParams, trial)
    use_device(trial.device, loader_processes(params.workers, trial.device))
    ignored = _ignored(trial, params)
    with within_memory(params, trial.device):
        run = DetectorRun(trial, params)
    check_effective(run, params, ignored)
    _note_what_to_know(trial, ignored, run)
    note_parts(trial, params.batch_size, "losses are means over the regions drawn in a part")
    InstanceTraining(trial, _DetectorCourse(trial, params, run), INFO).run()


class _DetectorCourse:
    """torchvision's side of a training, which `InstanceTraining` drives."""

    def __init__(self, trial: Trial, params: DetectorParams, run: DetectorRun) -> None:
        self.trial, self.params, self.run = trial, params, run
        self.validation = MeasuredPictures(trial.data, trial.data.images("val"))
        self._source = "raw"

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
        return MeasuredPictures(self.trial.data, records)

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        return self.run.train_epoch(epoch)

    def measure(
        self,
        images: MeasuredPictures,
        *,
        confidences: Mapping[str, float] | None = None,
        losses: bool = True,
    ) -> SplitEvaluation:
        """Measure raw and averaged weights on validation, and those better there elsewhere."""
        del losses  # those of a detector are of regions that are drawn
        networks = self.run.networks
        if images is not self.validation:
            net = networks[self._source]
            return measure(net, images, self.params, self.device, confidences)
        found = {
            name: measure(net, images, self.params, self.device, confidences)
            for name, net in networks.items()
        }
        measured = better_of(found, self.trial.goal or Goal(INFO.objective))
        self._source = measured.source
        return measured.evaluation

    def save(
        self, history: Sequence[EpochMetrics], extra: Mapping[str, Any], measured: SplitEvaluation
    ) -> Path:
        anchors = self.run.anchors
        model = SavedDetector(
            weights=self.run.networks[self._source].state_dict(),
            source=self._source,
            anchors=None if anchors is None else anchors.plain(),
            classes=list(self.trial.data.classes),
            confidence=measured.evaluations["box_metrics"].confidence,
            epoch=len(history),
            params=self.params.model_dump(),
        )
        state = training_state(self.run, extra)
        return write_checkpoint(self.trial.directory, vars(model), state, history)

    def restore(self, folder: Path) -> Mapping[str, Any]:
        return restore(self.run, folder)

    def keep(self, folder: Path) -> None:
        anchors = self.run.anchors
        built = {**self.params.model_dump(), "anchors": anchors.plain() if anchors else None}
        text = yaml.safe_dump(built, sort_keys=False)
        write = partial(Path.write_text, data=text)
        self.trial.artifact(write_whole(folder / "detector.yaml", write), ArtifactKind.CONFIG)

    def within_memory(self) -> AbstractContextManager[None]:
        return within_memory(self.params, self.trial.device)


def _ignored(trial: Trial, params: DetectorParams) -> dict[str, str]:
    """Keys without effect in this trial, defaults included, with the reason."""
    values = params.model_dump()
    here = DetectorParams.without_effect_in(values, trial.epochs, grey=trial.data.grey)
    return {**without_effect_here(DetectorParams, values, trial), **here}


def _note_what_to_know(trial: Trial, ignored: Mapping[str, str], run: DetectorRun) -> None:
    """Tell the user which keys have no effect, what was taken, and of an endless warm-up."""
    note_ignored(trial, ignored)
    if run.taken:
        trial.note(run.taken)
    schedule = run.schedule
    if schedule.warmup_epochs >= schedule.epochs:
        trial.note(
            f"warmup_steps={schedule.warmup_epochs} is no shorter than the whole training of "
            f"{schedule.epochs} steps; the learning rate never reaches learning_rate"
        )
