"""Names of metrics: groups, directions, and the other names they go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

_ULTRALYTICS: Final[Mapping[str, str]] = {
    "F1": "F1",
    "precision": "precision",
    "recall": "recall",
    "mAP50": "map50",
    "mAP50-95": "map50_95",
}

_ALIASES: Final[Mapping[str, str]] = {
    f"{prefix}{theirs}({letter})": f"{group}/{ours}"
    for prefix in ("metrics/", "")
    for theirs, ours in _ULTRALYTICS.items()
    for letter, group in (("M", "seg_metrics"), ("B", "box_metrics"))
}

MEASURE = "measure"
"""The group of these metrics; taken on the validation part only, never on the training part."""

DIAMETER_BIAS: Final = f"{MEASURE}/diameter_bias"

DIAMETER_SHIFT: Final = f"{MEASURE}/diameter_shift"

_OF_SIZE: Final = re.compile(rf"{DIAMETER_SHIFT}_(\d+)_to_(\d+)px")

_POSITION: Final = "position_error_px"

OVERFIT_GAP: Final = "overfit_gap"


def shift_of_size(low_px: int) -> str:
    """Name of the error of diameters from `low_px` to twice that.

    Example:
        >>> shift_of_size(8)
        'measure/diameter_shift_8_to_16px'
    """
    return f"{DIAMETER_SHIFT}_{low_px}_to_{2 * low_px}px"


def shifts_by_size(metrics: Mapping[str, float]) -> dict[int, float]:
    """The errors of diameters by the lower end of their size class, px, the smallest first.

    Example:
        >>> shifts_by_size({"measure/diameter_shift_8_to_16px": 0.1, "seg_metrics/F1": 0.9})
        {8: 0.1}
    """
    named = ((_OF_SIZE.fullmatch(name), value) for name, value in metrics.items())
    return dict(sorted((int(match[1]), value) for match, value in named if match))


def normal_name(metric: str) -> str:
    """Our name of a metric, also for Ultralytics' name.

    >>> normal_name("metrics/F1(M)"), normal_name("F1(B)"), normal_name("val/loss")
    ('seg_metrics/F1', 'box_metrics/F1', 'val/loss')
    """
    return _ALIASES.get(metric, metric)


def is_loss(metric: str) -> bool:
    """Whether a metric is a loss, of which less is better."""
    return "loss" in metric


def direction(metric: str) -> Literal["max", "min"]:
    """Direction in which a metric is better.

    >>> direction("seg_metrics/F1"), direction("measure/count_error"), direction("overfit_gap")
    ('max', 'min', 'min')
    """
    is_error = metric.startswith(f"{MEASURE}/") or metric.endswith(f"/{_POSITION}")
    return "min" if is_loss(metric) or is_error or metric == OVERFIT_GAP else "max"


def of_training(metric: str) -> bool:
    """Whether a metric is there only at epochs that measure the training part.

    >>> of_training("train_seg_metrics/F1"), of_training("overfit_gap"), of_training("train/loss")
    (True, True, False)
    """
    return metric.startswith("train_") or metric == OVERFIT_GAP


def sides(metric: str) -> frozenset[str]:
    """Bounds that make sense for a metric: on its worse side, or both where it is best at 0."""
    if metric == DIAMETER_SHIFT:
        return frozenset({"at_least", "at_most"})
    return frozenset({"at_most" if direction(metric) == "min" else "at_least"})


Kind = Literal["masks", "boxes"]
"""What is compared: the objects' masks or their boxes."""

MEASUREMENT_ERRORS = ("count_error", "diameter_bias", "size_distance")
"""What can be minimised or kept small."""

MEASURE_NAMES = (*MEASUREMENT_ERRORS, "diameter_shift")
"""All metrics of the group, as they are called after its slash."""

METRIC_NAMES = ("F1", "precision", "recall", "map50", "map50_95")
"""The metrics of a group, as they are called after its slash."""

GROUPS: Mapping[str, Kind] = {"seg_metrics": "masks", "box_metrics": "boxes"}
"""Group of metrics to what it compares."""

PIXEL_GROUP = "pixel_metrics"

PIXEL_NAMES = ("F1", "precision", "recall", "IoU", "AUC")

PARTICLE_GROUP = "particle_metrics"

PARTICLE_NAMES = ("F1", "precision", "recall", "average_precision", "position_error_px")
"""What pickers of particles are measured by, in `trainables.metrics.particles`: other things than
the masks' F1, so never under its name."""

MASK_GROUPS: Final = frozenset({"seg_metrics", PIXEL_GROUP, MEASURE})
"""Groups that compare masks, or pixels of objects, so that boxes alone are not enough."""

F1_NAMES = (*(f"{group}/F1" for group in GROUPS), f"{PARTICLE_GROUP}/F1")
"""What tells of an engine at a glance, the most important one first."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    MEASURE: MEASURE_NAMES,
    PIXEL_GROUP: PIXEL_NAMES,
    PARTICLE_GROUP: PARTICLE_NAMES,
}


def needs_masks(metric: str) -> bool:
    """Whether a metric compares masks, which data sets of boxes do not have.

    >>> needs_masks("train_seg_metrics/F1"), needs_masks("box_metrics/F1"), needs_masks("val/loss")
    (True, False, False)
    """
    return metric.partition("/")[0].removeprefix("train_") in MASK_GROUPS


def names_in(group: str) -> tuple[str, ...]:
    """Full names of the metrics of a group.

    Example:
        >>> names_in("measure")[:2]
        ('measure/count_error', 'measure/diameter_bias')
    """
    names = _NAMES.get(group.removeprefix("train_"), METRIC_NAMES)
    return tuple(f"{group}/{name}" for name in names)
