"""Hyperparameters as they were asked for, and whether that is what was built."""

import math
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from search_spaces.schema import Hyperparameters
from trainables.contract import IneffectiveParam, InfeasibleParams, Trial

Params = TypeVar("Params", bound=BaseModel)

_ON_THE_CPU: Final = {
    "amp": "there is no mixed precision on the CPU",
    "workers": "the CPU trains without loader processes",
}
"""Hyperparameters of the engines with loader processes that change nothing without a GPU."""


def validated(model: type[Params], params: Mapping[str, Any]) -> Params:
    """A trial's hyperparameters.

    Raises:
        InfeasibleParams: One is unknown or out of its bounds; the message names every such key.
    """
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
            for e in error.errors()
        ]
        raise InfeasibleParams("; ".join(problems)) from error


def refuse_combinations(model: type[Hyperparameters], trial: Trial) -> None:
    """Refuse values of a trial that do not go together.

    Raises:
        InfeasibleParams: Some do not; the message names every such key.
    """
    problems = model.problems(dict(trial.params), frozenset())
    if problems:
        raise InfeasibleParams("; ".join(f"{key}: {message}" for key, message in problems))


def without_effect_here(
    model: type[Hyperparameters], values: Mapping[str, Any], trial: Trial
) -> dict[str, str]:
    """Keys without effect on the trial's device, with the reason, of loops with loader processes.

    Args:
        model: Schema of the engine's hyperparameters.
        values: All values of the training, defaults included.
        trial: Says which device it has.
    """
    on_device = _ON_THE_CPU if trial.device.name == "cpu" else {}
    return {**model.without_effect(values), **on_device}


def note_ignored(trial: Trial, ignored: Mapping[str, str]) -> None:
    """Tell the user which of the keys that were given have no effect, and why."""
    for key, reason in ignored.items():
        if key in trial.params:
            trial.note(f"{key} has no effect: {reason}")


def require_built(asked: Mapping[str, Any], built: Mapping[str, Any], builder: str) -> None:
    """Compare what was asked for with what was read back.

    Args:
        asked: Values by hyperparameter, without those that are known to have no effect.
        built: Values that were built, by the same names; there may be more.
        builder: Name of the framework that built them, for the message.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    different = [
        f"{key}: expected {value}, got {built[key]}"
        for key, value in asked.items()
        if not same(value, built[key])
    ]
    if different:
        raise IneffectiveParam(
            f"{builder} would not train with what was asked for: " + "; ".join(different)
        )


def same(asked: Any, built: Any) -> bool:
    """Whether two values are one setting: numbers but for rounding, words in either case."""
    if isinstance(asked, str) and isinstance(built, str):
        return asked.casefold() == built.casefold()
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return bool(asked == built)
    return isinstance(built, int | float) and math.isclose(asked, built, rel_tol=1e-6)
