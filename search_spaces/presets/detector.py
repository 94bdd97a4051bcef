"""Search spaces of the detectors.

`detector` has the ranges of the training scripts this engine follows (viam-labs'
torch-training-script), for fine-tuning trained weights with SGD: learning rate, weight decay,
momentum and clipping. Its warm-start point is torchvision's own recipe for a batch of 4: a rate of
0.02 at 16 pictures a step, in proportion to the batch (Goyal et al. 2017, arXiv:1706.02677).

`detector_scratch` is for training without weights on some dozens of pictures: group norms, anchors
from the data, clipped gradients, a cosine to 0, batches from 2 pictures on, mild augmentation. It
searches AdamW and SGD with Nesterov's momentum, each at its own rates, and begins with a good point
of either.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces.presets.preset import Point, Preset, nearest_point
from search_spaces.space import SearchSpace

TORCHVISION: Mapping[str, Any] = {
    "learning_rate": 0.005,
    "weight_decay": 0.0001,
    "momentum": 0.9,
    "clip": 0.0,
    "nesterov": False,
    "backbone_lr_ratio": 1.0,
}

SCRATCH_RECIPE: Mapping[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "batch_size": 2,
    "weight_decay": 0.0001,
    "anchor_scales": 2,
    "positive_fraction": 0.25,
    "nms_thresh": 0.4,
    "flipud": 0.5,
    "scale": 0.2,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "degrees": 0.0,
}

SCRATCH_SGD: Mapping[str, Any] = {
    **SCRATCH_RECIPE,
    "optimizer": "sgd",
    "sgd_learning_rate": 0.02,
    "nesterov": True,
}


def torchvision_recipe(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """One point: torchvision's own, brought into the ranges."""
    return [nearest_point(space, {**defaults, **TORCHVISION})]


def scratch_recipe(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """Recipes for few pictures without weights, brought into the ranges: AdamW's, then SGD's."""
    points = []
    for recipe in (SCRATCH_RECIPE, SCRATCH_SGD):
        point = nearest_point(space, {**defaults, **recipe})
        if point not in points:
            points.append(point)
    return points


DETECTOR = Preset(
    {
        "optimizer": {"fixed": "sgd"},
        "norm": {"fixed": "BN"},
        "scheduler": {"fixed": "multistep"},
        "learning_rate": {"loguniform": [1e-4, 1e-2]},
        "weight_decay": {"loguniform": [1e-6, 1e-3]},
        "momentum": {"uniform": [0.85, 0.95]},
        "nesterov": {"choice": [False, True]},
        "clip": {"choice": [0.0, 0.1, 1.0, 5.0]},
        "backbone_lr_ratio": {"loguniform": [0.05, 1.0]},
        "gamma": {"choice": [0.1, 0.2, 0.5]},
    },
    torchvision_recipe,
)

DETECTOR_SCRATCH = Preset(
    {
        "optimizer": {"choice": ["adamw", "sgd"]},
        "learning_rate": {"loguniform": [3e-4, 3e-3], "when": {"optimizer": "adamw"}},
        "sgd_learning_rate": {"loguniform": [5e-3, 5e-2], "when": {"optimizer": "sgd"}},
        "nesterov": {"fixed": True, "when": {"optimizer": "sgd"}},
        "norm": {"fixed": "GN"},
        "scheduler": {"fixed": "cosine"},
        "clip": {"fixed": 10.0},
        "proposals": {"fixed": 300},
        "batch_size": {"choice": [2, 4, 8]},
        "weight_decay": {"loguniform": [1e-5, 1e-2]},
        "anchor_scales": {"choice": [1, 2, 3]},
        "positive_fraction": {"uniform": [0.2, 0.5]},
        "nms_thresh": {"uniform": [0.3, 0.6]},
        "flipud": {"choice": [0.0, 0.5]},
        "scale": {"uniform": [0.0, 0.4]},
        "degrees": {"choice": [0.0, 10.0, 180.0]},
        "brightness": {"uniform": [0.0, 0.4]},
        "contrast": {"uniform": [0.0, 0.4]},
        "saturation": {"uniform": [0.0, 0.4]},
    },
    scratch_recipe,
)

SMOKE = Preset(
    {
        "model": {"fixed": "small_fpn"},
        "width": {"fixed": 8},
        "fpn_channels": {"fixed": 16},
        "box_head_dim": {"fixed": 32},
        "min_size": {"fixed": 64},
        "max_size": {"fixed": 96},
        "proposals": {"fixed": 50},
        "regions": {"fixed": 32},
        "max_det": {"fixed": 20},
        "warmup_steps": {"fixed": 2},
        "learning_rate": {"loguniform": [5e-4, 5e-3]},
        "batch_size": {"choice": [2, 4]},
    },
)

PRESETS = {"detector": DETECTOR, "detector_scratch": DETECTOR_SCRATCH, "smoke": SMOKE}
