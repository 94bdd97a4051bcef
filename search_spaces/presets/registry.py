"""The presets of each engine, by name.

Ours stand in `search_spaces/presets/<engine>.py`; other people's packages declare an entry point
named like their engine::

    [project.entry-points."segtune.presets"]
    my_engine = "my_package.presets:PRESETS"
"""

import importlib.util
from importlib.metadata import entry_points

from search_spaces.presets.preset import Preset

ENTRY_POINTS = "segtune.presets"


def presets(engine: str) -> dict[str, Preset]:
    """The presets of an engine by name; none where nobody wrote one."""
    module = f"{__package__}.{engine}"
    if engine.isidentifier() and importlib.util.find_spec(module) is not None:
        return dict(getattr(importlib.import_module(module), "PRESETS", {}))
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == engine:
            return dict(point.load())
    return {}
