"""Metrics that a study may tune, limit or watch, by what its engine reports."""

from search_spaces.names import nearest_name
from trainables.contract import EngineInfo
from trainables.metrics.names import (
    DIAMETER_BIAS,
    DIAMETER_SHIFT,
    MEASURE,
    OVERFIT_GAP,
    is_loss,
    names_in,
    of_training,
)


def objective_problem(metric: str, info: EngineInfo) -> str | None:
    """The reason why an engine's trials cannot be ranked by a metric, or None."""
    if metric == DIAMETER_SHIFT and MEASURE in info.metrics:
        return (
            f"expected a metric that is better larger or smaller, got {metric}, which is best at "
            f"0; the nearest is {DIAMETER_BIAS}"
        )
    return _problem(metric, objectives(info), info)


def objectives(info: EngineInfo) -> list[str]:
    """Metrics of an engine by which trials can be ranked, its losses left out."""
    return [name for name in _validation_metrics(info) if name != DIAMETER_SHIFT]


def limit_problem(metric: str, info: EngineInfo) -> str | None:
    """The reason why an engine's trials cannot be held to a limit on a metric, or None."""
    return _problem(metric, _validation_metrics(info), info)


def _validation_metrics(info: EngineInfo) -> list[str]:
    groups = [group for group in info.metrics if not group.startswith("train_")]
    return [name for group in groups for name in names_in(group)]


def _is_split_loss(metric: str) -> bool:
    """Tell whether a metric is a loss of a split, such as `val/seg_loss`: engines name those.

    One that the engine does not report is an error at its first report.
    """
    split, _, rest = metric.partition("/")
    return split in {"train", "val"} and is_loss(rest)


def _problem(metric: str, known: list[str], info: EngineInfo) -> str | None:
    if metric in known or _is_split_loss(metric):
        return None
    return _unknown(metric, known, info)


def watched_problem(metric: str, info: EngineInfo, every: int) -> str | None:
    """The reason why a plateau rule cannot watch a metric, or None.

    Args:
        metric: One of our metrics of the validation or the training part, or a loss.
        info: The engine.
        every: Epochs from one measuring of the training part to the next; 0 for never.
    """
    groups = dict.fromkeys(group.removeprefix("train_") for group in info.metrics)
    of_both = [name for group in groups if group != MEASURE for name in names_in(group)]
    of_train = [f"train_{name}" for name in of_both]
    known = list(dict.fromkeys([*of_both, *objectives(info), *of_train, OVERFIT_GAP]))
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
