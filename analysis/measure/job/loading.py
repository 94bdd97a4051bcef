"""Trained models made ready to find: apart, as what only measures loads none."""

from analysis.finding.models import FindingModel
from analysis.models.find import TrainedModel, load_model
from trainables.contract import Device, Predictor
from trainables.metrics.names import GROUPS, PARTICLE_GROUP


def load_finding_model(
    model: TrainedModel, device: Device, picture_px: int | None = None
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
    predictor = load_model(model, device)
    return FindingModel(
        predictor,
        model.name,
        _best_confidence(model, predictor),
        model.picture_px if picture_px is None else picture_px,
        model.limit,
    )


def _best_confidence(model: TrainedModel, predictor: Predictor) -> float | None:
    """What the model's file says, else what lies beside it."""
    own = getattr(predictor, "confidence", None)
    on_record = [model.metrics.get(f"{group}/confidence") for group in (*GROUPS, PARTICLE_GROUP)]
    return next((float(value) for value in (own, *on_record) if value is not None), None)
