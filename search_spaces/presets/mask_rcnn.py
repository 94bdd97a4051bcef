"""Search spaces of Mask R-CNN.

`mask_rcnn` has the ranges of deepEMIA, the tuner for electron micrographs that this engine follows,
and its defaults as the warm-start point. They are meant for COCO-pretrained weights (`weights:
coco`, `norm: FrozenBN`) and Detectron2's own SGD. Its warm-up is counted in steps; on a few dozen
images it may be longer than the whole training, so train long, or set `warmup_iters: null`.

`mask_rcnn_scratch` is for training without weights on a few dozen images: small anchors, few
regions, AdamW with clipped gradients. Its warm-start point is the recipe that reached a mask F1 of
0.7 on 48 fluorescence micrographs within 360 steps.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces.presets.preset import Point, Preset, nearest_point
from search_spaces.space import SearchSpace

SEED_DEFAULTS: Mapping[str, Any] = {
    "base_lr": 0.00025,
    "ims_per_batch": 2,
    "warmup_iters": 1000,
    "gamma": 0.1,
    "batch_size_per_image": 64,
}
"""The values that deepEMIA trains with unless told otherwise."""

SCRATCH_RECIPE: Mapping[str, Any] = {
    "base_lr": 0.0003,
    "ims_per_batch": 2,
    "batch_size_per_image": 64,
    "positive_fraction": 0.25,
    "weight_decay": 0.0001,
    "warmup_fraction": 0.05,
    "augment": "flip",
    "anchor_px": 8.0,
    "scale_jitter": 0.0,
}


def seed_defaults(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """One point: deepEMIA's defaults, brought into the ranges."""
    return [nearest_point(space, {**defaults, **SEED_DEFAULTS})]


def scratch_recipe(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """One point: the recipe for few images without weights, brought into the ranges."""
    return [nearest_point(space, {**defaults, **SCRATCH_RECIPE})]


MASK_RCNN = Preset(
    {
        "optimizer": {"fixed": "SGD"},
        "base_lr": {"loguniform": [1e-5, 1e-2]},
        "ims_per_batch": {"choice": [2, 4, 8]},
        "warmup_iters": {"randint": [500, 2001]},
        "gamma": {"uniform": [0.05, 0.2]},
        "batch_size_per_image": {"choice": [32, 64, 128]},
    },
    seed_defaults,
)

MASK_RCNN_SCRATCH = Preset(
    {
        "optimizer": {"fixed": "AdamW"},
        "norm": {"fixed": "GN"},
        "schedule": {"fixed": "cosine"},
        "proposals": {"fixed": 300},
        "base_lr": {"loguniform": [1e-4, 1e-3]},
        "ims_per_batch": {"choice": [1, 2, 4]},
        "batch_size_per_image": {"choice": [32, 64, 128]},
        "positive_fraction": {"uniform": [0.25, 0.5]},
        "weight_decay": {"loguniform": [1e-5, 1e-2]},
        "warmup_fraction": {"uniform": [0.02, 0.1]},
        "augment": {"choice": ["flip", "seed", "strong"]},
        "anchor_px": {"choice": [4.0, 8.0, 16.0]},
        "scale_jitter": {"uniform": [0.0, 0.3]},
    },
    scratch_recipe,
)

SMOKE = Preset(
    {
        "backbone": {"fixed": "r18"},
        "min_size": {"fixed": 96},
        "max_size": {"fixed": 128},
        "fpn_channels": {"fixed": 64},
        "box_head_dim": {"fixed": 64},
        "mask_head_dim": {"fixed": 32},
        "mask_head_convs": {"fixed": 1},
        "proposals": {"fixed": 100},
        "max_det": {"fixed": 50},
        "anchor_px": {"fixed": 8.0},
        "base_lr": {"loguniform": [3e-4, 3e-3]},
        "ims_per_batch": {"choice": [2, 4]},
        "batch_size_per_image": {"choice": [32, 64]},
    },
)

PRESETS = {"mask_rcnn": MASK_RCNN, "mask_rcnn_scratch": MASK_RCNN_SCRATCH, "smoke": SMOKE}
