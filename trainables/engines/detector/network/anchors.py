"""Anchors, the boxes that a detector's own are compared with: from the data's, or torchvision's.

Where a network has several levels of feature maps, each half as fine as the one before, anchors
double with them. torchvision's Faster R-CNN on MobileNetV3 has anchors of all sizes on each of its
levels; an SSD has one size a level and one more, as shares of the picture's side.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.rpn import RPNHead

from trainables.datasets.prepared import PreparedDataset
from trainables.engines.detector.params import DetectorParams

Floats = npt.NDArray[np.float64]

_FINEST_PX: Final = 4.0
"""Smallest anchor that is chosen from data: a pixel of the finest feature map."""

_OCTAVES: Final = 5
"""Sizes where a level has them all, each twice the one before."""


@dataclass(frozen=True)
class Anchors:
    """Anchors of a network.

    Attributes:
        sizes: Square roots of the areas on each level, px of the network.
        ratios: Heights by widths; empty for an SSD, which has its own.
    """

    sizes: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Plain data for a file, of which `of_plain` makes the same value."""
        return {"sizes": [list(level) for level in self.sizes], "ratios": list(self.ratios)}

    @classmethod
    def of_plain(cls, content: dict[str, Any]) -> Self:
        """The value that `plain` was made of."""
        return cls(tuple(tuple(level) for level in content["sizes"]), tuple(content["ratios"]))


def boxes_in_network(data: PreparedDataset, params: DetectorParams) -> Floats:
    """(n,) Square roots of the areas of the training part's boxes, px of the network."""
    sizes = []
    for record in data.images("train"):
        across, down = _scales(record.width, record.height, params)
        for item in data.annotations(record):
            x1, y1, x2, y2 = item.box
            sizes.append(max(x2 - x1, 0) * across * max(y2 - y1, 0) * down)
    return np.sqrt(np.array(sizes, dtype=np.float64))


def _scales(width: int, height: int, params: DetectorParams) -> tuple[float, float]:
    """Factors by which a network changes a picture's sides."""
    if fixed := params.architecture.fixed_px:
        return fixed / width, fixed / height
    short, long = sorted((width, height))
    factor = min(params.min_size / short, params.max_size / long)
    return factor, factor


def planned_anchors(params: DetectorParams, boxes_px: Floats) -> Anchors | None:
    """Anchors for boxes of such sizes; None of an FCOS.

    The smallest one is as large as asked for, else as nine in ten boxes are at least.

    Args:
        params: Hyperparameters.
        boxes_px: (n,) sizes of the data's boxes, px of the network; may be empty.
    """
    known = params.architecture
    if not known.has_anchors:
        return None
    small, large = np.percentile(boxes_px, (10, 95)) if len(boxes_px) else (32.0, 128.0)
    first = params.anchor_px or max(float(small), _FINEST_PX)
    if known.family == "ssd":
        last = min(max(float(large), 4 * first), 1.05 * known.fixed_px)
        sizes = np.geomspace(min(first, last), last, known.levels + 1)
        return Anchors(tuple((float(size),) for size in sizes))
    steps = [2 ** (step / params.anchor_scales) for step in range(params.anchor_scales)]
    ratio = params.anchor_ratio
    ratios = (1.0,) if ratio == 1 else (1 / ratio, 1.0, ratio)
    if known.levels < _OCTAVES:
        every = tuple(first * 2**k * step for k in range(_OCTAVES) for step in steps)
        return Anchors((every,) * known.levels, ratios)
    doubled = [tuple(first * 2**k * step for step in steps) for k in range(known.levels)]
    return Anchors(tuple(doubled), ratios)


def set_anchors(net: Any, anchors: Anchors, n_outputs: int, fixed_px: int) -> None:
    """Give a network other anchors, and untrained layers that predict from that many.

    Args:
        net: torchvision's network.
        anchors: Anchors for its levels.
        n_outputs: Number of its classes, the background's slot included.
        fixed_px: Side of the pictures that an SSD looks at.
    """
    if fixed_px:
        made = net.anchor_generator
        scales = [size / fixed_px for (size,) in anchors.sizes]
        net.anchor_generator = DefaultBoxGenerator(
            made.aspect_ratios, scales=scales, steps=made.steps
        )
        return
    made = AnchorGenerator(anchors.sizes, (anchors.ratios,) * len(anchors.sizes))
    n_anchors = made.num_anchors_per_location()[0]
    channels = net.backbone.out_channels
    if hasattr(net, "rpn"):
        depth = len(net.rpn.head.conv)
        net.rpn.anchor_generator = made
        net.rpn.head = RPNHead(channels, n_anchors, conv_depth=depth)
        return
    net.anchor_generator = made
    net.head = _retinanet_head(net.head, channels, n_anchors, n_outputs)


def _retinanet_head(made: Any, channels: int, n_anchors: int, n_outputs: int) -> RetinaNetHead:
    """A head as the one that was made: v2 has norms and another loss of boxes."""
    normed = any(isinstance(module, nn.GroupNorm) for module in made.modules())
    norm = (lambda n: nn.GroupNorm(32, n)) if normed else None
    head = RetinaNetHead(channels, n_anchors, n_outputs, norm_layer=norm)
    head.regression_head._loss_type = made.regression_head._loss_type
    return head


def built_anchors(net: Any) -> Anchors:
    """Anchors of a network as its generator has them, but of an SSD."""
    generator = net.rpn.anchor_generator if hasattr(net, "rpn") else net.anchor_generator
    return Anchors(tuple(map(tuple, generator.sizes)), tuple(generator.aspect_ratios[0]))
