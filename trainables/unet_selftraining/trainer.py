"""The network in training: its weights, their average, the optimizer, and an epoch of steps.

Nothing is random that is not seeded anew in each epoch, so there is no random state to save:
(seed, epoch) gives it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import Device, Diverged, Trial
from trainables.loop.averaging import WeightAverage
from trainables.loop.device import MOST_WORKERS, memory_errors
from trainables.loop.optimizers import build_optimizer, set_learning_rate
from trainables.loop.schedule import Schedule
from trainables.unet_selftraining.data import Batch, Lessons
from trainables.unet_selftraining.losses import SegmentationLoss
from trainables.unet_selftraining.network import NetworkSettings, build_network
from trainables.unet_selftraining.params import UnetParams

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
    """One training, to be driven by `train_epoch`.

    Attributes:
        params: Its hyperparameters.
        device: Where it runs.
        network: What the optimizer moves.
        average: The moving average of its weights, or None.
        optimizer: Groups know their `initial_lr`.
        scaler: Of mixed precision; does nothing without.
        schedule: Of the learning rate, over all phases.
        loss: What is minimised.
        workers: Loader threads.
    """

    def __init__(self, trial: Trial, params: UnetParams) -> None:
        """Build it.

        Raises:
            InfeasibleParams: There is no such network, or its length does not fit.
        """
        self.params = params
        self.device = torch.device(trial.device.name)
        self._seed = trial.seed % 2**31
        self.schedule = Schedule.of(params, trial.epochs)
        self.loss = build_loss(params)
        self.workers = loader_threads(params.workers, trial.device)
        torch.manual_seed(_mixed(self._seed, 0))
        weights = None if params.weights is None else Path(params.weights)
        network = build_network(network_settings(params), weights, download=params.download)
        self.network = network.to(self.device)
        if self.device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.average = WeightAverage(self.network, params.ema_decay) if params.ema_decay else None
        self.optimizer = build_optimizer(self.network, params)
        amp = params.amp and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp)

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

    def train_epoch(self, lessons: Lessons, epoch: int) -> float:
        """Train a 0-based epoch; the mean loss of its batches.

        Raises:
            Diverged: It is not finite.
        """
        torch.manual_seed(_mixed(self._seed, 1 + epoch))
        self.network.train()
        batches = lessons.batches(epoch, self.workers)
        n_steps = -(-len(lessons) // self.params.batch_multiplier)
        total = torch.zeros((), device=self.device)
        with contextlib.closing(batches):
            for step, group in enumerate(_groups(batches, self.params.batch_multiplier)):
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
        for images, labels in batches:
            loss = self._forward(images, labels)
            self.scaler.scale(loss / len(batches)).backward()
            total += loss.detach()
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
            logits = self.network(images)
        return self.loss(logits, labels.to(self.device, non_blocking=True))


def loader_threads(wanted: int | None, device: Device) -> int:
    """Loader threads: those asked for, else one for every CPU that is not the training's."""
    return wanted or min(max(1, device.cpus - 1), MOST_WORKERS)


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(islice(batches, size)):
        yield group


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def within_memory(params: UnetParams, device: torch.device) -> AbstractContextManager[None]:
    """Say which settings ask for too much memory, if they do."""
    size = f"batch_size={params.batch_size} at tile_px={params.tile_px} and width={params.width}"
    return memory_errors(device, size, "one of them")
