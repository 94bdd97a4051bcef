"""Metrics of a model on the validation part, at the confidence that is best there for it."""

import tempfile
from collections.abc import Callable

from analysis.evaluation.classes import match_classes
from analysis.evaluation.particles.finding import as_picker, pick_pictures
from analysis.evaluation.plan import EvaluationPlan
from analysis.evaluation.predicting import predict
from trainables.contract import Predictor
from trainables.metrics.instances import evaluate_groups, metrics_of
from trainables.metrics.names import PARTICLE_GROUP

Progress = Callable[[int, int], object]


def validation_metrics(
    plan: EvaluationPlan, predictor: Predictor, progress: Progress
) -> dict[str, float]:
    """Metrics of a model as `segtune evaluate` has them, confidences among them.

    Args:
        plan: The part and its metric groups.
        predictor: The model.
        progress: Told how many of how many pictures are done.

    Raises:
        AnalysisError: The classes differ, or a model of particles gives no picks.
        DatasetError: A picture is missing or was changed.
    """
    data, images = plan.data, plan.images
    classes = match_classes(predictor.classes, data.classes, data.root)

    def told(done: int, total: int) -> None:
        progress(done, total)

    if not plan.groups:
        picker = as_picker(predictor, plan.model.path)
        picked = pick_pictures(picker, data, images, classes, told)
        particles = picked.metrics(picker.match_radius, None)
        return {**particles.as_metrics(), **picked.pixel_metrics()}
    with tempfile.TemporaryFile() as file:
        found = predict(predictor, data, images, classes, file=file, progress=told, at_once=1)
        return metrics_of(
            evaluate_groups(
                found.predictions, found.truths, classes.names, groups=plan.groups, confidences=None
            )
        )


def main_group(plan: EvaluationPlan) -> str:
    """The metric group that a model is judged by."""
    return plan.groups[0] if plan.groups else PARTICLE_GROUP
