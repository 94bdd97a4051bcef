"""Models as finding uses them: a predictor, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import FindingError
from trainables.contract import Adjustable, Predictor


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


def all_classes(models: Sequence[FindingModel]) -> tuple[str, ...]:
    """The classes that the models know, each once, the first model's first.

    Raises:
        FindingError: There is no model.
    """
    if not models:
        raise FindingError("expected at least one model to find instances with, got none")
    return tuple(dict.fromkeys(name for model in models for name in model.predictor.classes))
