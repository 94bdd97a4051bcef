"""The configurations that race: the best of a study, and the engine's defaults as the control."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis.errors import ConfirmError
from analysis.models.confirmed import Contender
from search_spaces.schema import Hyperparameters
from trainables.registry import engine_info
from tune.directory.ranking import ranked
from tune.directory.reader import StudyDir, TrialRecord
from tune.study.space import defaults


def contenders(study: StudyDir, trials: Sequence[TrialRecord], top: int) -> list[Contender]:
    """The best trials of a study, and the default behind them.

    The default is the engine's default of every hyperparameter, but for what the study fixed. It is
    left out only where one of the best is the very same.

    Args:
        study: The study.
        trials: All its trials.
        top: Number of the best that race.

    Raises:
        ConfirmError: No trial has a value that keeps the study's constraints.
    """
    goal = study.study.objective.goal
    usable = [t for t in trials if t.objective is not None and t.state != "failed"]
    good = [t for t in ranked(usable, goal) if t.violation == 0][:top]
    if not good:
        raise ConfirmError(
            f"{study.path}: expected a trial with a value of {goal.metric} that keeps the study's "
            f"constraints, got {len(trials)} trials without one; there is nothing to confirm"
        )
    info = engine_info(study.study.trainable)
    found = [
        Contender(
            name=f"trial {t.number}",
            number=t.number,
            searched=t.objective,
            params={**t.fixed, **t.params},
        )
        for t in good
    ]
    keys = {key for one in found for key in one.params}
    default = {k: v for k, v in defaults(info.params).items() if k in keys and v is not None}
    params = _effective(info.params, {**default, **study.study.fixed})
    same = [c for c in found if _effective(info.params, {**default, **c.params}) == params]
    if same:
        first = found.index(same[0])
        name = f"{same[0].name} (the default)"
        found[first] = same[0].model_copy(update={"name": name, "is_default": True})
        return found
    return [*found, Contender(name="the default", is_default=True, params=params)]


def shared(racing: Sequence[Contender]) -> dict[str, Any]:
    """What all candidates have in common, as a study's `fixed`."""
    first, *others = (one.params for one in racing)
    return {
        key: value
        for key, value in first.items()
        if all(key in other and _same(other[key], value) for other in others)
    }


def choices(racing: Sequence[Contender]) -> dict[str, Any]:
    """Where they differ, as a study's `search_space`: the values of each key that there are."""
    fixed = shared(racing)
    keys = dict.fromkeys(key for one in racing for key in one.params if key not in fixed)
    return {key: {"choice": list(_distinct(racing, key))} for key in keys}


def points(racing: Sequence[Contender]) -> list[dict[str, Any]]:
    """The candidates as points of that space; a key that one does not have is left out."""
    keys = choices(racing)
    return [{key: value for key, value in one.params.items() if key in keys} for one in racing]


def _distinct(racing: Sequence[Contender], key: str) -> Iterator[Any]:
    seen: list[Any] = []
    for one in racing:
        if key in one.params and not any(_same(one.params[key], value) for value in seen):
            seen.append(one.params[key])
            yield one.params[key]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _effective(params: type[Hyperparameters], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that have an effect beside each other."""
    idle = params.without_effect(dict(values))
    return {key: value for key, value in values.items() if key not in idle}
