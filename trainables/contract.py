"""What an engine sees of the world, and what the world sees of an engine.

An engine trains one configuration as its framework likes and calls `Trial.report` after each
epoch. It never sees Ray, a tracker or a bucket, so the same engine runs under the tuner, in
`segtune retrain`, in a test with an in-memory trial, and on a machine without Ray.

Exceptions an engine may raise, and what the caller does about each::

    TrainingError
    |-- TrialStopped       the scheduler has decided; finish the artifacts, then let it pass
    |-- EarlyStopped       the engine's own patience has run out: complete, with that reason
    |-- InfeasibleParams   the configuration can never train: failed, not retried
    |   `-- IneffectiveParam   what was sampled is not what would train, named by its key
    |-- Diverged           a loss is no longer finite: failed with the reason `diverged`
    `-- TransientError     retry from the last checkpoint
Anything else is a bug of the engine: the trial fails with its traceback in `train.log`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from search_spaces.schema import Hyperparameters
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from trainables.results import Instances

if TYPE_CHECKING:
    from trainables.results import Picks


class TrainingError(Exception):
    """Base of everything an engine raises on purpose."""


class TrialStopped(TrainingError):
    """Raised by `Trial.report` when the trial must not train another epoch."""


class EarlyStopped(TrainingError):
    """The configuration asked to end here: it gained nothing for as long as its patience allows.

    Raised after the report of the last epoch, and again where the trial is resumed after it.
    """


class InfeasibleParams(TrainingError):
    """The configuration can never train (contradictory values, a model that does not fit)."""


class IneffectiveParam(InfeasibleParams):
    """A sampled value is not the one the framework would train with."""


class Diverged(TrainingError):
    """A loss or a weight is no longer finite."""


class TransientError(TrainingError):
    """A failure that another attempt from the last checkpoint may not meet."""


class ArtifactKind(StrEnum):
    """What an artifact is; names the W&B artifact type."""

    MODEL = "model"
    CURVES = "curves"
    TABLE = "table"
    PICTURE = "picture"
    CONFIG = "config"


class ExportForm(StrEnum):
    """A form in which a trained model can leave segtune."""

    NATIVE = "native"
    ONNX = "onnx"


@dataclass(frozen=True)
class Device:
    """The accelerator a trial may use.

    Attributes:
        name: As torch names it: "cpu" or "cuda:0" (a trial sees only its own GPUs).
        memory_fraction: Share in (0, 1] of the GPU's memory this trial may take.
        cpus: CPU threads this trial may use, loader workers included.
        gpus: How many GPUs this trial may use, `cuda:0` and those after it; more than one only
            for an engine whose `EngineInfo.max_gpus` allows it. On the CPU, where a study never
            asks for more than one, the processes that such an engine trains with.
    """

    name: str = "cpu"
    memory_fraction: float = 1.0
    cpus: int = 1
    gpus: int = 1


@dataclass(frozen=True)
class TrainMetrics:
    """How the metrics of the training split are taken.

    Attributes:
        every: Every how many epochs, from epoch `every` on; 0 switches them off.
        images: Size of the fixed training subset, or None for "sized by the engine so that it
            stays within 15 % of an epoch".
    """

    every: int = 1
    images: int | None = None


@dataclass(frozen=True)
class EpochMetrics:
    """Measurements of one trial at one fidelity.

    Attributes:
        epoch: 1-based, the number of epochs trained so far.
        values: Metric name to value, names as in `trainables.metrics.names`.
    """

    epoch: int
    values: Mapping[str, float]


class Trial(Protocol):
    """One configuration being trained: what an engine may know and whom it reports to.

    Attributes:
        name: Study and trial, for logs: "powder-yolo/7".
        params: Every hyperparameter of this trial, fixed and sampled ones, as the user named them.
        sampled: The keys of `params` that were sampled (the others are fixed in the study file).
        data: The prepared data set. An engine trains on `train` and validates on `val`;
            it never opens `test`.
        epochs: Length of a full training; schedules are laid out for it even if the trial is
            stopped before.
        seed: Seed of every random number this trial draws.
        device: Accelerator, share of its memory, CPU threads.
        directory: This attempt's own scratch folder, absolute, existing.
        resume_from: Checkpoint folder of an interrupted run of this same trial, or None.
        train_metrics: How often and on how many images the training split is measured.
    """

    name: str
    params: Mapping[str, Any]
    sampled: frozenset[str]
    data: PreparedDataset
    epochs: int
    seed: int
    device: Device
    directory: Path
    resume_from: Path | None
    train_metrics: TrainMetrics

    @property
    def goal(self) -> Goal | None:
        """The better of two epochs, for an engine that goes on from its best; None if unsaid."""
        ...

    @property
    def train_to(self) -> int:
        """Last epoch to train: `epochs`; 0 for a trial that has ended already.

        Of such a trial only the artifacts are wanted, drawn anew from `resume_from`, as a crash
        came between its last epoch and them.
        """
        ...

    def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
        """Report an epoch; returns when the trial may train the next one.

        Args:
            metrics: Of the epoch just trained. Epochs come in order, each once.
            checkpoint: Folder from which `Engine.train` can go on after this epoch and which
                `Engine.load` can read; it may be overwritten by the engine's next epoch. A model
                to be kept is copied from it before this method returns.

        Raises:
            TrialStopped: The scheduler ends this trial here. The engine writes its artifacts
                from what it already has, then lets the exception pass.
        """
        ...

    def artifact(self, path: Path, kind: ArtifactKind) -> None:
        """Keep a file of this trial (copied; the engine may delete its own afterwards)."""
        ...

    def note(self, message: str) -> None:
        """Tell the user something once: a key without effect, a value the framework changed."""
        ...


class Predictor(Protocol):
    """A trained model."""

    classes: tuple[str, ...]

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find instances in (H, W, 3) RGB images; one result an image, in order."""
        ...


