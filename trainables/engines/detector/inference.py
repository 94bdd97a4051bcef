"""From a picture to the objects in it.

Validation and the predictor share this, so a model predicts what it was measured with. Pictures go
through the network one by one: in a batch, torchvision pads each to the largest, and what a network
finds in a picture would then depend on its neighbours.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainables.engines.detector.data import network_input
from trainables.engines.detector.network.build import reporter
from trainables.results import Instances


@torch.no_grad()
def find_objects(
    net: nn.Module, pixels: npt.NDArray[np.uint8], first_label: int, device: torch.device
) -> Instances:
    """Find the objects in a picture.

    Args:
        net: torchvision's network; it is left in evaluation mode.
        pixels: (H, W, 3) uint8 RGB.
        first_label: Number of the first class in the network.
        device: Device of the network.
    """
    net.eval()
    [found] = net([network_input(pixels).to(device)])
    capped = len(found["scores"]) >= reporter(net).detections_per_img
    return to_instances(found, pixels.shape[:2], first_label, capped=capped)


def to_instances(
    found: dict[str, Any], size: tuple[int, int], first_label: int, *, capped: bool = False
) -> Instances:
    """Convert what a network found: boxes cut to the picture, best score first.

    Args:
        found: torchvision's `boxes`, `labels` and `scores`.
        size: Height and width of the picture, px.
        first_label: Number of the first class in the network.
        capped: Whether it found as many as it reports at most.
    """
    boxes, scores, labels = (found[key].cpu().numpy() for key in ("boxes", "scores", "labels"))
    height, width = size
    boxes = np.clip(boxes.astype(np.float32), 0, np.array([width, height] * 2, np.float32))
    there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & np.isfinite(boxes).all(axis=1)
    order = np.argsort(-scores, kind="stable")
    order = order[there[order]]
    return Instances(
        boxes=np.ascontiguousarray(boxes[order]),
        scores=np.ascontiguousarray(scores[order].astype(np.float32)),
        classes=labels[order].astype(np.int64) - first_label,
        capped=capped,
    )
