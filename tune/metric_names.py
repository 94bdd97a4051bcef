"""What metrics are called, and which way they are better."""

from collections.abc import Mapping
from typing import Final, Literal

from search_spaces.names import nearest_name
from trainables.contract import EngineInfo
from trainables.measure import MEASURE
from trainables.metrics import names_in

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

_BIAS: Final = f"{MEASURE}/diameter_bias"
_SHIFT: Final = f"{MEASURE}/diameter_shift"
_POSITION: Final = "position_error_px"
_GAP: Final = "overfit_gap"


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
    """Which way a metric is better.

    >>> direction("seg_metrics/F1"), direction("measure/count_error"), direction("overfit_gap")
    ('max', 'min', 'min')
    """
    is_error = metric.startswith(f"{MEASURE}/") or metric.endswith(f"/{_POSITION}")
    return "min" if is_loss(metric) or is_error or metric == _GAP else "max"


def of_training(metric: str) -> bool:
    """Whether a metric is there only at epochs that measure the training split.

    >>> of_training("train_seg_metrics/F1"), of_training("overfit_gap"), of_training("train/loss")
    (True, True, False)
    """
    return metric.startswith("train_") or metric == _GAP


def objective_problem(metric: str, info: EngineInfo) -> str | None:
    """Why an engine's trials cannot be ranked by a metric, or None."""
    if metric == _SHIFT and MEASURE in info.metrics:
        return (
            f"expected a metric that is better larger or smaller, got {metric}, which is best at "
            f"0; the nearest is {_BIAS}"
        )
    return _problem(metric, objectives(info), info)


def objectives(info: EngineInfo) -> list[str]:
    """Metrics of an engine by which trials can be ranked, its losses left out."""
    return [name for name in _validation_metrics(info) if name != _SHIFT]


def limit_problem(metric: str, info: EngineInfo) -> str | None:
    """Why an engine's trials cannot be held to a limit on a metric, or None."""
    return _problem(metric, _validation_metrics(info), info)


def sides(metric: str) -> frozenset[str]:
    """Which bounds make sense for a metric: on its worse side, or both where it is best at 0."""
    if metric == _SHIFT:
        return frozenset({"at_least", "at_most"})
    return frozenset({"at_most" if direction(metric) == "min" else "at_least"})


def _validation_metrics(info: EngineInfo) -> list[str]:
    groups = [group for group in info.metrics if not group.startswith("train_")]
    return [name for group in groups for name in names_in(group)]


def _is_split_loss(metric: str) -> bool:
    """Whether a metric is a loss of a split, such as `val/seg_loss`: their names are the engine's.

    One that the engine does not report is an error at its first report.
    """
    split, _, rest = metric.partition("/")
    return split in {"train", "val"} and is_loss(rest)


def _problem(metric: str, known: list[str], info: EngineInfo) -> str | None:
    if metric in known or _is_split_loss(metric):
        return None
    return _unknown(metric, known, info)


def watched_problem(metric: str, info: EngineInfo, every: int) -> str | None:
    """Why a plateau rule cannot watch a metric, or None.

    Args:
        metric: Ours, of the validation or the training split, or a loss.
        info: The engine.
        every: Every how many epochs the training split is measured; 0 for never.
    """
    groups = dict.fromkeys(group.removeprefix("train_") for group in info.metrics)
    of_both = [name for group in groups if group != MEASURE for name in names_in(group)]
    of_train = [f"train_{name}" for name in of_both]
    known = list(dict.fromkeys([*of_both, *objectives(info), *of_train, _GAP]))
    problem = _problem(metric, known, info)
    if problem:
        return problem
    if of_training(metric) and every == 0:
        return (
            f"expected a metric that is taken, got {metric} with train_metrics.every = 0; "
            "set train_metrics.every to 1"
        )
    return None


def _unknown(metric: str, known: list[str], info: EngineInfo) -> str:
    return (
        f"expected a metric of {info.name} ({', '.join(known)}) or a loss, such as val/seg_loss, "
        f"got {metric!r}"
        f"{nearest_name(metric, known)}"
    )