@runtime_checkable
class Picker(Predictor, Protocol):
    """A trained model that picks particles from a map of probabilities.

    Attributes:
        confidence: Where the particle F1 was best on the validation part.
        radius_px: Of a particle.
        min_distance_px: Least distance of two picks.
        match_radius: Largest distance of a pick from the particle it is taken for when the model
            is measured, in radii of the picture's particles.
        um_per_px: Side of a pixel of the training pictures, or None where nobody said it.
    """

    confidence: float
    radius_px: float
    min_distance_px: float
    match_radius: float
    um_per_px: float | None

    def probability(
        self, image: npt.NDArray[np.uint8], levels: tuple[float, float] | None = None
    ) -> npt.NDArray[np.float32]:
        """(H, W) float32 in [0, 1]: that a pixel belongs to a particle.

        Args:
            image: (H, W, 3) RGB or (H, W) grey, of a picture or a part of it.
            levels: Mean and standard deviation of the whole picture in grey; default: the image's.
        """
        ...

    def picks(
        self,
        probability: npt.NDArray[np.float32],
        *,
        min_confidence: float = ...,
        min_distance_px: float | None = None,
    ) -> "Picks":
        """The particles of such a map, most confident first, from `min_confidence` on."""
        ...


@dataclass(frozen=True)
class EngineInfo:
    """What is known of an engine without importing its framework.

    Attributes:
        name: As in the study file's `trainable`.
        params: Its hyperparameter schema.
        metrics: Metric groups it fills, e.g. "seg_metrics" (see `trainables.metrics.names`).
        objective: The metric tuned by default.
        preset: The search-space preset used by default.
        isolated: Whether a trial runs in a child process of its own (False only for simulated
            engines, which need no framework).
        extra: The pip extra that installs its framework.
        install: What to do to have its framework, where the extra is not enough.
        max_gpus: Most GPUs that one training can use.
        backbone: The hyperparameter that names the network or its size: the best-config store
            keeps a best for each of its values. "" where there is but one.
        sizes: The other hyperparameters that say how large network and training pictures are:
            with the same values, epochs on the same data take about as long.
    """

    name: str
    params: type[Hyperparameters]
    metrics: tuple[str, ...]
    objective: str
    preset: str
    isolated: bool = True
    extra: str = ""
    install: str = ""
    max_gpus: int = 1
    backbone: str = ""
    sizes: tuple[str, ...] = ()


class Engine(Protocol):
    """A model family. One folder in `trainables/` and one line in `trainables/registry.py`."""

    name: ClassVar[str]

    def train(self, trial: Trial) -> None:
        """Train one configuration, reporting each epoch.

        A trial with no epoch left to train (`Trial.train_to`) only draws its artifacts.

        Raises:
            TrialStopped: As raised by `Trial.report`, after the artifacts are written.
            EarlyStopped: Before epoch `trial.epochs`, after the artifacts are written.
            InfeasibleParams: The configuration cannot train.
            IneffectiveParam: Before epoch 1, when a value read back from what the framework built
                differs from the one in `trial.params`.
            Diverged: A loss is no longer finite; no epoch is reported for it.
        """
        ...

    def load(self, model: Path, device: Device) -> Predictor:
        """Read a model written by `train` (a checkpoint folder or its model file)."""
        ...

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        """Write a trained model in another form below `to`; returns the file."""
        ...
