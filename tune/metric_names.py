"""What metrics are called, and which way they are better."""

from collections.abc import Mapping
from typing import Final, Literal

from search_spaces.names import nearest_name
from trainables.contract import EngineInfo
from trainables.metrics import METRIC_NAMES

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


def normal_name(metric: str) -> str:
    """Our name of a metric, also for Ultralytics' name.

    >>> normal_name("metrics/F1(M)"), normal_name("F1(B)"), normal_name("val/loss")
    ('seg_metrics/F1', 'box_metrics/F1', 'val/loss')
    """
    return _ALIASES.get(metric, metric)


def is_loss(metric: str) -> bool:
    """Whether smaller is better."""
    return "loss" in metric


def direction(metric: str) -> Literal["max", "min"]:
    """Which way a metric is better."""
    return "min" if is_loss(metric) else "max"


def objective_problem(metric: str, info: EngineInfo) -> str | None:
    """Why an engine's trials cannot be ranked by a metric, or None."""
    groups = [group for group in info.metrics if not group.startswith("train_")]
    known = [f"{group}/{name}" for group in groups for name in METRIC_NAMES]
    return None if metric in known else _unknown(metric, known, info)


def watched_problem(metric: str, info: EngineInfo, every: int) -> str | None:
    """Why a plateau rule cannot watch a metric, or None.

    Args:
        metric: Ours, of the validation or the training split, or a loss.
        info: The engine.
        every: Every how many epochs the training split is measured; 0 for never.
    """
    groups = [group.removeprefix("train_") for group in info.metrics]
    known = [f"{group}/{name}" for group in dict.fromkeys(groups) for name in METRIC_NAMES]
    split, _, rest = metric.partition("/")
    if split in {"train", "val"} and is_loss(rest):
        return None
    if metric.removeprefix("train_") not in known:
        both = [*known, *(f"train_{name}" for name in known)]
        return _unknown(metric, both, info)
    if metric.startswith("train_") and every == 0:
        return (
            f"expected a metric that is taken, got {metric} with train_metrics.every = 0; "
            "set train_metrics.every to 1"
        )
    return None


def _unknown(metric: str, known: list[str], info: EngineInfo) -> str:
    return (
        f"expected a metric of {info.name} ({', '.join(known)}), got {metric!r}"
        f"{nearest_name(metric, known)}"
    )
