"""A training that finds instances, epoch by epoch: what is the same in every framework."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch

from trainables.contract import EngineInfo, EpochMetrics, Trial, TrialStopped
from trainables.datasets.prepared import check_pictures
from trainables.datasets.records import ImageRecord
from trainables.goal import Goal
from trainables.loop.artifacts import keep_evaluations
from trainables.loop.best_epoch import EvaluatedEpoch
from trainables.loop.checkpoint import read_history
from trainables.loop.device import forget_peak_memory, peak_memory_gb
from trainables.loop.epochs import finite, measured_train_images, train_metrics_due
from trainables.loop.finds import shown_instances
from trainables.metrics.instances import Evaluation, metrics_of
from trainables.metrics.scores import overfit_gap
from trainables.metrics.subset import train_subset
from trainables.results import Instances

_SUBSET, _BEST = "train_subset", "best"

Item = TypeVar("Item")


@dataclass(frozen=True)
class SplitEvaluation:
    """A model's evaluation on a split, with its losses there.

    Attributes:
        evaluations: Evaluations by metric group.
        losses: Mean over images (and networks), by the framework's name; empty where not asked for.
        seconds: Time it took, without reading the images.
        predictions: Instances found in each image.
    """

    evaluations: Mapping[str, Evaluation]
    losses: Mapping[str, float]
    seconds: float
    predictions: Sequence[Instances]

    def metrics(self, split_prefix: Literal["", "train_"] = "") -> dict[str, float]:
        """The metrics under the agreed keys."""
        return metrics_of(self.evaluations, split_prefix)


class TimedItems(Generic[Item]):
    """Items, and how long their reader took for them.

    Attributes:
        seconds: Waited for the reader so far.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.seconds = 0.0
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        items = iter(self._items)
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - start
            yield item


class MeasuredImages(Protocol):
    """Images that are measured, in whatever form a framework reads them."""

    @property
    def records(self) -> Sequence[ImageRecord]:
        """The images, in the order in which they are measured."""

    @property
    def n_images(self) -> int:
        """Number of images."""


Images = TypeVar("Images", bound=MeasuredImages)


class Course(Protocol[Images]):
    """A framework's side of a training.

    Attributes:
        validation: The validation part.
    """

    validation: Images

    @property
    def device(self) -> torch.device:
        """Device of the training."""

    @property
    def learning_rate(self) -> float:
        """At this moment."""

    @property
    def steady_epoch_s(self) -> float:
        """Time of the last epoch's steps, without what only its first batch costs."""

    def train_images(self, records: Sequence[ImageRecord]) -> Images:
        """Some training images, unaugmented, to be measured."""

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        """Train a 0-based epoch; the mean of each loss.

        Raises:
            Diverged: A loss is not finite.
        """

    def measure(
        self,
        images: Images,
        *,
        confidences: Mapping[str, float] | None = None,
        losses: bool = True,
    ) -> SplitEvaluation:
        """Measure the model on images, at given confidences or at the best ones.

        Raises:
            Diverged: A prediction is not finite.
        """

    def save(
        self, history: Sequence[EpochMetrics], extra: Mapping[str, Any], measured: SplitEvaluation
    ) -> Path:
        """Write the training's folder after an epoch, and into it what else to remember."""

    def restore(self, folder: Path) -> Mapping[str, Any]:
        """Go on from such a folder; the `extra` in it."""

    def keep(self, folder: Path) -> None:
        """Hand to its trial what a training leaves besides curves and tables, put into a folder."""

    def within_memory(self) -> AbstractContextManager[None]:
        """Say which settings ask for too much memory, if they do."""


