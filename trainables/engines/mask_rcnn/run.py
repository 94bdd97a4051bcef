"""Training on Detectron2's parts, epoch by epoch.

Network, losses, optimizer groups and augmentations are Detectron2's own. The loop is ours, as its
own counts in iterations, cannot be resumed exactly and writes its own logs and checkpoints; a
benchmark shows that it costs nothing (`benchmarks/mask_rcnn_loop.py`).

Nothing of a training is random that is not seeded anew in each epoch, so there is no random state
to save: (seed, epoch) gives it.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainables.contract import Device, Diverged, InfeasibleParams, Trial
from trainables.engines.mask_rcnn.data import NetworkInput, training_loader
from trainables.engines.mask_rcnn.network.config import build_config, read_config
from trainables.engines.mask_rcnn.network.framework import (
    EventStorage,
    build_model,
    get_default_optimizer_params,
)
from trainables.engines.mask_rcnn.network.weights import find_weights
from trainables.engines.mask_rcnn.network.zoo import UNTRAINED
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.schedule import StepSchedule, plan_schedule
from trainables.loop.averaging import WeightAverage
from trainables.loop.device import loader_processes, memory_errors
from trainables.loop.epochs import finite
from trainables.loop.optimizers import set_learning_rate
from trainables.loop.split.replicas import Replicas

Losses = dict[str, torch.Tensor]


@dataclass
class MemberNetwork:
    """Network in training; a `combo` has two.

    Attributes:
        backbone: Name of its backbone.
        config: Detectron2's configuration of it.
        net: Network itself.
        optimizer: Optimizer of its trained weights; groups know their `initial_lr`.
        scaler: Gradient scaler of mixed precision; does nothing without.
        average: Moving average of its weights, or None.
        weights: Weights that its training starts or started from: `none`, `coco` or a file.
        taken: Sentence on what was taken from there now, or "".
        replicas: The network on all devices of the trial.
    """

    backbone: str
    config: Any
    net: Any
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    weights: str
    taken: str
    replicas: Replicas

    @property
    def validated(self) -> Any:
        """Network that is measured and kept: the average where there is one."""
        return self.net if self.average is None else self.average.model

    def step(self, batch: Sequence[NetworkInput], clip: float, seed: Sequence[int] = ()) -> Losses:
        """Learn from a batch, of which `seed` are numbers of its own; Detectron2's losses."""
        self.optimizer.zero_grad(set_to_none=True)

        def loss_of(net: Any, part: slice) -> tuple[torch.Tensor, Losses]:
            losses = self._losses(net, batch[part])
            total = sum(losses.values(), torch.zeros((), device=net.device))
            return self.scaler.scale(total * ((part.stop - part.start) / len(batch))), losses

        sums = self.replicas.backward(len(batch), loss_of, seed)
        if clip:
            self.scaler.unscale_(self.optimizer)
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.net)
        return sums

    def _losses(self, net: Any, batch: Sequence[NetworkInput]) -> Losses:
        with torch.autocast(net.device.type, torch.float16, enabled=self.scaler.is_enabled()):
            losses: Losses = net(list(batch))
        return losses


def build_member(
    params: MaskRcnnParams,
    backbone: str,
    n_classes: int,
    device: Device,
    seed: int,
    config: str | None = None,
) -> MemberNetwork:
    """Build a network with its optimizer.

    Args:
        params: Hyperparameters of the training.
        backbone: Backbone of the network.
        n_classes: Number of classes of the data set.
        device: Devices of the trial; it goes to the first.
        seed: Seed of its random weights.
        config: Detectron2's configuration, YAML, of a training that goes on: its weights come from
            its checkpoint, not from where they once came from.

    Raises:
        InfeasibleParams: The weights do not fit, or Detectron2 refuses the configuration.
        OSError: The model zoo cannot be reached.
    """
    torch.manual_seed(_mixed(seed, 0))
    cfg, net, taken = _build_network(params, backbone, n_classes, config)
    first = torch.device(device.name)
    net = net.to(first)
    average = None
    if params.ema_decay:
        average = WeightAverage(net, params.ema_decay, warm_up=params.ema_warmup)
    optimizer = build_optimizer(net, params)
    amp = params.amp and first.type == "cuda"
    scaler = torch.amp.GradScaler(first.type, enabled=amp)
    replicas = Replicas(net, device, params.ims_per_batch)
    return MemberNetwork(
        backbone, cfg, net, optimizer, scaler, average, params.weights, taken, replicas
    )


def _build_network(
    params: MaskRcnnParams, backbone: str, n_classes: int, config: str | None
) -> tuple[Any, Any, str]:
    """Build configuration and network on the CPU; tell what was taken from trained weights."""
    if config is not None:
        cfg = read_config(config)
        return cfg, _accepted(cfg), ""
    if params.weights == UNTRAINED:
        cfg = build_config(params, backbone, n_classes)
        return cfg, _accepted(cfg), ""
    trained = find_weights(params.weights, backbone)
    cfg = build_config(params, backbone, n_classes, trained.colours)
    net = _accepted(cfg)
    return cfg, net, trained.copy_into(net)


