"""Sums over the batch of all processes of a training (see `team`), with gradients.

What is not a mean over samples (an overlap loss, a batch norm) must be made of sums over the whole
batch: the mean of two Dice losses is not the Dice loss of both halves.

Each process has the same loss, that of the whole batch. The gradient of a sum over processes is the
sum of their gradients, n times what it should be; `DistributedDataParallel` takes the mean of the
n processes' gradients, which makes it right.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.contract import InfeasibleParams

Sum = Callable[[Tensor], Tensor]
"""Sums of this process to those of all."""


def own(sums: Tensor) -> Tensor:
    """The sums of a process that is alone."""
    return sums


def summed(sums: Tensor) -> Tensor:
    """The sums over all processes, element by element."""
    total: Tensor = _Summed.apply(sums)
    return total


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        del ctx
        return _all_reduced(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return _all_reduced(gradients[0])


def _all_reduced(sums: Tensor) -> Tensor:
    total = sums.contiguous().clone()
    distributed.all_reduce(total)
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes, one of which may have no sample.

    For the CPU; torch's `SyncBatchNorm`, which does the same, is for GPUs only.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) of mean 0 and variance 1 over all processes, scaled and moved."""
        if not self.training:
            return super().forward(features)
        axes: Final = (0, 2, 3)
        n = summed(features.new_tensor(features.numel() // features.shape[1]))
        mean = summed(features.sum(axes)) / n
        centred = features - mean[:, None, None]
        variance = summed(centred.square().sum(axes)) / n
        self._follow(mean.detach(), variance.detach() * n / (n - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class EmptyInstanceNorm2d(nn.InstanceNorm2d):
    """An instance norm that lets a batch without samples pass."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W), N may be 0."""
        if len(features):
            return super().forward(features)
        if not self.affine:
            return features
        return features * self.weight[:, None, None] + self.bias[:, None, None]


def share_norms(network: nn.Module, device: torch.device) -> None:
    """Make a network's norms those of the batch of all processes, under the names they have.

    Raises:
        InfeasibleParams: It has a batch norm that does more than that.
    """
    for name, child in network.named_children():
        shared = _shared(child, device)
        if shared is not None:
            setattr(network, name, shared)
        elif isinstance(child, _BatchNorm):
            raise InfeasibleParams(
                "expected batch norms that can be taken over several GPUs, got "
                f"{type(child).__name__}; train this network on one GPU, or choose another encoder"
            )
        else:
            share_norms(child, device)


def _shared(norm: nn.Module, device: torch.device) -> nn.Module | None:
    """A norm in place of one, with its weights and statistics; None where none is needed."""
    if type(norm) is nn.BatchNorm2d and device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
        return converted
    if type(norm) is nn.BatchNorm2d:
        new: nn.Module = SharedBatchNorm2d(
            norm.num_features, norm.eps, norm.momentum, device=device
        )
    elif type(norm) is nn.InstanceNorm2d:
        new = EmptyInstanceNorm2d(norm.num_features, norm.eps, affine=norm.affine, device=device)
    else:
        return None
    new.load_state_dict(norm.state_dict())
    return new
