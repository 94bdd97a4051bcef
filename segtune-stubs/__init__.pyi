"""Types of `segtune.py`: a module that is one file cannot carry py.typed (PEP 561)."""

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
