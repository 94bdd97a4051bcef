"""Copies of a network on several devices, which compute the parts of a batch at the same time.

A batch is split as it is with `micro_batch` (`parts`), and each step is that of one network: the
gradients of the parts are added to the first network's in their order, and its batch norms follow
the parts in that order. So it makes no difference to a training whether the parts of its batches
take turns on one device or are computed on several, and a trial goes on exactly with another number
of devices as long as the parts have the same size.
"""

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.contract import Device
from trainables.loop.split.parts import at_once, parts_of

Losses = Mapping[str, Tensor]

LossOf = Callable[[nn.Module, slice], tuple[Tensor, Losses]]
"""The loss of some samples of a batch, computed by a network on that network's device.

It is called with a network and a slice of the batch. It returns what gradients are taken of, its
part of the batch's loss, and the losses to be told: means over the part's samples.
"""

Follow = Callable[[nn.Module, nn.Module], None]
"""Gives a copy (second) what the network has beside parameters and buffers."""

_TURNS: Final = threading.Lock()
"""Networks on the CPU compute losses in turns: a process has one source of random numbers there."""


def devices_of(device: Device) -> list[torch.device]:
    """The devices of a trial, in order.

    >>> devices_of(Device("cuda:0", gpus=2)), devices_of(Device("cpu", gpus=2))
    ([device(type='cuda', index=0), device(type='cuda', index=1)], \
[device(type='cpu'), device(type='cpu')])
    """
    names = [device.name if device.name == "cpu" else f"cuda:{n}" for n in range(device.gpus)]
    return [torch.device(name) for name in names]


class Replicas:
    """A network, and a copy of it on each further device of a trial."""

    def __init__(
        self, network: nn.Module, device: Device, batch: int, follow: Follow | None = None
    ) -> None:
        """Copy nothing yet: that is done for the first batch.

        Args:
            network: The network, on the first device; its optimizer makes the steps.
            device: The trial's devices.
            batch: Number of samples of a whole batch.
            follow: Called before each batch with the network and each copy.
        """
        self._network = network
        self._devices = devices_of(device)
        self._follow = follow
        self._size = at_once(batch, device)
        self._copies: list[nn.Module] = []
        self._threads: ThreadPoolExecutor | None = None

    def backward(self, n: int, loss_of: LossOf, seed: Sequence[int] = ()) -> dict[str, Tensor]:
        """Add the gradients of a batch to the network's.

        Args:
            n: Number of samples of the batch.
            loss_of: Computes the loss of a part of it.
            seed: Numbers of this batch alone, from which the random numbers of its parts are drawn
                where there are several; a batch in one part draws on, as always.

        Returns:
            Mean of each loss over the samples, without gradients, on the first device.
        """
        parts = parts_of(n, self._size)
        if len(parts) == 1:
            return dict(_told(self._network, loss_of, parts[0], 1.0))
        seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(parts))]
        sums: dict[str, Tensor] = {}
        for first in range(0, len(parts), len(self._devices)):
            group = slice(first, first + len(self._devices))
            for losses in self._together(n, loss_of, parts[group], seeds[group]):
                sums = {name: sums.get(name, 0) + value for name, value in losses.items()}
        return sums

    def _together(
        self, n: int, loss_of: LossOf, parts: Sequence[slice], seeds: Sequence[int]
    ) -> list[Losses]:
        """Compute as many parts as there are devices, or fewer, at the same time."""
        networks = self._alike(len(parts))
        before = [_statistics(network) for network in networks]

        def compute(number: int) -> Losses:
            part, device = parts[number], self._devices[number]
            with _drawing(device, seeds[number]), _current(device):
                return _told(networks[number], loss_of, part, (part.stop - part.start) / n)

        others = [self._start(compute, number) for number in range(1, len(parts))]
        try:
            told = [compute(0)]
        finally:
            wait(others)  # also where one fails: nobody computes on behind its back
        told += [other.result() for other in others]
        for number in range(1, len(parts)):
            _add_gradients(networks[0], networks[number])
            _follow_statistics(networks[0], networks[number], before[0])
        return [
            {name: value.to(self._devices[0]) for name, value in losses.items()} for losses in told
        ]

    def _start(self, compute: Callable[[int], Losses], number: int) -> "Future[Losses]":
        if self._threads is None:
            self._threads = ThreadPoolExecutor(len(self._devices) - 1, "replica")
        return self._threads.submit(compute, number)

    @torch.no_grad()
    def _alike(self, n: int) -> list[nn.Module]:
        """The network and its copies, which have the same weights, statistics and modes."""
        while len(self._copies) < n - 1:
            device = self._devices[len(self._copies) + 1]
            copied = copy.deepcopy(self._network).to(device)
            copied.zero_grad(set_to_none=True)
            self._copies.append(copied)
        for twin in self._copies[: n - 1]:
            for mine, theirs in zip(_tensors(twin), _tensors(self._network), strict=True):
                mine.copy_(theirs)
            for module, other in zip(twin.modules(), self._network.modules(), strict=True):
                module.training = other.training
            if self._follow is not None:
                self._follow(self._network, twin)
        return [self._network, *self._copies[: n - 1]]


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _told(network: nn.Module, loss_of: LossOf, part: slice, share: float) -> Losses:
    """Take the gradients of a part, and tell its losses, weighted with its share of the batch."""
    loss, losses = loss_of(network, part)
    loss.backward()
    return {name: value.detach() * share for name, value in losses.items()}


@contextlib.contextmanager
def _drawing(device: torch.device, seed: int) -> Iterator[None]:
    """Let a device draw from a seed for a while; afterwards it draws on as before."""
    turn: Any = _TURNS if device.type == "cpu" else contextlib.nullcontext()
    with turn:
        source = _source(device)
        state = source.get_state()
        source.manual_seed(seed)
        try:
            yield
        finally:
            source.set_state(state)


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Let a thread work on a device, also where something names none."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _source(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    return torch.cuda.default_generators[device.index]


def _add_gradients(network: nn.Module, other: nn.Module) -> None:
    """Move a copy's gradients to the network's."""
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        if theirs.grad is not None:
            grad = theirs.grad.to(mine.device)
            mine.grad = grad if mine.grad is None else mine.grad.add_(grad)
            theirs.grad = None


Statistics = list[tuple[Tensor, Tensor]]
"""Running mean and variance of each batch norm that follows its batches."""


def _following(network: nn.Module) -> list[Any]:
    """Batch norms whose statistics follow the batches."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.training and norm.running_mean is not None]


def _statistics(network: nn.Module) -> Statistics:
    return [(norm.running_mean.clone(), norm.running_var.clone()) for norm in _following(network)]


@torch.no_grad()
def _follow_statistics(network: nn.Module, other: nn.Module, before: Statistics) -> None:
    """Let the network's batch norms follow what a copy's saw, as if they had seen it last.

    A statistic r becomes (1 - m) r + m s with a batch's s; a copy has made (1 - m) r0 + m s of the
    r0 it began with, so that its own value + (1 - m) (r - r0) is what r becomes.
    """
    for norm, theirs, begun in zip(_following(network), _following(other), before, strict=True):
        keep = 1 - norm.momentum
        for name, start in zip(("running_mean", "running_var"), begun, strict=True):
            mine = getattr(norm, name)
            mine.sub_(start).mul_(keep).add_(getattr(theirs, name).to(mine.device))
        norm.num_batches_tracked += 1
