"""Detectors by name, and the parts of each."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead

from trainables.contract import Reporting
from trainables.engines.detector.network.anchors import Anchors, set_anchors
from trainables.engines.detector.network.names import UNTRAINED, Architecture
from trainables.engines.detector.network.norms import add_norms, freeze_norms, use_group_norms
from trainables.engines.detector.network.small import efficientnet_fpn, small_fpn
from trainables.engines.detector.params import DetectorParams

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Colours of ImageNet, of values in 0 to 1."""

_ROI_CELLS: Final = 7

PREDICTORS: Final[dict[str, tuple[str, ...]]] = {
    "faster_rcnn": ("roi_heads.box_predictor.",),
    "retinanet": ("head.classification_head.cls_logits.", "head.regression_head.bbox_reg."),
    "fcos": (
        "head.classification_head.cls_logits.",
        "head.regression_head.bbox_reg.",
        "head.regression_head.bbox_ctrness.",
    ),
    "ssd": ("head.",),
}
"""Beginnings of the names of what predicts classes and boxes, by family."""


def backbone_prefix(known: Architecture) -> str:
    """Beginning of the names of a backbone's weights, its feature pyramid aside."""
    return "backbone." if known.family == "ssd" else "backbone.body."


def build_network(params: DetectorParams, n_classes: int, anchors: Anchors | None) -> nn.Module:
    """Build a network with random weights, batch norms in the place of frozen ones.

    Args:
        params: Hyperparameters.
        n_classes: Number of classes of the data set.
        anchors: Anchors, or None for torchvision's own.
    """
    known = params.architecture
    n_outputs = n_classes + known.first_label
    net: Any = _own(params, n_outputs) if known.own else _torchvisions(params, n_outputs)
    if anchors is not None:
        set_anchors(net, anchors, n_outputs, known.fixed_px)
    if not known.normed and not params.weights.endswith(".pth"):
        add_norms(net.backbone)
    if params.norm == "GN":
        use_group_norms(net)
    if known.has_regions:
        _set_strides(net)
    built: nn.Module = net
    return built


@torch.no_grad()
def _set_strides(net: Any) -> None:
    """Let a Faster R-CNN know the strides of its levels.

    Left alone, torchvision infers them from the first picture it sees: too fine where padding adds
    half to its sides.
    """
    side = 64
    features = net.eval().backbone(torch.zeros(1, 3, side, side))
    net.roi_heads.box_roi_pool(features, [torch.zeros(1, 4)], [(side, side)])
    net.train()


def build_for_use(params: DetectorParams, n_classes: int, anchors: Anchors | None) -> nn.Module:
    """Build a network as it is after training, to load its weights into."""
    net = build_network(params, n_classes, anchors)
    if params.norm == "FrozenBN":
        freeze_norms(net)
    return net


def freeze(net: nn.Module, params: DetectorParams) -> None:
    """Take the frozen parts from what is trained."""
    frozen = frozen_prefixes(params)
    predictors = PREDICTORS[params.architecture.family]
    for name, weight in net.named_parameters():
        if name.startswith(frozen) and not (params.freeze == "all" and name.startswith(predictors)):
            weight.requires_grad_(False)


def frozen_prefixes(params: DetectorParams) -> tuple[str, ...]:
    """Beginnings of the names of the weights that are frozen; "" where it is all of them."""
    prefix = backbone_prefix(params.architecture)
    return {
        "none": (),
        "backbone": (prefix,),
        "fpn": ("backbone.",),
        "rpn": ("backbone.", "rpn."),
        "all": ("",),
    }[params.freeze]


def _own(params: DetectorParams, n_outputs: int) -> Any:
    channels = params.fpn_channels
    if params.model == "small_fpn":
        backbone = small_fpn(params.width, channels)
    else:
        backbone = efficientnet_fpn(channels)
    return FasterRCNN(
        backbone,
        box_head=TwoMLPHead(channels * _ROI_CELLS**2, params.box_head_dim),
        box_predictor=FastRCNNPredictor(params.box_head_dim, n_outputs),
        **_settings(params),
    )


def _torchvisions(params: DetectorParams, n_outputs: int) -> Any:
    make = getattr(detection, params.model)
    own_colours: dict[str, Any] = {}
    if not params.architecture.normed and params.weights == UNTRAINED:
        own_colours = {"image_mean": _MEAN, "image_std": _STD}  # else 0 to 255, as VGG's weights
    return make(
        weights=None,
        weights_backbone=None,
        num_classes=n_outputs,
        **_settings(params),
        **own_colours,
    )


def _settings(params: DetectorParams) -> dict[str, Any]:
    known = params.architecture
    sizes: dict[str, Any] = {}
    if not known.fixed_px:
        sizes = {"min_size": params.min_size, "max_size": params.max_size}
    if not known.has_regions:
        return {
            **sizes,
            "score_thresh": params.score_thresh,
            "nms_thresh": params.nms_thresh,
            "detections_per_img": params.max_det,
            "topk_candidates": max(1000, params.max_det),
        }
    in_use = max(params.proposals, params.max_det)  # an object needs a region
    return {
        **sizes,
        "rpn_score_thresh": 0.0,
        "rpn_pre_nms_top_n_train": max(2000, params.proposals),
        "rpn_pre_nms_top_n_test": max(1000, in_use),
        "rpn_post_nms_top_n_train": params.proposals,
        "rpn_post_nms_top_n_test": in_use,
        "box_batch_size_per_image": params.regions,
        "box_positive_fraction": params.positive_fraction,
        "box_score_thresh": params.score_thresh,
        "box_nms_thresh": params.nms_thresh,
        "box_detections_per_img": params.max_det,
    }


def reporter(net: Any) -> Any:
    """The part of a network that knows how many objects it reports."""
    return net.roi_heads if hasattr(net, "roi_heads") else net


def set_reporting(net: Any, wanted: Reporting) -> None:
    """Make a network report other objects than it was built to.

    Args:
        net: The network; it looks at as many candidates as it may report objects, at least.
        wanted: Most objects and lowest score.
    """
    part = reporter(net)
    part.detections_per_img = wanted.max_det
    part.score_thresh = wanted.confidence
    if hasattr(net, "rpn"):
        for regions in (net.rpn._pre_nms_top_n, net.rpn._post_nms_top_n):
            regions["testing"] = max(regions["testing"], wanted.max_det)
    else:
        net.topk_candidates = max(net.topk_candidates, wanted.max_det)


def steps_of(net: nn.Module) -> Sequence[nn.Parameter]:
    """Weights that are trained."""
    return [weight for weight in net.parameters() if weight.requires_grad]