@dataclass
class InstanceTraining(Generic[Images]):
    """A training and what has come of it so far.

    Attributes:
        trial: Trial that is trained and reported to.
        course: The framework's side.
        info: The engine's: by its objective epochs are in order where the trial says no goal, and
            that metric's group is the one whose finds are drawn and whose F1 the training part's is
            compared with.
        history: Metrics of all epochs so far.
        best: Evaluation of the best epoch so far, the one whose model is kept; of the last one
            where an earlier segtune wrote the checkpoint and did not keep the best one's.
        n_train_images: Number of training images that are measured, once that is known.
    """

    trial: Trial
    course: Course[Images]
    info: EngineInfo
    history: list[EpochMetrics] = field(default_factory=list)
    best: EvaluatedEpoch | None = None
    n_train_images: int | None = None
    _train_images: Images | None = None

    def run(self) -> None:
        """Train to the end, or until the trial is stopped, and keep the artifacts.

        Raises:
            TrainingError: As `trainables.contract.Engine.train` says.
        """
        if self.trial.resume_from is not None:
            self.history = read_history(self.trial.resume_from)
            self._recall(self.course.restore(self.trial.resume_from))
        try:
            for epoch in range(len(self.history), self.trial.train_to):
                with self.course.within_memory():
                    self._train_epoch(epoch)
        except TrialStopped:
            self.keep_artifacts()
            raise
        self.keep_artifacts()

    def _train_epoch(self, epoch: int) -> None:
        forget_peak_memory(self.course.device)
        start = time.perf_counter()
        losses = self.course.train_epoch(epoch)
        measured = self.course.measure(self.course.validation)
        finite(measured.losses, epoch)
        values = {
            "epoch": epoch + 1,
            **{f"train/{name}": value for name, value in losses.items()},
            **{f"val/{name}": value for name, value in measured.losses.items()},
            **measured.metrics(),
            **self._train_metrics(epoch, measured),
            "lr": self.course.learning_rate,
            "gpu_memory_gb": peak_memory_gb(self.course.device),
            "epoch_seconds": time.perf_counter() - start,
        }
        metrics = EpochMetrics(epoch + 1, values)
        check_pictures(self.trial.data)  # else the epoch says nothing; before a checkpoint has it
        self.history.append(metrics)
        self._keep_if_best(measured)
        checkpoint = self.course.save(self.history, self._extra(), measured)
        self.trial.report(metrics, checkpoint)

    def _keep_if_best(self, measured: SplitEvaluation) -> None:
        """Keep the last epoch's evaluation where it is the best so far."""
        goal = self.trial.goal or Goal(self.info.objective)
        before = None if self.best is None else self.history[self.best.epoch - 1].values
        if self.best is None or goal.improves(self.history[-1].values, before):
            self.best = self._evaluated(measured)

    def _evaluated(self, measured: SplitEvaluation) -> EvaluatedEpoch:
        """The last epoch's evaluation of the validation part, with the finds that are drawn."""
        shown = measured.evaluations[self._group]
        records = self.course.validation.records
        finds = shown_instances(records, measured.predictions, shown.pictures, shown.confidence)
        return EvaluatedEpoch(len(self.history), measured.evaluations, finds)

    @property
    def _group(self) -> str:
        """Metric group of the engine's objective: masks, or boxes of an engine without them."""
        return self.info.objective.partition("/")[0]

    def _extra(self) -> dict[str, Any]:
        """The part of the training that is no framework's, as plain data."""
        best = None if self.best is None else self.best.plain()
        return {_SUBSET: self.n_train_images, _BEST: best}

    def _recall(self, extra: Mapping[str, Any]) -> None:
        """Remember what `_extra` gave; earlier versions kept no evaluation."""
        self.n_train_images = extra[_SUBSET]
        if extra.get(_BEST) is not None:
            self.best = EvaluatedEpoch.of_plain(extra[_BEST])

    def _train_metrics(self, epoch: int, validated: SplitEvaluation) -> dict[str, float]:
        """Metrics of the training subset, and how far they are ahead; {} where not due."""
        if not train_metrics_due(self.trial, epoch):
            return {}
        images = self._subset(validated)
        values = validated.metrics()
        measured = self.course.measure(images, confidences=values, losses=False)
        found = measured.metrics("train_")
        key = f"{self._group}/F1"
        gap, _ = overfit_gap(found[f"train_{key}"], values[key])
        return {**found, "overfit_gap": gap, "train_metrics_images": images.n_images}

    def _subset(self, validated: SplitEvaluation) -> Images:
        """The training images that are measured, chosen once in a trial."""
        if self._train_images is None:
            if self.n_train_images is None:
                self.n_train_images = self._affordable(validated)
            records = self.trial.data.images("train")
            chosen = train_subset(records, self.n_train_images, self.trial.seed)
            self._train_images = self.course.train_images(chosen)
        return self._train_images

    def _affordable(self, validated: SplitEvaluation) -> int:
        epoch_s = self.course.steady_epoch_s + validated.seconds
        if self.course.device.type == "cuda":  # the first pass on a GPU is slower than all others
            validated = self.course.measure(self.course.validation)
        n_validation = self.course.validation.n_images
        each = validated.seconds / n_validation
        return measured_train_images(self.trial, epoch_s, each, n_validation)

    def keep_artifacts(self) -> None:
        """Draw and write everything from the epochs trained, and hand it to the trial."""
        if self.best is None:  # nothing is left to train, and its checkpoint holds none
            measured = self.course.measure(self.course.validation)
            self.best = self._evaluated(measured)
        self.course.keep(keep_evaluations(self.trial, self.history, self.best))
