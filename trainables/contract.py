"""Contract between an engine and the rest of segtune: protocols, values and exceptions.

An engine trains one configuration as its framework likes and calls `Trial.report` after each
epoch. It never sees Ray, a tracker or a bucket, so the same engine runs under the tuner, in
`segtune retrain`, in a test with an in-memory trial, and on a machine without Ray.

The exceptions an engine may raise stand in `trainables.failures`, with what the caller
does about each.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from search_spaces.schema import Hyperparameters
from trainables.datasets.facts import DataFacts
from trainables.datasets.prepared import PreparedDataset
from trainables.failures import Diverged as Diverged  # for engines, which import all from here
from trainables.failures import EarlyStopped as EarlyStopped
from trainables.failures import IneffectiveParam as IneffectiveParam
from trainables.failures import InfeasibleParams as InfeasibleParams
from trainables.failures import OutOfMemory as OutOfMemory
from trainables.failures import TrainingError as TrainingError
from trainables.failures import TransientError as TransientError
from trainables.failures import TrialStopped as TrialStopped
from trainables.failures import UnreadableFile as UnreadableFile
from trainables.files.errors import UserError as UserError
from trainables.goal import Goal
from trainables.results import Instances
from trainables.results import Reporting as Reporting  # for engines, as above

if TYPE_CHECKING:
    from trainables.results import Picks


class ArtifactKind(StrEnum):
    """Kind of an artifact, which names its type in W&B."""

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
    """Accelerator that a trial may use.

    Attributes:
        name: Name that torch has for it: "cpu" or "cuda:0" (a trial sees only its own GPUs).
        memory_fraction: Share in (0, 1] of the GPU's memory this trial may take; without a GPU, of
            the machine's.
        cpus: CPU threads this trial may use, loader workers included.
        gpus: Number of GPUs this trial may use, `cuda:0` and those after it; more than one only
            for an engine whose `EngineInfo.max_gpus` allows it. On the CPU, where a study never
            asks for more than one, the processes, or copies of its network, that such an engine
            trains with.
        micro_batch: Most samples of a batch that may go through the network at once, after which
            their gradients are summed: the batch of a step stays what the hyperparameters say. 0
            for whole batches.
    """

    name: str = "cpu"
    memory_fraction: float = 1.0
    cpus: int = 1
    gpus: int = 1
    micro_batch: int = 0


@dataclass(frozen=True)
class TrainMetrics:
    """Frequency and extent of the metrics of the training part.

    Attributes:
        every: Number of epochs from one measurement to the next, the first at epoch `every`; 0
            switches them off.
        images: Size of the fixed training subset, or None for "sized by the engine so that it
            stays within 15 % of an epoch".
    """

    every: int = 1
    images: int | None = None


@dataclass(frozen=True)
class EpochMetrics:
    """Measurements of one trial at one fidelity.

    Attributes:
        epoch: Number of epochs trained so far, 1 after the first.
        values: Values by the name of the metric, as in `trainables.metrics.names`.
    """

    epoch: int
    values: Mapping[str, float]


class Trial(Protocol):
    """One configuration being trained: what an engine may know and whom it reports to.

    Attributes:
        name: Study and trial, for logs: "powder-yolo/7".
        params: Every hyperparameter of this trial, fixed and sampled ones, as the user named them.
        sampled: Keys of `params` that were sampled (the others are fixed in the study file).
        data: Prepared data set. An engine trains on `train` and validates on `val`;
            it never opens `test`.
        epochs: Length of a full training; schedules are laid out for it even if the trial is
            stopped before.
        seed: Seed of every random number this trial draws.
        device: Accelerator, share of its memory, CPU threads.
        directory: This attempt's own scratch folder, absolute, existing.
        resume_from: Checkpoint folder of an interrupted run of this same trial, or None.
        train_metrics: Frequency and extent of the metrics of the training part.
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
            metrics: Metrics of the epoch just trained. Epochs come in order, each once.
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
    """Trained model that finds instances."""

    classes: tuple[str, ...]

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find instances in (H, W, 3) RGB images; one result an image, in order."""
        ...


@runtime_checkable
class Adjustable(Predictor, Protocol):
    """Trained model that can be told what to report; other models report what they always do.

    Attributes:
        reporting: Limits of its reports; setting it changes what it reports from then on. A model
            that judges regions looks at more of them where it may report more instances.
    """

    reporting: Reporting


@runtime_checkable
class Picker(Predictor, Protocol):
    """Trained model that picks particles from a map of probabilities.

    Attributes:
        confidence: Confidence at which the particle F1 was best on the validation part.
        radius_px: Radius of a particle.
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
        """Predict a map (H, W) float32 in [0, 1]: the probability that a pixel is a particle's.

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
        """Find the particles of such a map, most confident first, from `min_confidence` on."""
        ...


@dataclass(frozen=True)
class Framework:
    """A package that an engine trains with and segtune itself does without.

    Attributes:
        requirement: Distribution with the least version that will do: "torch>=2.7".
        module: Module whose import shows that it works; "" for the one of the distribution's name.
    """

    requirement: str
    module: str = ""

    @property
    def distribution(self) -> str:
        """Name under which it is installed.

        >>> Framework("segmentation-models-pytorch>=0.5").distribution
        'segmentation-models-pytorch'
        """
        return re.split(r"[^\w.-]", self.requirement, maxsplit=1)[0]

    @property
    def imported(self) -> str:
        """Module whose import shows that it works.

        >>> Framework("segmentation-models-pytorch>=0.5").imported
        'segmentation_models_pytorch'
        """
        return self.module or self.distribution.replace("-", "_")


@dataclass(frozen=True)
class Circumstances:
    """What all trainings of a study have in common besides hyperparameters.

    Attributes:
        data: Numbers of the data set.
        epochs: Length of a training that is never stopped.
        gpus: Number of GPUs there are.
    """

    data: DataFacts
    epochs: int
    gpus: int = 0


DefaultSpace = Callable[[Mapping[str, Any], "Circumstances | None"], tuple[str, Mapping[str, Any]]]
"""Function from what a study gives itself, and its data, to the name of the preset that is used by
default and to the domains that replace some of its keys; None drops one."""

Remarks = Callable[[Mapping[str, Any], PreparedDataset], list[str]]
"""Function from possible values (of a searched key a tuple) and the data set to sentences that
`plan` and `tune` show."""

DataRule = Callable[[Mapping[str, Any], frozenset[str], Circumstances], list[tuple[str, str]]]
"""Function from fixed values and the names of searched keys to (key, message) pairs of mistakes."""


@dataclass(frozen=True)
class EngineInfo:
    """Everything that is known of an engine without importing its framework.

    All that segtune does for one engine and not for another stands here: plan, doctor, export and
    model card ask for it and name no engine. Where a field is the name of a hyperparameter, ""
    says that the engine has none of the kind.

    Attributes:
        name: Name of the engine, as in the study file's `trainable`.
        params: Schema of its hyperparameters.
        metrics: Metric groups it fills, e.g. "seg_metrics" (see `trainables.metrics.names`).
        objective: Metric tuned by default.
        preset: Search-space preset used by default.
        isolated: Whether a trial runs in a child process of its own (False only for simulated
            engines, which need no framework).
        extra: Pip extra of segtune that installs its frameworks.
        install: Instruction that installs them where the extra is not enough.
        max_gpus: Most GPUs that one training can use.
        backbone: Hyperparameter that names the network or its size: the best-config store keeps
            a best configuration for each of its values.
        sizes: Other hyperparameters that say how large network and training pictures are: with
            the same values, epochs on the same data take about as long.
        frameworks: Packages it trains with: their versions go into every study's record, `segtune
            doctor` looks for them and imports them with `--deep`.
        licence: Sentence for the model card on what the framework's licence asks of whoever
            offers a model; "" where it asks nothing.
        max_det: Name of the hyperparameter that is the most instances found in a picture; an
            engine without one has no limit.
        match_radius: Name of the hyperparameter that is the largest distance of a pick from its
            particle in the metrics, in particle radii.
        native_config: Function from hyperparameters to the same configuration in the framework's
            own words, which is written beside an exported model as YAML; it raises ValueError for
            invalid ones. None where the framework has no such words.
        begins_from: Function from hyperparameters to what a training begins from, for the model
            card: "pre-trained weights (x.pt)". None where nothing is said.
        kept: Function from a model's metrics to the kind of weights that were kept, for the model
            card: "averaged". None where a training has one kind.
        opens_in: Sentence for the model card on how the framework itself opens an exported model,
            whose files in the framework's own form lie in the folder `native`; "" for none.
        trains_in: Command that trains by the framework alone, in the folder of an exported model;
            {epochs} and {seed} stand in it for what they are; "" for none.
        batch: Name of the hyperparameter that is the pictures of a step, of which a step cannot
            take more than there are to train on; "" where a step takes something else.
        data_problems: Function that finds values with which every training must fail, or None.
        default_space: Function that finds the preset used by default, fitted to a study's data and
            machine. None where it is `preset` as it is.
        remarks: Function that finds what should be known of trainings before they start, or None.
        boxes_suffice: Whether it can learn from objects whose boxes alone are known.
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
    frameworks: tuple[Framework, ...] = ()
    licence: str = ""
    max_det: str = "max_det"
    match_radius: str = "match_radius"
    native_config: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    begins_from: Callable[[Mapping[str, Any]], str] | None = None
    kept: Callable[[Mapping[str, float]], str] | None = None
    opens_in: str = ""
    trains_in: str = ""
    batch: str = ""
    data_problems: DataRule | None = None
    default_space: DefaultSpace | None = None
    remarks: Remarks | None = None
    boxes_suffice: bool = False

    @property
    def how_to_install(self) -> str:
        """Instruction for the user who lacks the frameworks; "" where there is nothing to do."""
        if self.install or not (self.extra or self.frameworks):
            return self.install
        needed = [framework.requirement for framework in self.frameworks]
        named = [f"segtune[{self.extra}]"] if self.extra else needed
        return f"pip install {' '.join(map(repr, named))}"

    def useful_gpus(self, params: Mapping[str, Any]) -> int:
        """Most GPUs that one training can use: no more than a step has pictures.

        Args:
            params: Hyperparameters of the training, as for `value`.
        """
        batch = self.value(self.batch, params)
        return min(self.max_gpus, batch) if isinstance(batch, int) else self.max_gpus

    def value(self, key: str, params: Mapping[str, Any]) -> Any:
        """Value that a training has for a hyperparameter; None where the engine has no such one.

        Args:
            key: Name of a hyperparameter.
            params: Hyperparameters as in a study file; what is not given has today's default.
                Nothing is checked, so that they may be those of an earlier version.
        """
        fields = self.params.model_fields
        return params.get(key, fields[key].default if key in fields else None)


class Engine(Protocol):
    """A model family: a folder in `trainables/engines/` and a line in `trainables/registry.py`."""

    name: ClassVar[str]

    def train(self, trial: Trial) -> None:
        """Train one configuration, reporting each epoch.

        A trial with no epoch left to train (`Trial.train_to`) only draws its artifacts.

        Raises:
            TrialStopped: As raised by `Trial.report`, after the artifacts are written.
            EarlyStopped: Before epoch `trial.epochs`, after the artifacts are written.
            InfeasibleParams: The configuration cannot train.
            OutOfMemory: It does not fit into its share of memory; a smaller `micro_batch` may.
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
