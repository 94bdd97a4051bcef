"""Training on torchvision's networks, epoch by epoch.

Nothing of a training is random that is not seeded anew in each epoch, so there is no random state
to save: (seed, epoch) gives it. Losses of sampled regions teach the network and are reported; no
decision is taken by them.
"""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import Device, Diverged, Trial
from trainables.engines.detector.data import Sample, training_loader
from trainables.engines.detector.network.anchors import (
    Anchors,
    boxes_in_network,
    planned_anchors,
)
from trainables.engines.detector.network.build import build_network, freeze
from trainables.engines.detector.network.names import UNTRAINED
from trainables.engines.detector.network.norms import freeze_norms, keep_statistics
from trainables.engines.detector.network.weights import StartWeights, read_start
from trainables.engines.detector.optimizer import build_optimizer
from trainables.engines.detector.params import DetectorParams
from trainables.loop.averaging import WeightAverage
from trainables.loop.device import loader_processes, memory_errors
from trainables.loop.epochs import finite
from trainables.loop.optimizers import set_learning_rate
from trainables.loop.schedule import EpochSchedule
from trainables.loop.split.replicas import Replicas

Losses = dict[str, Tensor]


class DetectorRun:
    """One training, to be driven by `train_epoch`.

    Attributes:
        device: Device that it runs on.
        anchors: Anchors of its network, or None for torchvision's own.
        net: The network.
        average: Moving average of its weights, or None.
        optimizer: Optimizer of its trained weights.
        loader: Loader of the training pictures.
        schedule: Learning rate as a function of the steps taken.
        taken: Sentence on what was taken from the weights that it starts from, or "".
        steady_epoch_s: Time of the last epoch as it would be without its first batch's delay.
    """

    steady_epoch_s: float

    def __init__(self, trial: Trial, params: DetectorParams) -> None:
        self.device = torch.device(trial.device.name)
        self.params = params
        self._seed = trial.seed % 2**31
        start = None
        if params.weights != UNTRAINED:
            start = read_start(Path(params.weights))
        self.anchors = _anchors(trial, params, start)
        torch.manual_seed(_mixed(self._seed, 0))
        net = build_network(params, len(trial.data.classes), self.anchors)
        begins = start is not None and trial.resume_from is None
        self.taken = start.copy_into(net, params.architecture) if begins and start else ""
        if params.norm == "FrozenBN":
            freeze_norms(net)
        freeze(net, params)
        self.net: nn.Module = net.to(self.device)
        self.average = WeightAverage(self.net, params.ema_decay) if params.ema_decay else None
        self.optimizer = build_optimizer(self.net, params)
        amp = params.amp and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp)
        workers = loader_processes(params.workers, trial.device)
        self.loader = training_loader(trial.data, params, self._seed, workers)
        self.multiplier = params.batch_multiplier
        self._replicas = Replicas(self.net, trial.device, params.batch_size)
        self.clip = params.clip
        self.schedule = plan_schedule(params, trial.epochs * self.steps_an_epoch)

    @property
    def steps_an_epoch(self) -> int:
        """Steps of the optimizer in an epoch; the last may be of fewer batches."""
        return math.ceil(len(self.loader) / self.multiplier)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Networks that are validated, by the name of their weights: raw, and averaged."""
        if self.average is None:
            return {"raw": self.net}
        return {"raw": self.net, "averaged": self.average.model}

    @property
    def learning_rate(self) -> float:
        """Learning rate at this moment, of all but the backbone."""
        return float(max(self.optimizer.param_groups, key=_is_rest)["lr"])

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch.

        Args:
            epoch: Number of the epoch, 0-based.

        Returns:
            Mean of each loss over batches, by torchvision's name for it.

        Raises:
            Diverged: A loss or a weight is no longer finite.
        """
        torch.manual_seed(_mixed(self._seed, 1 + epoch))
        sampler: Any = self.loader.batch_sampler
        sampler.epoch = epoch
        self.net.train()
        keep_statistics(self.net)
        sums: dict[str, float] = {}
        marks = [time.perf_counter()]
        for i, batch in enumerate(self.loader):
            for name, value in self._train_batch(batch, epoch, i).items():
                sums[name] = sums.get(name, 0.0) + value
            marks.append(time.perf_counter())
        n = len(marks) - 1
        first, rest = marks[1] - marks[0], marks[-1] - marks[1]
        self.steady_epoch_s = rest * n / (n - 1) if n > 1 else first
        if not all(bool(weight.isfinite().all()) for weight in self.net.parameters()):
            raise Diverged(f"a weight is no longer finite in epoch {epoch + 1}")
        return finite({name: value / n for name, value in sums.items()}, epoch)

    def _train_batch(self, batch: Sequence[Sample], epoch: int, index: int) -> dict[str, float]:
        """Learn from a batch; a step is taken after every `multiplier` batches, and the last."""
        first = index - index % self.multiplier
        n_summed = min(self.multiplier, len(self.loader) - first)
        if index == first:
            self.optimizer.zero_grad(set_to_none=True)

        def loss_of(net: nn.Module, part: slice) -> tuple[Tensor, Losses]:
            losses = self._losses(net, batch[part])
            share = (part.stop - part.start) / len(batch)
            total = torch.stack(list(losses.values())).sum()
            return self.scaler.scale(total * (share / n_summed)), losses

        told = self._replicas.backward(len(batch), loss_of, (self._seed, 1 + epoch, index))
        sums = finite({name: float(value) for name, value in told.items()}, epoch)
        if index - first + 1 == n_summed:
            self._step(epoch * self.steps_an_epoch + index // self.multiplier)
        return sums

    def _losses(self, net: nn.Module, batch: Sequence[Sample]) -> Losses:
        """Compute torchvision's losses of some pictures."""
        device = next(net.parameters()).device
        images = [image.to(device) for image, _ in batch]
        targets = [{key: t.to(device) for key, t in target.items()} for _, target in batch]
        with torch.autocast(self.device.type, torch.float16, enabled=self.scaler.is_enabled()):
            losses: Losses = net(images, targets)
        return losses

    def _step(self, step: int) -> None:
        set_learning_rate(self.optimizer, self.schedule.factor(step))
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.net)


def plan_schedule(params: DetectorParams, n_steps: int) -> EpochSchedule:
    """The schedule of a training of so many steps, in steps.

    A warm-up as long as the training is cut off by its end, not squeezed.
    """
    first = params.first_drop
    second = first + (1 - first) * params.second_drop
    drops = tuple(round(at * n_steps) for at in (first, second))
    return EpochSchedule(
        params.scheduler, n_steps, params.warmup_steps, milestones=drops, gamma=params.gamma
    )


def _is_rest(group: dict[str, Any]) -> bool:
    return bool(group["part"] == "rest")


def _anchors(trial: Trial, params: DetectorParams, start: StartWeights | None) -> Anchors | None:
    """Anchors that are asked for, of the weights, or from the data."""
    theirs = start is not None and params.anchor_px is None
    if theirs and start is not None and start.file.suffix == ".pt":
        return start.anchors
    if theirs and not params.architecture.own:
        return None
    return planned_anchors(params, boxes_in_network(trial.data, params))


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def within_memory(params: DetectorParams, device: Device) -> AbstractContextManager[None]:
    """Turn running out of memory into an error that names the settings to lower."""
    size = f"batch_size={params.batch_size} at min_size={params.min_size}"
    return memory_errors(device, size, "batch_size, min_size or regions", params.batch_size)
