"""The network in training: its weights, their average, the optimizer, and an epoch of steps.

Nothing is random that is not seeded anew in each epoch, so there is no random state to save:
(seed, epoch) gives it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.contract import Device, Diverged, Trial
from trainables.engines.unet_selftraining.data import Batch, Lessons
from trainables.engines.unet_selftraining.network.losses import SegmentationLoss
from trainables.engines.unet_selftraining.network.network import (
    NetworkSettings,
    UNet,
    build_network,
)
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.loop.averaging import WeightAverage
from trainables.loop.device import MOST_WORKERS, memory_errors
from trainables.loop.optimizers import build_optimizer, set_learning_rate
from trainables.loop.schedule import EpochSchedule
from trainables.loop.shared import own, share_norms, summed
from trainables.loop.team import ALONE, Rank

Weights = Mapping[str, Tensor]


def network_settings(params: UnetParams) -> NetworkSettings:
    """What the network of these hyperparameters looks like."""
    return NetworkSettings(
        encoder=params.encoder,
        depth=params.depth,
        width=params.width,
        norm=params.norm,
        dropout=params.dropout,
        attention=params.attention,
    )


def build_loss(params: UnetParams) -> SegmentationLoss:
    """The loss of these hyperparameters."""
    return SegmentationLoss(
        name=params.loss,
        alpha=params.focal_alpha,
        pos_weight=params.pos_weight,
        gamma=params.focal_gamma,
        focal_weight=params.focal_weight,
        tversky_fp=params.tversky_fp,
        tversky_fn=params.tversky_fn,
        smoothing=params.smoothing,
    )


class UnetRun:
    """One training, or what one of several processes does of it; driven by `train_epoch`.

    Attributes:
        params: Its hyperparameters.
        rank: Which of the processes of the training this is.
        device: Where it runs.
        network: What the optimizer moves.
        average: The moving average of its weights, or None.
        optimizer: Groups know their `initial_lr`.
        scaler: Of mixed precision; does nothing without.
        schedule: Of the learning rate, over all phases.
        loss: What is minimised.
        workers: Loader threads.
        batch_multiplier: Batches whose gradients a step takes.
        starts: How often it has gone on from other weights than its last ones.
        wait: Called before each step of the optimizer, when all that it needs is on its way.
    """

    def __init__(self, trial: Trial, params: UnetParams, rank: Rank = ALONE) -> None:
        """Build it.

        Raises:
            InfeasibleParams: There is no such network, or its length does not fit.
        """
        device = rank.device(trial.device)
        self.params = params
        self.rank = rank
        self.device = torch.device(device.name)
        self._seed = trial.seed % 2**31
        self.schedule = EpochSchedule.of(params, trial.epochs)
        self.loss = build_loss(params)
        self.workers = loader_threads(params.workers, device)
        self.batch_multiplier = params.batch_multiplier
        torch.manual_seed(_mixed(self._seed, 0))
        weights = None if params.weights is None else Path(params.weights)
        network = build_network(network_settings(params), weights, download=params.download)
        self.network = network.to(self.device)
        if rank.of > 1:
            share_norms(self.network, self.device)
        if self.device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.average = WeightAverage(self.network, params.ema_decay) if params.ema_decay else None
        self.optimizer = build_optimizer(self.network, params)
        amp = params.amp and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp)
        self.starts = 0
        self.wait: Callable[[], None] = lambda: None
        self._trained: nn.Module = self.network

    @property
    def validated(self) -> nn.Module:
        """The network that is measured and kept: the average where there is one."""
        return self.network if self.average is None else self.average.model

    @property
    def learning_rate(self) -> float:
        """At this moment."""
        return float(self.optimizer.param_groups[0]["lr"])

    def go_on_from(self, weights: Weights) -> None:
        """Begin a round with these weights; the optimizer forgets what led elsewhere."""
        self.network.load_state_dict(dict(weights))
        if self.average is not None:
            self.average.load_state_dict({"weights": dict(weights), "steps": 0})
        self.optimizer = build_optimizer(self.network, self.params)
        self.starts += 1

    def save_step_state(self, file: Path) -> Path:
        """Write what a step needs besides the weights."""
        state = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        torch.save(state, file)
        return file

    def load_step_state(self, file: Path) -> None:
        """Take over what another process has saved."""
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.optimizer = build_optimizer(self.network, self.params)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def join_weights(self) -> None:
        """Take over the leader's weights, and average gradients with all processes from now on.

        All processes call it at once.
        """
        self._trained = DistributedDataParallel(
            self.network,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            find_unused_parameters=not isinstance(self.network, UNet),
        )

    def train_epoch(self, lessons: Lessons, epoch: int) -> float:
        """Train a 0-based epoch; the mean loss of its batches.

        Raises:
            Diverged: It is not finite.
        """
        torch.manual_seed(_mixed(self._seed, 1 + epoch, self.rank.number))
        self.network.train()
        pinned = self.device.type == "cuda"
        batches = lessons.batches(epoch, self.workers, self.rank, pinned=pinned)
        n_steps = -(-len(lessons) // self.batch_multiplier)
        total = torch.zeros((), device=self.device)
        with contextlib.closing(batches):
            for step, group in enumerate(_groups(batches, self.batch_multiplier)):
                set_learning_rate(self.optimizer, self.schedule.factor(epoch + step / n_steps))
                total += self._step(group)
        mean = float(total) / len(lessons)
        if not np.isfinite(mean):
            raise Diverged(f"the training loss is {mean} in epoch {epoch + 1}")
        return mean

    def _step(self, batches: Sequence[Batch]) -> Tensor:
        """Learn from batches whose gradients are averaged; the sum of their losses."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for number, (images, labels) in enumerate(batches, start=1):
            with self._gradients(last=number == len(batches)):
                loss = self._forward(images, labels)
                self.scaler.scale(loss / len(batches)).backward()
            total += loss.detach()
        self.wait()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.network)
        return total

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        images = images.to(self.device, non_blocking=True)
        if self.device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.float16, enabled=self.scaler.is_enabled()):
            logits = self._trained(images)
        sums = own if self.rank.of == 1 else summed
        return self.loss(logits, labels.to(self.device, non_blocking=True), sums)

    def _gradients(self, *, last: bool) -> AbstractContextManager[None]:
        """Processes share their gradients once a step, with its last batch."""
        if last or not isinstance(self._trained, DistributedDataParallel):
            return contextlib.nullcontext()
        sharing_none: AbstractContextManager[None] = self._trained.no_sync()
        return sharing_none


def loader_threads(wanted: int | None, device: Device) -> int:
    """Loader threads: those asked for, else one for every CPU that is not the training's."""
    return wanted or min(max(1, device.cpus - 1), MOST_WORKERS)


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(islice(batches, size)):
        yield group


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def choose_kernels(params: UnetParams, device: torch.device) -> None:
    """Let this process use the fastest kernels, or those that repeat themselves to the bit."""
    repeat = params.deterministic and device.type == "cuda"
    if repeat:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.backends.cudnn.benchmark = not repeat  # tiles are all of one size
    torch.backends.cudnn.deterministic = repeat
    torch.use_deterministic_algorithms(repeat, warn_only=True)


def within_memory(params: UnetParams, device: torch.device) -> AbstractContextManager[None]:
    """Say which settings ask for too much memory, if they do."""
    size = f"batch_size={params.batch_size} at tile_px={params.tile_px} and width={params.width}"
    return memory_errors(device, size, "one of them")
