"""Registry of the engines: each one's name, and the package that holds its parts.

An engine is a package with two modules: `params.py`, which imports no framework and has `INFO`
(an `EngineInfo`), and `engine.py`, which has `ENGINE` (its class). Ours stand in `BUILT_IN`, one
line each, as a working directory shipped to a cluster has no installed metadata; other people's
packages declare an entry point::

    [project.entry-points."segtune.engines"]
    my_engine = "my_package"
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from search_spaces.names import nearest_name
from trainables.contract import Engine, EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.files.errors import UserError

BUILT_IN: Mapping[str, str] = {
    "detector": "trainables.engines.detector",
    "mask_rcnn": "trainables.engines.mask_rcnn",
    "simulated": "trainables.engines.simulated",
    "unet_selftraining": "trainables.engines.unet_selftraining",
    "yolo_seg": "trainables.engines.yolo_seg",
}

ENTRY_POINTS = "segtune.engines"


class EngineError(UserError):
    """An engine does not exist or cannot be used here; the message is for the user."""


class FrameworkMissingError(EngineError):
    """An engine is known, but a framework that it trains with is not installed."""


def packages() -> dict[str, str]:
    """Package of each engine, by the engine's name; ours win over an equally named plug-in."""
    plugged_in = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return {**plugged_in, **BUILT_IN}


def engines() -> tuple[str, ...]:
    """Names of all engines, sorted; nothing is imported."""
    return tuple(sorted(packages()))


def engine_info(name: str) -> EngineInfo:
    """Read everything that is known of an engine without importing its framework.

    Raises:
        EngineError: There is no such engine, or its package is not what the registry expects.
    """
    info = _part(name, "params", "INFO")
    if not isinstance(info, EngineInfo):
        raise EngineError(
            f"engine {name}: expected INFO in {_package(name)}.params to be an EngineInfo, "
            f"got {type(info).__name__}"
        )
    return info


def boxes_problem(info: EngineInfo, data: PreparedDataset) -> str:
    """The reason why an engine cannot learn from a data set of boxes, or ""."""
    if info.boxes_suffice or not data.boxes_only:
        return ""
    known = [one for name in engines() if (one := engine_info(name)).boxes_suffice]
    others = [one.name for one in known if one.isolated]  # simulated ones learn nothing
    return (
        f"expected an engine that learns from boxes ({', '.join(others)}), got {info.name}, which "
        f"learns masks: the objects of {data.name} are boxes without masks; or prepare it from "
        "outlines or masks"
    )


def load_engine(name: str) -> Engine:
    """Load an engine itself, which imports its framework.

    Raises:
        FrameworkMissingError: The framework is not installed, or cannot be loaded here.
        EngineError: As for `engine_info`.
    """
    info = engine_info(name)
    try:
        engine_class = _part(name, "engine", "ENGINE")
    except ImportError as error:
        raise FrameworkMissingError(_missing(info, error)) from error
    engine: Engine = engine_class()
    return engine


def _package(name: str) -> str:
    if name in BUILT_IN:  # without a look at everything that is installed
        return BUILT_IN[name]
    known = packages()
    if name not in known:
        raise EngineError(
            f"trainable: expected one of {', '.join(sorted(known))}, got {name}"
            f"{nearest_name(name, known)}"
        )
    return known[name]


def _part(name: str, module: str, attribute: str) -> Any:
    package = _package(name)
    try:
        part = getattr(importlib.import_module(f"{package}.{module}"), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.{module}".startswith(error.name):
            raise
        raise EngineError(
            f"engine {name}: expected a module {package}.{module}, got none; "
            "reinstall the package that brings this engine"
        ) from error
    if part is None:
        raise EngineError(f"engine {name}: expected {attribute} in {package}.{module}, got none")
    return part


def _missing(info: EngineInfo, error: ImportError) -> str:
    remedy = ": ".join(filter(None, ("install it", info.how_to_install)))
    if isinstance(error, ModuleNotFoundError):
        return (
            f"engine {info.name}: expected its framework to be installed, got no module "
            f"{error.name}; {remedy}"
        )
    return (
        f"engine {info.name}: its framework cannot be loaded: {error}. "
        "`segtune doctor` says what is missing"
    )
