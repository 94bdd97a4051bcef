"""The type of presets: named search spaces with the points to try first.

A preset file, `search_spaces/presets/<engine>.py`, has `PRESETS`: name to `Preset`. Its space is
written as in a study file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.domains import Value
from search_spaces.space import SearchSpace

Point = dict[str, Value]

Points = Callable[[SearchSpace, Mapping[str, Any]], list[Point]]
"""Warm-start points of a space, given the engine's defaults."""


def nearest_point(space: SearchSpace, wanted: Mapping[str, Any]) -> Point:
    """The configuration of `space` closest to `wanted`, key by key; legal by construction.

    A key that `wanted` lacks is left to the sampler.
    """
    point: Point = {}
    for name, parameter in space.parameters.items():
        if name in wanted and space.active(name, point):
            point[name] = parameter.domain.nearest(wanted[name])
    return point


def engine_defaults(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Point]:
    """One point: the engine's defaults, brought into the ranges."""
    return [nearest_point(space, defaults)]


@dataclass(frozen=True)
class Preset:
    """A named search space.

    Attributes:
        space: Domains by hyperparameter, as a study file writes them.
        points: Makes the warm-start points, also of a space in which the user replaced keys.
    """

    space: Mapping[str, Any]
    points: Points = engine_defaults
