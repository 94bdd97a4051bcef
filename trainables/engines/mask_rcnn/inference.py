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
import torch

from trainables.contract import Reporting
from trainables.engines.mask_rcnn.data import NetworkInput
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.onnx.pasting import paste_mask
from trainables.results import Instances


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
