"""The summary of a trial's run: its best epoch, by which W&B's table ranks trials as we do."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from trainables.goal import Goal, Limit, best_of, violation
from trainables.trials.layout import FINDS_FILE, FINDS_PLACES

BEST: Final = "best/"
"""Before the names of what stands in the summary from the best epoch."""

EPOCH: Final = f"{BEST}epoch"

VIOLATION: Final = f"{BEST}violation"

MOST_TAG: Final = 64
"""Most characters of a tag that W&B takes."""


def best_summary(
    goal: Goal, epochs: Mapping[int, Mapping[str, float]], best: int | None = None
) -> dict[str, float]:
    """Every metric at the best epoch, its number, and by how much it breaks the limits.

    Args:
        goal: Says which epoch is the best.
        epochs: Metrics of all epochs so far, by their number.
        best: The best epoch where that is known; default: by the goal, of equal ones the last.

    Returns:
        Values by `best/<metric>`; empty where no epoch has a finite objective.

    Example:
        >>> epochs = {1: {"epoch": 1, "F1": 0.5}, 2: {"epoch": 2, "F1": 0.4}}
        >>> best_summary(Goal("F1"), epochs)
        {'best/epoch': 1, 'best/F1': 0.5, 'best/violation': 0.0}
    """
    if best is None:
        best = best_of(sorted(epochs, reverse=True), lambda epoch: goal.standing(epochs[epoch]))
    if best is None or best not in epochs:
        return {}
    values = epochs[best]
    named = {f"{BEST}{name}": value for name, value in values.items()}
    return {**named, VIOLATION: violation(goal.excess(values).values())}


def finds_of(epoch: int, files: Iterable[Path]) -> dict[str, Path]:
    """The pictures of an epoch's finds among some files, by `best/finds/<place>`.

    Example:
        >>> finds_of(3, [Path("finds-epoch-3-worst-a.png"), Path("finds-epoch-2-best-b.png")])
        {'best/finds/worst': PosixPath('finds-epoch-3-worst-a.png')}
    """
    found = {}
    for place in FINDS_PLACES:
        pattern = FINDS_FILE.format(epoch=epoch, place=place, picture="*")
        for file in files:
            if file.match(pattern):
                found[f"{BEST}finds/{place}"] = file
    return found


def plain_goal(goal: Goal) -> dict[str, Any]:
    """A goal as plain data, which `goal_of_plain` makes the same value of."""
    limits = [vars(limit) for limit in goal.limits]
    return {"metric": goal.metric, "mode": goal.mode, "limits": limits}


def goal_of_plain(content: Mapping[str, Any]) -> Goal:
    """The goal that `plain_goal` was given."""
    limits = tuple(Limit(**limit) for limit in content["limits"])
    return Goal(content["metric"], content["mode"], limits)


def run_tags(config: Mapping[str, Any]) -> list[str]:
    """Engine, data set and study of a run's configuration, each once and as long as W&B takes it.

    Example:
        >>> run_tags({"engine": "yolo_seg", "data": "powder", "study": "powder", "lr0": 0.1})
        ['yolo_seg', 'powder']
    """
    names = [str(config[key])[:MOST_TAG] for key in ("engine", "data", "study") if config.get(key)]
    return list(dict.fromkeys(names))
