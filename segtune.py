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
    from tune.verbs.comparing import compare as compare
    from tune.verbs.confirming import confirm as confirm
    from tune.verbs.differing import diff as diff
    from tune.verbs.models.evaluating import evaluate as evaluate
    from tune.verbs.models.exporting import export as export
    from tune.verbs.models.measuring import measure as measure
    from tune.verbs.models.measuring import predict as predict
    from tune.verbs.models.picking import pick as pick
    from tune.verbs.models.scaling import scale as scale
    from tune.verbs.noting import note as note
    from tune.verbs.planning import plan as plan
    from tune.verbs.reporting import report as report
    from tune.verbs.tuning import resume as resume
    from tune.verbs.tuning import tune as tune

__all__ = [
    "PrepareOptions",
    "UserError",
    "compare",
    "confirm",
    "diff",
    "evaluate",
    "export",
    "measure",
    "note",
    "pick",
    "plan",
    "predict",
    "prepare",
    "report",
    "resume",
    "retrain",
    "scale",
    "tune",
]

_PLACES: Final = {
    "PrepareOptions": "trainables.datasets.preparing.prepare",
    "UserError": "trainables.files.errors",
    "compare": "tune.verbs.comparing",
    "confirm": "tune.verbs.confirming",
    "diff": "tune.verbs.differing",
    "evaluate": "tune.verbs.models.evaluating",
    "export": "tune.verbs.models.exporting",
    "measure": "tune.verbs.models.measuring",
    "note": "tune.verbs.noting",
    "pick": "tune.verbs.models.picking",
    "predict": "tune.verbs.models.measuring",
    "plan": "tune.verbs.planning",
    "prepare": "trainables.datasets.preparing.prepare",
    "report": "tune.verbs.reporting",
    "resume": "tune.verbs.tuning",
    "retrain": "analysis.retrain.retrain",
    "scale": "tune.verbs.models.scaling",
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
