"""Group norms as steps of a graph that are as exact as PyTorch's.

PyTorch's exporter turns them into `InstanceNormalization`, whose sums ONNX Runtime takes in one
long row of single-precision additions: of a deep network's features a tenth of a thousandth is
lost, and its scores no longer agree. Means of means lose a hundredth of that.
"""

from torch import Tensor, nn


class ExactGroupNorm(nn.Module):
    """What a group norm computes, by means along one axis after the other.

    Args:
        norm: The group norm, whose weights it takes.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        groups = features.unflatten(1, (self.norm.num_groups, -1))
        centred = groups - _mean(groups)
        scale = (_mean(centred * centred) + self.norm.eps).rsqrt()
        normed: Tensor = (centred * scale).flatten(1, 2)
        if self.norm.affine:
            normed = normed * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]
        return normed


def _mean(groups: Tensor) -> Tensor:
    """Means of the groups (B, G, C, H, W), (B, G, 1, 1, 1)."""
    for axis in (4, 3, 2):
        groups = groups.mean(dim=axis, keepdim=True)
    return groups


def use_exact_norms(network: nn.Module) -> None:
    """Put an `ExactGroupNorm` in the place of each group norm."""
    for name, child in network.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(network, name, ExactGroupNorm(child))
        else:
            use_exact_norms(child)
