"""Training of one trial, from its first epoch or its checkpoint through all rounds to artifacts."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Final

import torch

from trainables.contract import (
    Diverged,
    EarlyStopped,
    EpochMetrics,
    InfeasibleParams,
    Trial,
    TrialStopped,
)
from trainables.datasets.prepared import check_pictures
from trainables.datasets.views.grey import GreyPicture
from trainables.engines.unet_selftraining.artifacts import keep_artifacts, write_round
from trainables.engines.unet_selftraining.checkpoint import (
    Memory,
    SavedUnet,
    restore,
    save_checkpoint,
)
from trainables.engines.unet_selftraining.data import (
    Lessons,
    Micrographs,
    forget_far,
    make_lessons,
    open_micrographs,
    whole_target,
)
from trainables.engines.unet_selftraining.effective import Built, check_effective
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import (
    MapReading,
    probabilities,
    scene_picture,
)
from trainables.engines.unet_selftraining.ranks import Leader, leader_rank
from trainables.engines.unet_selftraining.rounds.plan import phase_of, phase_starts
from trainables.engines.unet_selftraining.rounds.rounds import (
    PSEUDO_FOLDER,
    Taught,
    Teaching,
    best_epoch,
    round_record,
    standing,
    teach,
)
from trainables.engines.unet_selftraining.run import UnetRun, Weights, choose_kernels, within_memory
from trainables.engines.unet_selftraining.validation import MeasuredMicrographs, measure
from trainables.goal import Goal
from trainables.loop.asked import note_ignored
from trainables.loop.checkpoint import read_history
from trainables.loop.device import forget_peak_memory, peak_memory_gb, use_device
from trainables.loop.epochs import measured_train_images, train_metrics_due
from trainables.loop.finds import ShownFinds, keep_finds, shown_picks
from trainables.loop.patience import ran_out
from trainables.loop.split.parts import note_parts
from trainables.metrics.overlays.particle_scores import Matching
from trainables.metrics.scores import overfit_gap
from trainables.metrics.subset import train_subset

_TRAINING: Final = 3
"""Cost of a training step in predictions: forward, and backward, which takes twice as long."""

_FLIPS: Final = 4
"""Number of predictions that `flip_average` makes of a picture."""


def train_trial(trial: Trial, params: UnetParams) -> None:
    """Train a trial, reporting each epoch, and keep its artifacts, also when it is stopped.

    Raises:
        TrainingError: As `trainables.contract.Engine.train` says.
    """
    problems = [
        *UnetParams.problems(params.model_dump(), frozenset()),
        *UnetParams.length_problems(params.model_dump(), trial.epochs),
    ]
    if problems:
        raise InfeasibleParams("; ".join(f"{key}: {message}" for key, message in problems))
    rank = leader_rank(trial)
    device = torch.device(trial.device.name)
    use_device(rank.device(trial.device))
    choose_kernels(params, device)
    with within_memory(params, trial.device):
        run = UnetRun(trial, params, rank)
    with Leader(trial, params, run) as leader:
        session = _Session(trial, params, run, open_micrographs(trial, params), leader)
        ignored = _ignored(trial, params)
        built = Built(run, session.lessons(0), session.teaching, session.starts, session.reading)
        check_effective(built, params, ignored)
        _note_what_to_know(trial, params, ignored)
        if trial.device.gpus == 1:
            note_parts(trial, params.batch_size, _inexact_in_parts(run))
        session.train()


@dataclass
class _Session:
    """Training with what has come of it so far."""

    trial: Trial
    params: UnetParams
    run: UnetRun
    micrographs: Micrographs
    leader: Leader
    history: list[EpochMetrics] = field(default_factory=list)
    memory: Memory = field(default_factory=lambda: Memory({}, {}))

    def __post_init__(self) -> None:
        self.reading = MapReading(self.params, self.micrographs.radius_px, self.run.device)
        params = self.params
        self.teaching = Teaching.of(params)
        self.starts = phase_starts(self.trial.epochs, params.rounds, params.supervised_fraction)
        self._taught: tuple[int, Taught] | None = None

    def train(self) -> None:
        try:
            self._train_and_keep()
        finally:  # as large as all pictures together, and made again from the teacher if need be
            shutil.rmtree(self.trial.directory / PSEUDO_FOLDER, ignore_errors=True)

    def _train_and_keep(self) -> None:
        if self.trial.resume_from is not None:
            self.history = read_history(self.trial.resume_from)
            self.memory = restore(self.run, self.trial.resume_from, self.trial.directory)
        try:
            for epoch in range(len(self.history), self.trial.train_to):
                self._check_patience(epoch)
                with within_memory(self.params, self.trial.device):
                    self._train_epoch(epoch)
        except (TrialStopped, EarlyStopped):
            self._keep_artifacts()
            raise
        self._keep_artifacts()

    def lessons(self, phase: int) -> Lessons:
        """Make the batches of a phase."""
        pseudo = self._labels(phase).labels if phase else None
        return make_lessons(self.micrographs, self.params, self.trial.seed % 2**31, pseudo)

    def _check_patience(self, epoch: int) -> None:
        """End the trial if the patience of its phase has run out; losses begin anew in each phase.

        Raises:
            EarlyStopped: The patience has run out before this 0-based epoch.
        """
        first = self.starts[phase_of(epoch, self.starts)]
        losses = [entry.values["val/loss"] for entry in self.history[first:]]
        if ran_out(losses, self.params.early_stopping_patience):
            raise EarlyStopped(
                f"no better validation loss in {self.params.early_stopping_patience} epochs, "
                f"stopped after epoch {len(self.history)}"
            )

    def _train_epoch(self, epoch: int) -> None:
        forget_peak_memory(self.run.device)
        start = time.perf_counter()
        phase = phase_of(epoch, self.starts)
        if phase and epoch == self.starts[phase]:
            self._begin_round()
        loss = self.leader.train_epoch(self.lessons(phase), epoch)
        measured = self._measure(self.micrographs.validation)
        values = {
            "epoch": epoch + 1,
            "round": phase,
            "train/loss": loss,
            "val/loss": measured.loss,
            **measured.metrics(),
            **self._train_metrics(epoch, measured),
            "lr": self.run.learning_rate,
            "gpu_memory_gb": peak_memory_gb(self.run.device),
            "epoch_seconds": time.perf_counter() - start,
        }
        check_pictures(self.trial.data)  # else the epoch says nothing; before a checkpoint has it
        self._remember(EpochMetrics(epoch + 1, values), measured)
        if epoch + 1 in (*self.starts, self.trial.epochs):
            self._write_round(phase)
        self.trial.report(self.history[-1], self._save(measured))

    def _begin_round(self) -> None:
        """Go on from the best model so far, which is also the teacher."""
        self.memory.teacher = self.memory.best
        self.run.go_on_from(self.memory.best)

    def _labels(self, phase: int) -> Taught:
        """Make the labels of a round from its teacher, once in an attempt."""
        if self._taught is None or self._taught[0] != phase:
            folder = self.trial.directory / PSEUDO_FOLDER
            with _holding(self.run.validated, self.memory.teacher):
                taught = teach(
                    self.run.validated, self.micrographs, self.reading, self.teaching, phase, folder
                )
            self._taught = phase, taught
            if not taught.counts["positive"]:
                self.trial.note(
                    f"round {phase}: no pixel is above positive_threshold but those that humans "
                    "marked; the round learns from these alone"
                )
            if taught.ringed and not self.teaching.ringed:
                self.trial.note(
                    f"round {phase}: next to no pixel is below negative_threshold; rings around "
                    "the marked particles are background, or the round would learn particles alone"
                )
        return self._taught[1]

    def _remember(self, metrics: EpochMetrics, measured: MeasuredMicrographs) -> None:
        goal = self.trial.goal
        best = best_epoch(self.history, goal)
        self.history.append(metrics)
        own = best_epoch(self.history[self._phase_start(metrics.epoch) : -1], goal)
        if _better(metrics, best, goal):
            self.memory.best, self.memory.phase_best = _copied(self.run.validated), {}
            self.memory.finds = self._shown(measured).plain()
        elif _better(metrics, own, goal):
            self.memory.phase_best = _copied(self.run.validated)

    def _shown(self, measured: MeasuredMicrographs) -> ShownFinds:
        """Finds of the last epoch in a few micrographs of the validation part."""
        records = [scene.record for scene in self.micrographs.validation]
        matching = Matching(measured.particles.confidence, self.params.match_radius)
        radius = self.micrographs.radius_px
        return shown_picks(records, measured.picks, self.trial.data, matching, radius)

    def _phase_start(self, epoch: int) -> int:
        """First epoch, 0-based, of the phase of an epoch, 1-based."""
        return self.starts[phase_of(epoch - 1, self.starts)]

    def _measure(
        self, scenes: Sequence[GreyPicture], confidence: float | None = None
    ) -> MeasuredMicrographs:
        run, target = self.run, self.micrographs.target
        try:
            return measure(
                run.validated, scenes, self.reading, run.loss, target, confidence=confidence
            )
        except FloatingPointError as error:
            raise Diverged(f"{error} in epoch {len(self.history) + 1}") from error

    def _train_metrics(self, epoch: int, validated: MeasuredMicrographs) -> dict[str, float]:
        """Measure the training subset, and its lead over validation; {} where that is not due."""
        if not train_metrics_due(self.trial, epoch):
            return {}
        measured = self._measure(self._subset, validated.particles.confidence)
        gap, _ = overfit_gap(measured.particles.f1, validated.particles.f1)
        return {
            **measured.metrics("train_"),
            "overfit_gap": gap,
            "train_metrics_images": len(self._subset),
        }

    @cached_property
    def _subset(self) -> tuple[GreyPicture, ...]:
        """Training pictures that are measured, always the same ones of a trial."""
        images = self.trial.data.images("train")
        chosen = train_subset(images, self._affordable(), self.trial.seed)
        scenes = {scene.record.id: scene for scene in self.micrographs.labelled}
        return tuple(scenes[image.id] for image in chosen)

    def _affordable(self) -> int:
        """Number of training pictures to measure, from the pixels that go through the network.

        A clock would choose others on another day, and with them other metrics.
        """
        sampler = self.lessons(0).sampler
        passes = _FLIPS if self.params.flip_average else 1
        labelled, validation = (
            passes * sum(scene.grey.size for scene in scenes)
            for scenes in (self.micrographs.labelled, self.micrographs.validation)
        )
        epoch = _TRAINING * sampler.n_tiles * sampler.size**2 + validation
        each = labelled / len(self.micrographs.labelled)
        return measured_train_images(self.trial, epoch, each, len(self.micrographs.validation))

    def _save(self, measured: MeasuredMicrographs) -> Path:
        data = self.trial.data
        model = SavedUnet(
            weights=self.run.validated.state_dict(),
            classes=list(data.classes),
            category=_commonest(self.trial),
            radius_px=self.micrographs.radius_px,
            confidence=measured.particles.confidence,
            epoch=len(self.history),
            params=self.params.model_dump(),
            um_per_px=_pixel_size(self.micrographs.labelled),
        )
        return save_checkpoint(self.run, model, self.memory, self.history, self.trial.directory)

    def _write_round(self, phase: int) -> None:
        """Record a phase, and draw its best epoch on the first training picture."""
        scene = self.micrographs.labelled[0]
        taught = self._labels(phase) if phase else None
        labels = [whole_target(scene, self.micrographs.target)]
        if self.teaching.ringed:
            forget_far(labels[0], whole_target(scene, self.teaching.ring))
        if taught is not None:
            labels.append(taught.labels[scene.record.id].astype("float32"))
        picture = scene_picture(scene)
        drawn, weights = self._drawn()
        with _holding(self.run.validated, weights):
            probability = probabilities(self.reading.logits(self.run.validated, picture))
        confidence = drawn.values["particle_metrics/confidence"]
        record = round_record(phase, self.starts, self.history, taught, self.trial.goal)
        write_round(
            self.trial.directory,
            {**record, "drawn_epoch": drawn.epoch},
            picture,
            labels,
            probability,
            self.reading.picks(probability).at_least(confidence),
        )

    def _drawn(self) -> tuple[EpochMetrics, Weights]:
        """The best epoch of the running phase and its weights.

        The last one where an earlier segtune wrote the checkpoint and kept no others.
        """
        last, goal = self.history[-1], self.trial.goal
        own = best_epoch(self.history[self._phase_start(last.epoch) :], goal)
        assert own is not None
        if own is best_epoch(self.history, goal):
            return own, self.memory.best
        if self.memory.phase_best:
            return own, self.memory.phase_best
        return last, self.run.validated.state_dict()

    def _keep_artifacts(self) -> None:
        if self.history:
            self._write_round(phase_of(len(self.history) - 1, self.starts))
        keep_artifacts(self.trial, self.params, self.history)
        best = best_epoch(self.history, self.trial.goal)
        if best is not None:
            keep_finds(self.trial, best.epoch, ShownFinds.of_plain(self.memory.finds))


@contextlib.contextmanager
def _holding(network: torch.nn.Module, weights: Weights) -> Iterator[None]:
    """Let a network have other weights for a while."""
    own = _copied(network)
    network.load_state_dict(dict(weights))
    try:
        yield
    finally:
        network.load_state_dict(dict(own))


def _better(metrics: EpochMetrics, than: EpochMetrics | None, goal: Goal | None) -> bool:
    """Whether an epoch is as good as an earlier one or better, or there is no earlier one."""
    return than is None or standing(metrics.values, goal) >= standing(than.values, goal)


def _copied(network: torch.nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _pixel_size(scenes: Sequence[GreyPicture]) -> float | None:
    """Median side of a pixel in um, of the pictures of which it is known."""
    known = [scene.record.um_per_px for scene in scenes if scene.record.um_per_px is not None]
    return median(known) if known else None


def _commonest(trial: Trial) -> int:
    """Class (0-based) of most training objects; a U-Net tells particles from background only."""
    objects = trial.data.objects()["train"]
    return max(range(len(trial.data.classes)), key=lambda i: objects[trial.data.classes[i]])


def _ignored(trial: Trial, params: UnetParams) -> dict[str, str]:
    """Keys without effect in this trial, defaults included, with the reason."""
    ignored = UnetParams.without_effect(params.model_dump())
    if trial.device.name == "cpu":
        ignored |= {"amp": "there is no mixed precision on the CPU"}
    return ignored


def _inexact_in_parts(run: UnetRun) -> str:
    """Reason why batches in parts train something else, or ""."""
    if run.joint_norms:
        return "its batch norms, and its losses, see a part alone"
    return "dropout leaves out others" if run.params.dropout else ""


def _note_what_to_know(trial: Trial, params: UnetParams, ignored: dict[str, str]) -> None:
    note_ignored(trial, ignored)
    if params.batch_size < trial.device.gpus:
        trial.note(
            f"batch_size={params.batch_size} leaves {trial.device.gpus - params.batch_size} of the "
            f"{trial.device.gpus} GPUs without work; a batch is split over all of them"
        )
    classes = trial.data.classes
    if len(classes) > 1:
        trial.note(
            f"particles of all {len(classes)} classes are picked as one and reported as "
            f"{classes[_commonest(trial)]}; this engine does not tell classes apart"
        )
