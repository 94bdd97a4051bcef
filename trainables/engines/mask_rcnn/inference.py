"""From a picture to the instances in it.

Validation and the predictor share this, so a model predicts what it was measured with. Pictures go
through the networks one by one: in a batch, Detectron2 pads each to the largest, and what a network
finds in a picture would then depend on its neighbours, most of all with GN, whose statistics take
in the padding.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainables.contract import Reporting
from trainables.datasets.geometry import Rle, encode_crop
from trainables.engines.mask_rcnn.data import NetworkInput
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.results import Instances

_THRESHOLD = 0.5
"""Probability from which a pixel belongs to a mask; Detectron2's."""

Floats = npt.NDArray[np.float64]


def to_instances(found: Any, item: NetworkInput) -> Instances:
    """Convert what a network found to instances at the image's own size, best score first.

    An object whose mask has no pixel is no instance.

    Args:
        found: Detectron2's instances at the network's size, with masks as probabilities in their
            boxes, as `GeneralizedRCNN.inference(..., do_postprocess=False)` gives them.
        item: Input of the network.
    """
    height, width = item["height"], item["width"]
    boxes = found.pred_boxes.clone()
    boxes.scale(width / found.image_size[1], height / found.image_size[0])
    boxes.clip((height, width))
    corners = boxes.tensor.double().cpu().numpy().reshape(-1, 4)
    scores = found.scores.float().cpu().numpy()
    classes = found.pred_classes.cpu().numpy()
    if not len(scores):
        return Instances(corners.astype(np.float32), scores, classes.astype(np.int64), ())
    shapes = found.pred_masks[:, 0].double().cpu().numpy()
    masks = [paste_mask(s, c, height, width) for s, c in zip(shapes, corners, strict=True)]
    kept = [i for i, mask in enumerate(masks) if mask is not None]
    return Instances(
        boxes=np.ascontiguousarray(corners[kept], dtype=np.float32),
        scores=np.ascontiguousarray(scores[kept], dtype=np.float32),
        classes=classes[kept].astype(np.int64),
        masks=tuple(mask for mask in masks if mask is not None),
    )


def paste_mask(shape: Floats, box: Floats, height: int, width: int) -> Rle | None:
    """Encode a mask at the image's size; only the pixels around its box are ever computed.

    A pixel belongs to it if the probability, interpolated bilinearly at the pixel's centre and 0
    outside of the mask, is 0.5 or more: Detectron2's own rule (`paste_masks_in_image`).

    Args:
        shape: (M, M) probabilities in the box.
        box: (4,) x1 y1 x2 y2, px.
        height: Height of the image, px.
        width: Width of the image, px.

    Returns:
        COCO's run-length encoding, or None where no pixel is left.
    """
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return None
    columns = np.arange(max(int(x1) - 1, 0), min(int(np.ceil(x2)) + 1, width))
    rows = np.arange(max(int(y1) - 1, 0), min(int(np.ceil(y2)) + 1, height))
    across, down = _weights(columns, x1, x2, len(shape)), _weights(rows, y1, y2, len(shape))
    inside = down @ shape @ across.T >= _THRESHOLD
    if not inside.any():
        return None
    return encode_crop(inside, (int(columns[0]), int(rows[0])), height, width)


def _weights(pixels: npt.NDArray[np.int64], low: float, high: float, n: int) -> Floats:
    """Weights (P, n) of a mask's n cells at the centres of P pixels."""
    at = (pixels + 0.5 - low) / (high - low) * n - 0.5
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(n))))


def find_instances(networks: Mapping[str, Any], fusion: Fusion, item: NetworkInput) -> Instances:
    """Find the instances in an image; a network without a say in the fusion is not asked.

    Args:
        networks: Networks by backbone; they are left in evaluation mode.
        fusion: Rule by which their instances are fused.
        item: Image as the networks take it.
    """
    return fusion({name: _found_by(networks[name], item) for name in fusion.voices(networks)})


@torch.no_grad()
def _found_by(net: Any, item: NetworkInput) -> Instances:
    net.eval()
    [found] = net.inference([item], do_postprocess=False)
    capped = len(found) >= net.roi_heads.box_predictor.test_topk_per_image
    return replace(to_instances(found, item), capped=capped)


def set_reporting(net: Any, wanted: Reporting) -> None:
    """Make a network report other instances than it was built to.

    Args:
        net: The network; it proposes as many regions as it may report instances, at least.
        wanted: Most instances and lowest score.
    """
    net.roi_heads.box_predictor.test_topk_per_image = wanted.max_det
    net.roi_heads.box_predictor.test_score_thresh = wanted.confidence
    proposals = net.proposal_generator
    for regions in (proposals.pre_nms_topk, proposals.post_nms_topk):
        regions[False] = max(regions[False], wanted.max_det)