def _accepted(cfg: Any) -> Any:
    try:
        return build_model(cfg)
    except (AssertionError, ValueError) as error:  # its words for a user's mistake
        raise InfeasibleParams(f"Detectron2 refuses this configuration: {error}") from error


def build_optimizer(net: torch.nn.Module, params: MaskRcnnParams) -> torch.optim.Optimizer:
    """Build SGD or AdamW over Detectron2's groups: norms have no weight decay."""
    groups = get_default_optimizer_params(net, base_lr=params.base_lr, weight_decay_norm=0.0)
    optimizer: torch.optim.Optimizer
    if params.optimizer == "SGD":
        optimizer = torch.optim.SGD(
            groups, params.base_lr, params.momentum, weight_decay=params.weight_decay
        )
    else:
        betas = (params.momentum, 0.999)
        optimizer = torch.optim.AdamW(
            groups, params.base_lr, betas, weight_decay=params.weight_decay
        )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


class MaskRcnnRun:
    """One training, to be driven by `train_epoch`.

    With `configs`, Detectron2's by backbone, it is one that goes on, and waits for its weights.

    Attributes:
        members: Networks in training, by backbone.
        loader: Loader of the training pictures.
        schedule: Schedule of the learning rate.
        clip: Largest norm of the gradient, 0 for any.
        device: Device that it runs on.
        steady_epoch_s: Time of the last epoch as it would be without its first batch's delay.
    """

    steady_epoch_s: float

    def __init__(
        self, trial: Trial, params: MaskRcnnParams, configs: Mapping[str, str] | None = None
    ) -> None:
        begun = configs or {}
        self.device = torch.device(trial.device.name)
        self._seed = trial.seed % 2**31
        n_classes = len(trial.data.classes)
        self.members = {
            name: build_member(params, name, n_classes, trial.device, self._seed, begun.get(name))
            for name in params.backbones
        }
        workers = loader_processes(params.workers, trial.device)
        self.loader = training_loader(trial.data, params, self._seed, workers)
        self.schedule: StepSchedule = plan_schedule(params, trial.epochs, len(self.loader))
        self.clip = params.clip

    @property
    def networks(self) -> dict[str, Any]:
        """Networks that are measured and kept, by backbone."""
        return {name: member.validated for name, member in self.members.items()}

    @property
    def learning_rate(self) -> float:
        """Learning rate at this moment."""
        first = next(iter(self.members.values()))
        return float(first.optimizer.param_groups[0]["lr"])

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch.

        Args:
            epoch: Number of the epoch, 0-based.

        Returns:
            Mean of each loss over batches and networks, by Detectron2's name for it.

        Raises:
            Diverged: A loss is no longer finite.
        """
        torch.manual_seed(_mixed(self._seed, 1 + epoch))
        sampler: Any = self.loader.batch_sampler
        sampler.epoch = epoch
        for member in self.members.values():
            member.net.train()
        step = epoch * len(self.loader)
        sums: Losses = {}
        marks = [time.perf_counter()]
        with EventStorage(), diverged_in(epoch):
            for i, batch in enumerate(self.loader):
                seed = (self._seed, 1 + epoch, i)
                for name, value in self._train_batch(batch, self.schedule(step + i), seed).items():
                    sums[name] = sums[name] + value if name in sums else value
                marks.append(time.perf_counter())
        n = len(marks) - 1
        first, rest = marks[1] - marks[0], marks[-1] - marks[1]
        self.steady_epoch_s = rest * n / (n - 1) if n > 1 else first
        count = n * len(self.members)
        return finite({name: float(value) / count for name, value in sums.items()}, epoch)

    def _train_batch(
        self, batch: Sequence[NetworkInput], factor: float, seed: Sequence[int]
    ) -> Losses:
        sums: Losses = {}
        for member in self.members.values():
            set_learning_rate(member.optimizer, factor)
            for name, value in member.step(batch, self.clip, seed).items():
                sums[name] = sums[name] + value if name in sums else value
        return sums


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


@contextlib.contextmanager
def diverged_in(epoch: int) -> Iterator[None]:
    """Turn Detectron2's error about proposals that are not finite into `Diverged`.

    Raises:
        Diverged: They are not.
    """
    try:
        yield
    except FloatingPointError as error:
        raise Diverged(f"{error} This was in epoch {epoch + 1}") from error


def within_memory(params: MaskRcnnParams, device: Device) -> AbstractContextManager[None]:
    """Turn running out of memory into an error that names the settings to lower."""
    size = f"ims_per_batch={params.ims_per_batch} at min_size={params.min_size}"
    remedy = "ims_per_batch, min_size or batch_size_per_image"
    return memory_errors(device, size, remedy, params.ims_per_batch)
