"""What the followers of the tests' teams do; a process of its own imports it."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import distributed, nn

from trainables.contract import InfeasibleParams
from trainables.engines.unet_selftraining.network.losses import SegmentationLoss
from trainables.loop.split.shared import share_norms, summed
from trainables.loop.split.team import Rank


def sum_up(task: float, rank: Rank, orders: Iterator[Any]) -> None:
    """Add task x rank to each sum that is ordered."""
    for _ in orders:
        distributed.all_reduce(torch.tensor([task * rank.number]))


def misbehave(task: str, rank: Rank, orders: Iterator[Any]) -> None:
    """Go wrong in the way that the task names, when told to."""
    del rank
    if task == "refuse at once":
        raise InfeasibleParams("batch_size=9 does not fit into the memory of cuda:1")
    for _ in orders:
        _MISDEEDS[task]()


def _refuse() -> None:
    raise InfeasibleParams("batch_size=9 does not fit into the memory of cuda:1")


def _err() -> None:
    raise ZeroDivisionError("a bug of a follower")


def _be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_MISDEEDS: Mapping[str, Callable[[], None]] = {
    "refuse": _refuse,
    "err": _err,
    "be killed": _be_killed,
    "dawdle": lambda: time.sleep(60),
}


def part_of_loss(
    loss: SegmentationLoss, logits: torch.Tensor, target: torch.Tensor, rank: Rank
) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss over all processes, and its gradient at this one's logits."""
    own = list(rank.share(len(logits)))
    mine = logits[own].clone().requires_grad_()
    value = loss(mine, target[own], summed)
    value.backward()
    assert mine.grad is not None
    return value.detach(), mine.grad


def follow_loss(
    task: tuple[torch.Tensor, torch.Tensor], rank: Rank, orders: Iterator[SegmentationLoss]
) -> None:
    """Take part in each loss that is ordered, and pass its gradient on."""
    for loss in orders:
        _, gradient = part_of_loss(loss, *task, rank)
        distributed.broadcast(gradient, src=rank.number)


def part_of_norm(
    norm: nn.Module, features: torch.Tensor, rows: list[int]
) -> tuple[torch.Tensor, torch.Tensor, nn.Module]:
    """Rows of a normed batch, the gradient of its cubes' sum over all, and the shared norm."""
    network = nn.Sequential(norm)
    share_norms(network, torch.device("cpu"))
    mine = features[rows].clone().requires_grad_()
    normed = network(mine)
    summed((normed**3 * torch.arange(1, 5)[:, None, None]).sum()[None]).sum().backward()
    assert mine.grad is not None
    return normed.detach(), mine.grad, network[0]


def follow_norm(
    task: tuple[nn.Module, torch.Tensor, list[int]], rank: Rank, orders: Iterator[Any]
) -> None:
    """Take part in a batch norm."""
    del rank
    for _ in orders:
        part_of_norm(*task)
