"""Search spaces of the self-training U-Net.

`unet_selftraining` is for particles of some 10 px radius in a dozen micrographs. Its warm-start
points are the seed's loss and thresholds, and the plain recipe that picks beta-galactosidase with a
particle F1 of 0.8 within 300 steps: cross entropy and Dice, without rounds.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces.presets.preset import Point, Preset, nearest_point
from search_spaces.space import SearchSpace

SEED_DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.001,
    "weight_decay": 0.0001,
    "loss": "focal_dice",
    "focal_weight": 0.7,
    "rounds": 3,
    "positive_threshold": 0.95,
    "negative_threshold": 0.05,
    "threshold_decay": 0.02,
}

RECIPE: Mapping[str, Any] = {
    "learning_rate": 0.002,
    "weight_decay": 0.01,
    "loss": "ce_dice",
    "width": 16,
    "batch_size": 8,
    "target_scale": 0.7,
    "rounds": 0,
}


def first_points(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """The recipe and the seed's values, brought into the ranges."""
    return [nearest_point(space, {**defaults, **point}) for point in (RECIPE, SEED_DEFAULTS)]


UNET_SELFTRAINING = Preset(
    {
        "optimizer": {"fixed": "adamw"},
        "scheduler": {"fixed": "cosine"},
        "augment": {"fixed": "turns"},
        "learning_rate": {"loguniform": [3e-4, 6e-3]},
        "weight_decay": {"loguniform": [1e-5, 5e-2]},
        "batch_size": {"choice": [4, 8, 16]},
        "width": {"choice": [12, 16, 24]},
        "loss": {"choice": ["focal_dice", "ce_dice", "dice"]},
        "focal_weight": {"uniform": [0.3, 0.9], "when": {"loss": "focal_dice"}},
        "target_scale": {"uniform": [0.5, 1.0]},
        "rounds": {"choice": [0, 1, 2, 3]},
        "positive_threshold": {"uniform": [0.85, 0.99], "when": {"rounds": [1, 2, 3]}},
        "negative_threshold": {"uniform": [0.01, 0.15], "when": {"rounds": [1, 2, 3]}},
        "threshold_decay": {"uniform": [0.0, 0.05], "when": {"rounds": [2, 3]}},
    },
    first_points,
)

SMOKE = Preset(
    {
        "depth": {"fixed": 2},
        "width": {"fixed": 4},
        "tile_px": {"fixed": 48},
        "tiles": {"fixed": 16},
        "batch_size": {"fixed": 4},
        "rounds": {"fixed": 0},
        "learning_rate": {"loguniform": [1e-3, 1e-2]},
        "loss": {"choice": ["focal_dice", "ce_dice"]},
    },
)

PRESETS = {"unet_selftraining": UNET_SELFTRAINING, "smoke": SMOKE}
