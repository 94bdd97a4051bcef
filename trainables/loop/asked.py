"""Hyperparameters as they were asked for, and whether that is what was built."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainables.contract import IneffectiveParam, InfeasibleParams

Params = TypeVar("Params", bound=BaseModel)


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
