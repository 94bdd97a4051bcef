"""A warm start from the best-config store: what is known to be best is tried first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from search_spaces.domains import ChoiceDomain
from search_spaces.presets.preset import Point, nearest_point
from search_spaces.space import SearchSpace
from trainables.contract import Circumstances, EngineInfo
from trainables.datasets.prepared import PreparedDataset
from tune.best.backbones import backbone_of
from tune.best.entries import DataKey, FoundBest
from tune.best.store import BestStore
from tune.study.space import (
    DEFAULT,
    ResolvedSpace,
    default_preset,
    defaults,
    resolve_points,
    resolve_space,
)

DEFAULT_EPOCHS: Final = 100
"""Length of a training of which nothing is known."""


@dataclass(frozen=True)
class BestPoints:
    """Points to try first, from a store.

    Attributes:
        points: Each inside the search space.
        lines: A line a point: its origin, and the values moved to bring it into the space; or why
            there is none.
    """

    points: tuple[Point, ...]
    lines: tuple[str, ...]


def start_line(found: FoundBest, preset: str) -> str:
    """The configuration that is trained where a store has none, for the user.

    Args:
        found: Answer of the store.
        preset: Name of the preset that is taken.
    """
    return f"{found.line()}; the warm-start point of its preset {preset} is taken"


def preset_start(
    info: EngineInfo, given: Mapping[str, Any], there: Circumstances | None = None
) -> tuple[str, dict[str, Any]]:
    """The configuration to train where nothing is recorded: where a study of the engine begins.

    Args:
        info: The engine.
        given: Hyperparameters that the user named, which stay.
        there: Data, length and machine that the preset is fitted to, as a study's is; None where
            they are not known.

    Returns:
        Name of the preset, and what it fixes with its first warm-start point; hyperparameters that
        are in neither have the engine's defaults.
    """
    name, _ = default_preset(info, given, there)
    resolved, _ = resolve_space(info, DEFAULT, given, there)
    points, _ = resolve_points(info, resolved, None)
    start = {**resolved.fixed, **(points[0] if points else {}), **given}
    return name, {key: value for key, value in start.items() if key not in resolved.no_effect}


def best_points(
    store: BestStore, info: EngineInfo, resolved: ResolvedSpace, data: PreparedDataset
) -> BestPoints:
    """The best configuration for a study, of each backbone that it may train.

    Args:
        store: Store to look into.
        info: The engine.
        resolved: The study's search space; the configuration is brought into it.
        data: Data set that the study trains on.

    Raises:
        StoreError: As for `BestStore.find`.
        cluster.errors.StorageError: The store cannot be read.
    """
    space, fixed = resolved.space, resolved.fixed
    points: list[Point] = []
    lines: list[str] = []
    for backbone in _backbones(info, space, fixed):
        given = {} if backbone is None else {info.backbone: backbone}
        name = backbone_of(info, given)
        found = store.find(info, DataKey.of(data), name)
        which = f" ({name})" if name else ""
        if found.best is None:
            lines.append(f"{found.line()}{which}")
            continue
        wanted = {**defaults(info.params), **found.best.params, **given}
        point = _inside(space, wanted)
        if point not in points:
            points.append(point)
        lines.append(f"{found.line()}{which}{_moved(point, wanted)}")
    return BestPoints(tuple(points), tuple(lines))


def _backbones(info: EngineInfo, space: SearchSpace, fixed: Mapping[str, Any]) -> list[Any]:
    """The values that the backbone key may have in a study; None for the default."""
    parameter = space.parameters.get(info.backbone)
    if parameter is not None and isinstance(parameter.domain, ChoiceDomain):
        return list(parameter.domain.choices)
    return [fixed.get(info.backbone)]


def _inside(space: SearchSpace, wanted: Mapping[str, Any]) -> Point:
    """The nearest point; a text where the space has numbers (`auto`) is left to the sampler."""
    fitting = {
        key: value
        for key, value in wanted.items()
        if key in space.parameters
        and (isinstance(space.parameters[key].domain, ChoiceDomain) or _is_number(value))
    }
    return nearest_point(space, fitting)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moved(point: Point, wanted: Mapping[str, Any]) -> str:
    moved = [f"{k} {wanted[k]} to {value}" for k, value in point.items() if wanted[k] != value]
    return f"; brought into the space: {', '.join(moved)}" if moved else ""
