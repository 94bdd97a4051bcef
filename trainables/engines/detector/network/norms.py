"""Norms of a network, put in place of batch norms.

Source of group norms: Wu and He 2018, "Group Normalization", arXiv:1803.08494. Batches of a few
pictures are too small for statistics of their own.
"""

from typing import Final

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

_MOST_GROUPS: Final = 32

_LEAST_CHANNELS: Final = 4
"""Least channels of a group: with one, a feature would lose its level."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Make a group norm of at most 32 groups with at least four channels each.

    >>> group_norm(64).num_groups, group_norm(24).num_groups, group_norm(8).num_groups
    (16, 6, 2)
    """
    most = min(_MOST_GROUPS, max(1, channels // _LEAST_CHANNELS))
    groups = next(n for n in range(most, 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels)


def use_group_norms(net: nn.Module) -> None:
    """Put a group norm in the place of each batch norm."""
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(net, name, group_norm(child.num_features))
        else:
            use_group_norms(child)


def freeze_norms(net: nn.Module) -> None:
    """Put the same norm with fixed statistics and weights in the place of each batch norm."""
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps)
            frozen.load_state_dict(child.state_dict())
            setattr(net, name, frozen)
        else:
            freeze_norms(child)


def add_norms(layers: nn.Module) -> None:
    """Put a batch norm behind each convolution that an activation follows, in every sequence."""
    for child in layers.children():
        add_norms(child)
    if not isinstance(layers, nn.Sequential):
        return
    for at in range(len(layers) - 1, 0, -1):
        before = layers[at - 1]
        if isinstance(layers[at], nn.ReLU) and isinstance(before, nn.Conv2d):
            layers.insert(at, nn.BatchNorm2d(before.out_channels))


def norm_kinds(net: nn.Module) -> set[str]:
    """Names of the kinds of norms in a network."""
    return {name for m in net.modules() for kind, name in _NAMES.items() if isinstance(m, kind)}


_NAMES: Final[dict[type[nn.Module], str]] = {
    nn.GroupNorm: "GN",
    nn.BatchNorm2d: "BN",
    FrozenBatchNorm2d: "FrozenBN",
}


def keep_statistics(net: nn.Module) -> None:
    """Let batch norms whose weights are not trained keep their statistics, too, in training."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            trained = any(p.requires_grad for p in module.parameters())
            module.train(trained and torch.is_grad_enabled())
