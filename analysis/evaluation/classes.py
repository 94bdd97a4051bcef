"""The classes of a model and those of a data set, matched by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.errors import EvaluateError
from search_spaces.names import nearest_name
from trainables.metrics.matching import GroundTruth
from trainables.results import Instances

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassMap:
    """The classes of a model and those of a data set, each with its place among the measured ones.

    Attributes:
        names: The classes that are measured, in the data's order.
        of_model: (M,) int64, for each class of the model its index in `names`, or -1.
        of_data: (D,) int64, for each class of the data its index in `names`, or -1.
        not_in_data: Names only the model has; its predictions of them are left out.
        not_in_model: Names only the data has; its objects of them are left out.
    """

    names: tuple[str, ...]
    of_model: Labels
    of_data: Labels
    not_in_data: tuple[str, ...] = ()
    not_in_model: tuple[str, ...] = ()

    def predictions(self, found: Instances) -> Instances:
        """Predictions with the classes of `names`."""
        labels = self.of_model[found.classes]
        kept = np.flatnonzero(labels >= 0)
        if len(kept) == len(labels):
            return replace(found, classes=labels)
        masks = None if found.masks is None else [found.masks[i] for i in kept.tolist()]
        return Instances(found.boxes[kept], found.scores[kept], labels[kept], masks, found.capped)

    def truth(self, truth: GroundTruth) -> GroundTruth:
        """True objects with the classes of `names`."""
        labels = self.of_data[truth.classes]
        kept = np.flatnonzero(labels >= 0)
        masks = None if truth.masks is None else [truth.masks[i] for i in kept.tolist()]
        return replace(truth, boxes=truth.boxes[kept], classes=labels[kept], masks=masks)


def match_classes(
    model: Sequence[str], data: Sequence[str], root: Path, *, other_classes: bool = False
) -> ClassMap:
    """Match classes by name, in whatever order they stand.

    Args:
        model: Class names of the model, in the order of its outputs.
        data: Class names of the data set.
        root: The data set's folder, for the message.
        other_classes: Whether either may have classes that the other lacks.

    Raises:
        EvaluateError: The names differ and may not, or none is common.
    """
    names = tuple(name for name in data if name in model)
    not_in_data = tuple(name for name in model if name not in data)
    not_in_model = tuple(name for name in data if name not in model)
    if not names or ((not_in_data or not_in_model) and not other_classes):
        raise EvaluateError(_difference(model, data, root, bool(names)))
    return ClassMap(names, _places(model, names), _places(data, names), not_in_data, not_in_model)


def _places(labels: Sequence[str], names: Sequence[str]) -> Labels:
    return np.array([names.index(n) if n in names else -1 for n in labels], dtype=np.int64)


def _difference(model: Sequence[str], data: Sequence[str], root: Path, common: bool) -> str:
    hints = [nearest_name(name, model) for name in data if name not in model]
    hint = next((hint for hint in hints if hint), "")
    remedy = (
        "--other-classes measures the common ones alone"
        if common
        else "name the objects of the raw data as the model does, and prepare them again"
    )
    return (
        f"{root}: expected the model's classes {', '.join(model)}, got {', '.join(data)}"
        f"{hint}; {remedy}"
    )
