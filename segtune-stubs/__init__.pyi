"""Types of `segtune.py`: a module that is one file cannot carry py.typed (PEP 561)."""

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
