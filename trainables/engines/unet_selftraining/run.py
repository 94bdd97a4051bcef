"""Network in training: its weights, their average, the optimizer, and an epoch of steps.

Nothing is random that is not seeded anew in each epoch, so there is no random state to save:
(seed, epoch) gives it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
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
from trainables.loop.split.parts import parts_of, whole_sums
from trainables.loop.split.shared import Sum, own, share_norms, summed
from trainables.loop.split.team import ALONE, Rank

Weights = Mapping[str, Tensor]


def network_settings(params: UnetParams) -> NetworkSettings:
    """Form of the network that hyperparameters ask for."""
    return NetworkSettings(
        encoder=params.encoder,
        depth=params.depth,
        width=params.width,
        norm=params.norm,
        dropout=params.dropout,
        attention=params.attention,
    )


def build_loss(params: UnetParams) -> SegmentationLoss:
    """Make the loss that hyperparameters ask for."""
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
    """One training, or one process's part of it; driven by `train_epoch`.

    Attributes:
        params: Hyperparameters of the training.
        rank: Rank of this process among those of the training.
        device: Device that it runs on.
        network: Network whose weights the optimizer moves.
        average: Moving average of its weights, or None.
        optimizer: Optimizer, whose groups know their `initial_lr`.
        scaler: Gradient scaler of mixed precision; does nothing without.
        schedule: Schedule of the learning rate over all phases.
        loss: Loss that is minimised.
        workers: Number of loader threads.
        batch_multiplier: Number of batches whose gradients a step takes.
        micro_batch: Most tiles that go through the network at once; 0 for whole batches, always
            over several GPUs, each of which has its part of a batch anyway.
        starts: Number of times it has gone on from other weights than its last ones.
        wait: Function called before each step of the optimizer, when all that it needs is on its
            way.
    """

    def __init__(self, trial: Trial, params: UnetParams, rank: Rank = ALONE) -> None:
        """Build network, average, optimizer, schedule and loss.

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
        self.micro_batch = device.micro_batch if rank.of == 1 else 0
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
        """Network that is measured and kept: the average where there is one."""
        return self.network if self.average is None else self.average.model

    @property
    def learning_rate(self) -> float:
        """Learning rate at this moment."""
        return float(self.optimizer.param_groups[0]["lr"])

    def go_on_from(self, weights: Weights) -> None:
        """Begin a round with given weights; the optimizer forgets what led elsewhere."""
        self.network.load_state_dict(dict(weights))
        if self.average is not None:
            self.average.load_state_dict({"weights": dict(weights), "steps": 0})
        self.optimizer = build_optimizer(self.network, self.params)
        self.starts += 1

    def save_step_state(self, file: Path) -> Path:
        """Write the state that a step needs besides the weights, for another process."""
        state = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        torch.save(state, file)
        return file

    def load_step_state(self, file: Path) -> None:
        """Take over the state that another process has written."""
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
        """Train a 0-based epoch, and return the mean loss of its batches.

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
        """Learn from batches, averaging their gradients, and return the sum of their losses."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for number, (images, labels) in enumerate(batches, start=1):
            with self._gradients(last=number == len(batches)):
                total += self._backward(images, labels, len(batches))
        self.wait()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.network)
        return total

    @property
    def joint_norms(self) -> bool:
        """Whether its norms see all tiles of a batch together."""
        return any(isinstance(module, _BatchNorm) for module in self.network.modules())

    def _backward(self, images: Tensor, labels: Tensor, n_summed: int) -> Tensor:
        """Add a batch's part of a step's gradient, and return the batch's loss, without gradient.

        In parts, each has the gradient of the whole batch's loss; with batch norms, which differ
        in parts anyway, that of its own loss.
        """
        parts = parts_of(len(images), self.micro_batch)
        shares = [1.0] * len(parts)
        losses = [partial(self._forward, images[part], labels[part]) for part in parts]
        sums: list[Sum] = [own if self.rank.of == 1 else summed] * len(parts)
        if len(parts) > 1 and self.joint_norms:
            shares = [(part.stop - part.start) / len(images) for part in parts]
        elif len(parts) > 1:
            sums = whole_sums(losses)
        total = torch.zeros((), device=self.device)
        for loss_of, of_batch, share in zip(losses, sums, shares, strict=True):
            loss = loss_of(of_batch)
            self.scaler.scale(loss * share / n_summed).backward()
            total += loss.detach() * (share if self.joint_norms else 1 / len(parts))
        return total

    def _forward(self, images: Tensor, labels: Tensor, sums: Sum) -> Tensor:
        images = images.to(self.device, non_blocking=True)
        if self.device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.float16, enabled=self.scaler.is_enabled()):
            logits = self._trained(images)
        return self.loss(logits, labels.to(self.device, non_blocking=True), sums)

    def _gradients(self, *, last: bool) -> AbstractContextManager[None]:
        """Hold back the exchange of gradients between processes until a step's last batch."""
        if last or not isinstance(self._trained, DistributedDataParallel):
            return contextlib.nullcontext()
        sharing_none: AbstractContextManager[None] = self._trained.no_sync()
        return sharing_none


def loader_threads(wanted: int | None, device: Device) -> int:
    """Number of loader threads: as asked for, else one for each CPU that is not the training's."""
    return wanted or min(max(1, device.cpus - 1), MOST_WORKERS)


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(islice(batches, size)):
        yield group


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def choose_kernels(params: UnetParams, device: torch.device) -> None:
    """Let this process use the fastest kernels, or those that repeat themselves to the bit.

    The CPU's repeat themselves anyway, but oneDNN's sum in another order with each number of
    threads, which Adam makes much of; torch's own do not.
    """
    repeat = params.deterministic
    onednn = not (repeat and device.type == "cpu")
    torch.backends.mkldnn.enabled = onednn  # type: ignore[assignment]  # a property of the module
    if repeat and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.backends.cudnn.benchmark = not repeat  # tiles are all of one size
    torch.backends.cudnn.deterministic = repeat
    torch.use_deterministic_algorithms(repeat, warn_only=True)


def within_memory(params: UnetParams, device: Device) -> AbstractContextManager[None]:
    """Turn running out of memory into an error that names the settings to lower."""
    size = f"batch_size={params.batch_size} at tile_px={params.tile_px} and width={params.width}"
    batch = params.batch_size if device.gpus == 1 else 0  # over several it cannot be split more
    return memory_errors(device, size, "one of them", batch)
