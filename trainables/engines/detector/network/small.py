"""Backbones of our own Faster R-CNNs, each with a feature pyramid.

Sources: He et al. 2016, "Deep Residual Learning", arXiv:1512.03385; Tan and Le 2019,
"EfficientNet", arXiv:1905.11946; Lin et al. 2017, "Feature Pyramid Networks", arXiv:1612.03144.
"""

from typing import Final

from torch import Tensor, nn
from torchvision.models import efficientnet_b0
from torchvision.models.detection.backbone_utils import BackboneWithFPN

_STAGES: Final = 4

_OF_EFFICIENTNET: Final = {"2": 24, "3": 40, "5": 112, "7": 320}
"""Last layers at strides 4, 8, 16 and 32 of EfficientNet-B0, with their channels."""


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(N, n_in, H, W) to (N, n_out, H / stride, W / stride)."""
        summed: Tensor = self.layers(features) + self.shortcut(features)
        return summed.relu_()


def small_fpn(width: int, channels: int) -> BackboneWithFPN:
    """A residual block at each of the strides 4, 8, 16 and 32, twice as wide from one to the next.

    Args:
        width: Channels of the first block.
        channels: Channels of the pyramid.
    """
    body = nn.Sequential()
    stem = nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
    body.add_module("stem", stem)
    widths = [width * 2**stage for stage in range(_STAGES)]
    for stage, (n_in, n_out) in enumerate(zip([width, *widths], widths, strict=False)):
        body.add_module(f"stage{stage}", ResidualBlock(n_in, n_out, 2))
    layers = {f"stage{stage}": str(stage) for stage in range(_STAGES)}
    return BackboneWithFPN(body, layers, widths, channels, norm_layer=nn.BatchNorm2d)


def efficientnet_fpn(channels: int) -> BackboneWithFPN:
    """EfficientNet-B0 without its last layer, which is for classification.

    Args:
        channels: Channels of the pyramid.
    """
    features = efficientnet_b0(weights=None).features[:-1]
    layers = {name: str(level) for level, name in enumerate(_OF_EFFICIENTNET)}
    widths = list(_OF_EFFICIENTNET.values())
    return BackboneWithFPN(features, layers, widths, channels, norm_layer=nn.BatchNorm2d)
