"""The evaluation of the best epoch so far: what curves, tables and pictures are drawn from.

It is kept in the checkpoint, as plain data, so that a training that goes on elsewhere, or of which
only the artifacts are still missing, draws the epoch whose model is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch

from trainables.loop.finds import ShownFinds
from trainables.metrics.instances import ClassMetrics, Evaluation
from trainables.metrics.scores import PictureScore
from trainables.metrics.sizes import Measurement
from trainables.metrics.tally import Curves


@dataclass(frozen=True)
class EvaluatedEpoch:
    """An epoch's evaluation of the validation part.

    Attributes:
        epoch: Number of the epoch, 1-based.
        evaluations: Results by metric group.
        finds: Finds that are drawn; none in the checkpoints of earlier versions.
    """

    epoch: int
    evaluations: Mapping[str, Evaluation]
    finds: ShownFinds = field(default_factory=ShownFinds)

    def plain(self) -> dict[str, Any]:
        """Plain data for a checkpoint, which `of_plain` makes the same value of."""
        found = {group: _plain(evaluation) for group, evaluation in self.evaluations.items()}
        return {"epoch": self.epoch, "evaluations": found, "finds": self.finds.plain()}

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Self:
        """The value that `plain` was made of."""
        found = {group: _evaluation(values) for group, values in content["evaluations"].items()}
        return cls(content["epoch"], found, ShownFinds.of_plain(content.get("finds", {})))


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    error = evaluation.measurement
    return {
        **vars(evaluation),
        "per_class": [dict(vars(row)) for row in evaluation.per_class],
        "curves": {name: torch.from_numpy(v) for name, v in vars(evaluation.curves).items()},
        "confusion": torch.from_numpy(evaluation.confusion),
        "measurement": None if error is None else dict(vars(error)),
        "pictures": [list(vars(score).values()) for score in evaluation.pictures],
    }


def _evaluation(values: Mapping[str, Any]) -> Evaluation:
    error = values["measurement"]
    curves = {name: _array(tensor) for name, tensor in values["curves"].items()}
    found = {
        **values,
        "classes": tuple(values["classes"]),
        "per_class": tuple(ClassMetrics(**row) for row in values["per_class"]),
        "curves": Curves(**curves),
        "confusion": _array(values["confusion"]),
        "measurement": None if error is None else Measurement(**error),
        "pictures": tuple(PictureScore(*row) for row in values.get("pictures", ())),
    }
    return Evaluation(**found)


def _array(tensor: torch.Tensor) -> Any:
    return np.ascontiguousarray(tensor.cpu().numpy())
