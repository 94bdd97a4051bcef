"""From pictures to a YOLO network's input, and from its output to instances.

Validation and the predictor share this, so a model predicts what it was measured with.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainables.engines.yolo_seg.framework import Conv, DWConv, non_max_suppression
from trainables.engines.yolo_seg.masks import encode_masks, original_boxes
from trainables.onnx.letterbox import Frame
from trainables.results import Instances

LOWEST_CONFIDENCE = 0.001
"""Lowest score that is reported. AP needs all above; Ultralytics validates from here, too."""


@dataclass(frozen=True)
class Detection:
    """Limits on what a network reports as found.

    Attributes:
        iou: Overlap of two boxes of a class above which the weaker one is dropped.
        max_det: Most instances reported in an image.
        confidence: Lowest score that is reported.
    """

    iou: float
    max_det: int
    confidence: float = LOWEST_CONFIDENCE


def finding_network(net: torch.nn.Module) -> torch.nn.Module:
    """A copy of a network that finds faster and learns no more.

    Each normalisation is part of the convolution before it, and weights lie in memory with the
    channels last, as a CPU's convolutions want them. Outputs are those of the network but for the
    last digits, so what is measured and what predicts must both be made by this.

    Args:
        net: Network of the -seg kind; it is left in evaluation mode.
    """
    made = deepcopy(net.eval()).requires_grad_(False)
    layer: Any
    for layer in made.modules():
        if type(layer) in (Conv, DWConv):  # others add something between the two
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
            layer.bn = torch.nn.Identity()
    return made.to(memory_format=torch.channels_last)


def as_input(pictures: torch.Tensor) -> torch.Tensor:
    """Grey levels 0 to 255, (N, 3, H, W), as a network of `finding_network` takes them."""
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)


def make_frame(original: Sequence[int], ratio_pad: Any, shape: Sequence[int]) -> Frame:
    """Place of an image in the network's input, from Ultralytics' bookkeeping.

    Args:
        original: Height and width of the original image, px.
        ratio_pad: ((gain downwards, gain to the right), (left, top)) as Ultralytics' LetterBox
            leaves it.
        shape: Height and width of the network's input, px.
    """
    (gain_y, gain_x), (left, top) = ratio_pad
    height, width = (int(side) for side in original)
    return Frame(height, width, gain_y, gain_x, top, left, int(shape[0]), int(shape[1]))


def find_instances(
    output: Any, frames: Sequence[Frame], n_classes: int, detection: Detection
) -> list[Instances]:
    """Find the instances in each image of a batch, with masks at original size.

    An object has one class, the most probable. A detection whose mask has no pixel is no instance.

    Args:
        output: Output of a -seg network in evaluation mode.
        frames: Place of each image in the network's input.
        n_classes: Number of classes of the network.
        detection: Limits on what is reported.
    """
    boxes, prototypes = output[0] if isinstance(output[0], tuple) else output[:2]
    found = non_max_suppression(
        boxes.float(),
        detection.confidence,
        detection.iou,
        max_det=detection.max_det,
        nc=n_classes,
        max_time_img=math.inf,  # by default it leaves out images when the machine is slow
    )
    return [
        _image_instances(rows, prototypes[i].float(), frame, detection.max_det)
        for i, (rows, frame) in enumerate(zip(found, frames, strict=True))
    ]


def _image_instances(
    rows: torch.Tensor, prototypes: torch.Tensor, frame: Frame, max_det: int
) -> Instances:
    """Find the instances of one image.

    Args:
        rows: (N, 6 + K) x1 y1 x2 y2 in input px, score, class, K mask coefficients; best first.
        prototypes: (K, h, w) over the whole network input.
        frame: Place of the image in the network's input.
        max_det: Most instances that are reported.
    """
    boxes = original_boxes(rows[:, :4], frame)
    masks, pixels = encode_masks(rows[:, 6:], prototypes, boxes, frame)
    kept = np.flatnonzero(pixels)
    values = torch.cat([boxes, rows[:, 4:6]], dim=1).cpu().numpy()[kept]
    return Instances(
        boxes=np.ascontiguousarray(values[:, :4], dtype=np.float32),
        scores=np.ascontiguousarray(values[:, 4], dtype=np.float32),
        classes=values[:, 5].astype(np.int64),
        masks=tuple(masks[i] for i in kept),
        capped=len(rows) >= max_det,
    )
