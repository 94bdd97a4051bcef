"""segtune from Python: the verbs of the command line as functions (docs/api.md).

    import segtune

    segtune.prepare("raw/powder", "data/powder")
    result = segtune.tune("study.yaml")
    segtune.export(result.directory, "best-powder")

Each function is imported when it is first asked for, so `import segtune` itself costs nothing and
needs no framework. Every mistake of the user is a `UserError` whose text is the whole message.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from analysis.retrain.retrain import retrain as retrain
    from trainables.datasets.preparing.prepare import PrepareOptions as PrepareOptions
    from trainables.datasets.preparing.prepare import prepare as prepare
    from trainables.files.errors import UserError as UserError
    from tune.verbs.models import evaluate as evaluate
    from tune.verbs.models import export as export
    from tune.verbs.models import pick as pick
    from tune.verbs.planning import plan as plan
    from tune.verbs.tuning import tune as tune

__all__ = [
    "PrepareOptions",
    "UserError",
    "evaluate",
    "export",
    "pick",
    "plan",
    "prepare",
    "retrain",
    "tune",
]

_PLACES: Final = {
    "PrepareOptions": "trainables.datasets.preparing.prepare",
    "UserError": "trainables.files.errors",
    "evaluate": "tune.verbs.models",
    "export": "tune.verbs.models",
    "pick": "tune.verbs.models",
    "plan": "tune.verbs.planning",
    "prepare": "trainables.datasets.preparing.prepare",
    "retrain": "analysis.retrain.retrain",
    "tune": "tune.verbs.tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'segtune' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
