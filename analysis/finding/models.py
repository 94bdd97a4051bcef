"""Models as finding uses them: a predictor, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.errors import FindingError
from trainables.contract import Adjustable, Device, Predictor
from trainables.metrics.names import GROUPS, PARTICLE_GROUP

if TYPE_CHECKING:
    from analysis.models.find import TrainedModel


@dataclass(frozen=True)
class FindingModel:
    """A predictor, and what is known of it.

    Attributes:
        predictor: The predictor.
        name: Name of the model, for messages.
        confidence: Score at which it was best on its validation part; None where unknown.
        picture_px: Longer side of the pictures it was trained on, px; None where unknown.
        max_det: Most instances that it finds in a picture; None where it knows no limit.
    """

    predictor: Predictor
    name: str = "model"
    confidence: float | None = None
    picture_px: int | None = None
    max_det: int | None = None

    @property
    def limit(self) -> int | None:
        """Most instances that it now reports in a picture; None where it knows no limit."""
        if isinstance(self.predictor, Adjustable):
            return self.predictor.reporting.max_det
        return self.max_det


def load_finding_model(
    model: "TrainedModel", device: Device, picture_px: int | None = None
) -> FindingModel:
    """A trained model, ready to find.

    Args:
        model: The model.
        device: Where it is to run.
        picture_px: Longer side of the pictures it was trained on; None for what is on record.

    Raises:
        EvaluateError: Its engine cannot read the file.
        EngineError: The engine's framework is not installed.
    """
    from analysis.models.find import load_model  # put off: slow to import, and most load no model

    predictor = load_model(model, device)
    return FindingModel(
        predictor,
        model.name,
        _best_confidence(model, predictor),
        model.picture_px if picture_px is None else picture_px,
        model.limit,
    )


def all_classes(models: Sequence[FindingModel]) -> tuple[str, ...]:
    """The classes that the models know, each once, the first model's first.

    Raises:
        FindingError: There is no model.
    """
    if not models:
        raise FindingError("expected at least one model to find instances with, got none")
    return tuple(dict.fromkeys(name for model in models for name in model.predictor.classes))


def _best_confidence(model: "TrainedModel", predictor: Predictor) -> float | None:
    """What the model's file says, else what lies beside it."""
    own = getattr(predictor, "confidence", None)
    on_record = [model.metrics.get(f"{group}/confidence") for group in (*GROUPS, PARTICLE_GROUP)]
    return next((float(value) for value in (own, *on_record) if value is not None), None)
