"""Search spaces of YOLO -seg.

`yolo_seg` has every range of the tuning guide this project started from, except that `perspective`
ends at 0.001: it is a slope per pixel, and the guide's 0.1 throws a picture of 640 px out of its
frame. `yolo_seg_script` has the ranges of the script published beside it. In both:

- `batch` is one of 2 to 64 and `nbs` is searched. Ultralytics sums gradients up to a nominal batch
  of `nbs` images (64 by default); on a few dozen images it would then hardly ever take a step.
- `dropout` and, under AdamW, `warmup_momentum` have their ranges, but no effect: the study marks
  them so and does not sample them.

The script listed every augmentation as 0.

**Warm-start points.** Ultralytics' defaults brought into the ranges, for batches of 16, 8 and 2
with nbs = batch, so that each batch is a step. Its default lr0 (0.01) is meant for SGD. For AdamW
its `optimizer=auto` takes 0.002 * 5 / (4 + number of classes), at its default batch of 16: 0.002
for one class, which is our value (ultralytics 8.4, `engine/trainer.py`, `build_optimizer`; its
`cfg/default.yaml` names 0.001). From there lr0 goes with the square root of the batch, as adaptive
optimizers need (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient
Algorithms", arXiv:2205.10343); for SGD, from 0.01 at the nominal batch of 64, in proportion to it
(Goyal et al. 2017, arXiv:1706.02677).
"""

import math
from collections.abc import Mapping
from typing import Any

from search_spaces.presets.preset import Point, Preset, nearest_point
from search_spaces.space import SearchSpace

BATCHES = [2, 4, 8, 16, 32, 64]

WARM_START_BATCHES = (16, 8, 2)

ADAPTIVE_LR0, ADAPTIVE_BATCH = 0.002, 16

SGD_LR0, SGD_BATCH = 0.01, 64

OPTIMIZER = "AdamW"
"""Optimizer that Ultralytics' default `auto` picks; `auto` itself would ignore lr0 and momentum."""


def scaled_lr0(optimizer: object, batch: float) -> float:
    """Ultralytics' learning rate for an optimizer, brought to a batch size.

    >>> [round(scaled_lr0("AdamW", batch), 5) for batch in (16, 8, 2)]
    [0.002, 0.00141, 0.00071]
    >>> scaled_lr0("SGD", 16)
    0.0025
    """
    if optimizer in {"SGD", "MuSGD"}:
        return SGD_LR0 * batch / SGD_BATCH
    return ADAPTIVE_LR0 * math.sqrt(batch / ADAPTIVE_BATCH)


def warm_start(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """A point for each of the batches 16, 8 and 2, or those nearest to them in `space`."""
    wanted = {**defaults, "optimizer": OPTIMIZER, **space.constants}
    points = []
    for batch in WARM_START_BATCHES:
        searched = nearest_point(space, {**wanted, "batch": space.constants.get("batch", batch)})
        start = {**wanted, **searched}
        lr0 = scaled_lr0(start["optimizer"], start["batch"])
        point = nearest_point(space, {**start, "nbs": start["batch"], "lr0": lr0})
        if point not in points:
            points.append(point)
    return points


YOLO_SEG = Preset(
    {
        "optimizer": {"choice": ["AdamW"]},
        "lr0": {"loguniform": [1e-5, 1e-1]},
        "lrf": {"uniform": [0.01, 1.0]},
        "momentum": {"uniform": [0.6, 0.98]},
        "weight_decay": {"uniform": [0.0, 0.005]},
        "warmup_epochs": {"randint": [0, 5]},
        "warmup_momentum": {"uniform": [0.0, 0.95]},
        "box": {"uniform": [5.0, 8.0]},
        "cls": {"uniform": [1.0, 3.0]},
        "dropout": {"uniform": [0.0, 0.1]},
        "fliplr": {"uniform": [0.0, 0.5]},
        "hsv_h": {"uniform": [0.0, 0.5]},
        "hsv_s": {"uniform": [0.0, 0.5]},
        "hsv_v": {"uniform": [0.0, 0.5]},
        "degrees": {"uniform": [0.0, 10.0]},
        "translate": {"uniform": [0.0, 0.25]},
        "scale": {"uniform": [0.0, 0.5]},
        "perspective": {"uniform": [0.0, 0.001]},
        "mosaic": {"uniform": [0.7, 1.0]},
        "copy_paste": {"uniform": [0.0, 0.3]},
        "cutmix": {"uniform": [0.0, 0.3]},
        "batch": {"choice": BATCHES},
        "nbs": {"choice": BATCHES},
    },
    warm_start,
)

_LISTED_AS_OFF = (
    "fliplr",
    "flipud",
    "hsv_h",
    "hsv_s",
    "hsv_v",
    "degrees",
    "translate",
    "scale",
    "shear",
    "perspective",
    "mosaic",
    "mixup",
    "copy_paste",
    "cutmix",
)

YOLO_SEG_SCRIPT = Preset(
    {
        "optimizer": {"choice": ["AdamW", "SGD", "RMSProp"]},
        "lr0": {"loguniform": [1e-6, 1e-2]},
        "lrf": {"uniform": [0.05, 1.0]},
        "momentum": {"uniform": [0.7, 0.98]},
        "weight_decay": {"loguniform": [1e-5, 1e-2]},
        "warmup_epochs": {"fixed": 5},
        "warmup_momentum": {"uniform": [0.05, 0.3], "when": {"optimizer": ["SGD", "RMSProp"]}},
        "box": {"uniform": [4.0, 10.0]},
        "cls": {"uniform": [0.5, 3.0]},
        "dropout": {"uniform": [0.0, 0.4]},
        **{key: {"fixed": 0.0} for key in _LISTED_AS_OFF},
        "batch": {"choice": BATCHES},
        "nbs": {"choice": BATCHES},
    },
    warm_start,
)

SMOKE = Preset(
    {
        "optimizer": {"fixed": "AdamW"},
        "imgsz": {"fixed": 96},
        "lr0": {"loguniform": [1e-3, 1e-2]},
        "batch": {"choice": [2, 4]},
        "nbs": {"choice": [2, 4]},
        "warmup_epochs": {"randint": [0, 2]},
        "mosaic": {"uniform": [0.0, 0.5]},
    },
    warm_start,
)

PRESETS = {"yolo_seg": YOLO_SEG, "yolo_seg_script": YOLO_SEG_SCRIPT, "smoke": SMOKE}
