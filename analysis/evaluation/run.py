"""`segtune evaluate`: a trained model, a prepared data set, a folder with every figure.

::

    <out>/evaluation.html         everything on one page that loads nothing
    <out>/metrics.csv             metric,value: P, R, F1, AP, COCO's table, measurement errors
    <out>/classes.csv             a row a class
    <out>/images.csv              a row a picture
    <out>/overlays/               the worst and the best pictures with truth and prediction
    <out>/*_curve.png, confusion_matrix.png
    <out>/metrics.json            all figures, the confusion matrices, the settings; written last

Of a model that picks particles it holds other figures: `analysis.evaluation.particles.run`.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from analysis.evaluation.classes import ClassMap, match_classes
from analysis.evaluation.coco import coco_tables
from analysis.evaluation.page import write_page
from analysis.evaluation.particles.result import ParticleResult
from analysis.evaluation.particles.run import measure_particles
from analysis.evaluation.plan import (
    AS_ASKED,
    CHOSEN_BY,
    EvaluationPlan,
    Wishes,
    check_out,
    plan_evaluation,
)
from analysis.evaluation.predicting import Predicted, predict
from analysis.evaluation.result import (
    OVERLAYS,
    Detections,
    EvaluationResult,
    drawn_pictures,
    write_tables,
)
from analysis.models.find import load_planned
from trainables.contract import Predictor
from trainables.datasets.records import ImageRecord
from trainables.files.whole import locked, new_folder
from trainables.metrics.instances import Evaluation, evaluate_groups
from trainables.metrics.matching import GroundTruth
from trainables.metrics.names import GROUPS
from trainables.metrics.overlays.instances import ComparedPicture, draw_overlay
from trainables.metrics.overlays.scores import Counting, best_and_worst, picture_scores
from trainables.metrics.plots import plot_all
from trainables.results import Instances
from tune.best.configuration import confidences_in


def evaluate_model(
    model: Path, data: Path | str, out: Path | None = None, wishes: Wishes | None = None
) -> EvaluationResult | ParticleResult:
    """Measure a trained model on a part of a prepared data set, and write everything down.

    P, R, F1, the confusion matrix and the measurement errors are taken at the confidence that was
    best on the validation part: the one that lies beside the model, or else the one found on the
    validation part of `data`.

    Args:
        model: As `find_model` takes it.
        data: A prepared data set: its folder, or gs://BUCKET/FOLDER.
        out: Folder to write; None for one below `evaluations/`. It appears as a whole.
        wishes: The other options.

    Raises:
        AnalysisError: As for `plan_evaluation`, or the engine cannot read the model.
        DatasetError: As for `plan_evaluation`.
        FolderError: The folder cannot be written, or another process is writing it.
        EngineError: As for `plan_evaluation`, or the engine's framework is not installed.
        TuneError: As for `plan_evaluation`.
    """
    plan, predictor = load_planned(lambda: plan_evaluation(model, data, out, wishes or Wishes()))
    classes = match_classes(
        predictor.classes,
        plan.data.classes,
        plan.data.root,
        other_classes=plan.wishes.other_classes,
    )
    measure = measure_instances if plan.groups else measure_particles
    with locked(plan.out):
        check_out(plan)  # a killed evaluation may have been put back just now
        with new_folder(plan.out) as new:
            return measure(plan, predictor, classes, new)


def measure_instances(
    plan: EvaluationPlan, predictor: Predictor, classes: ClassMap, folder: Path
) -> EvaluationResult:
    """Find instances, compare, and write everything into `folder`.

    Args:
        plan: Plan of the evaluation.
        predictor: Model to measure.
        classes: Classes of model and data.
        folder: Folder to write into, existing and empty.

    Raises:
        DatasetError: A picture is missing or was changed.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return _measured(plan, predictor, classes, folder, file)


def _measured(
    plan: EvaluationPlan, predictor: Predictor, classes: ClassMap, folder: Path, file: IO[bytes]
) -> EvaluationResult:
    """Measure, and write everything into `folder`; `file` takes the predictions meanwhile."""
    at = _confidences(plan, predictor, classes, folder)
    found, evaluations = _evaluated(
        plan, predictor, classes, plan.images, at.values, file, "finding"
    )
    first = evaluations[plan.groups[0]]
    detections = Detections(
        limit=plan.wishes.max_det,
        most_predicted=_most_of_a_class(found.predictions),
        most_true=_most_of_a_class(found.truths),
        left_out=first.left_out,
    )
    tables = coco_tables(
        found.predictions,
        found.truths,
        len(classes.names),
        [GROUPS[group] for group in plan.groups],
        max_det=detections.counted,
        progress=lambda done, total: plan.wishes.progress("comparing", done, total),
    )
    counting = Counting(first.kind, first.confidence, detections.counted)
    scores = picture_scores(found.predictions, found.truths, counting)
    best, worst = best_and_worst(scores, plan.wishes.overlays)
    result = EvaluationResult(
        plan=plan,
        classes=classes,
        evaluations=evaluations,
        coco={group: tables[GROUPS[group]] for group in plan.groups},
        scores=scores,
        best=best,
        worst=worst,
        confidence_words=at.words,
        own_confidence=at.values is None,
        chosen_on=_n_objects(evaluations) if at.values is None else at.chosen_on,
        detections=detections,
        seconds=found.seconds,
    )
    plot_all(evaluations, {}, folder, f"{plan.model.origin}, on {plan.part_told}")
    _draw(result, found, counting, folder / OVERLAYS)
    write_page(result, folder)
    write_tables(result, folder)
    return result


@dataclass(frozen=True)
class _Confidences:
    """The confidences at which P, R and F1 are taken.

    Attributes:
        values: As `evaluate_groups` takes them; None for the best ones of the measured pictures.
        words: Reason for them.
        chosen_on: Number of objects they were chosen on; None where they were not, or unknown.
    """

    values: Mapping[str, float] | None
    words: str
    chosen_on: int | None = None


def _confidences(
    plan: EvaluationPlan, predictor: Predictor, classes: ClassMap, folder: Path
) -> _Confidences:
    """As asked for, else the model's own, else the best ones of the validation part of the data."""
    asked = plan.wishes.confidence
    if asked is not None:
        return _Confidences({f"{group}/confidence": asked for group in plan.groups}, AS_ASKED)
    if set(plan.groups) <= set(confidences_in(plan.model.metrics)):
        return _Confidences(plan.model.metrics, CHOSEN_BY, plan.chosen_on)
    images = plan.data.images("val")
    if plan.part == "val" or not images:
        return _Confidences(None, "the best of this very part")
    with tempfile.TemporaryFile(dir=folder) as file:
        _, evaluations = _evaluated(plan, predictor, classes, images, None, file, "validation part")
    values = {f"{group}/confidence": e.confidence for group, e in evaluations.items()}
    words = f"the best on the validation part of {plan.data.name}"
    return _Confidences(values, words, _n_objects(evaluations))


def _n_objects(evaluations: Mapping[str, Evaluation]) -> int:
    """Number of true objects that were measured."""
    first = next(iter(evaluations.values()))
    return sum(row.truths for row in first.per_class)


def _evaluated(  # noqa: PLR0913  what differs between the part and its validation part
    plan: EvaluationPlan,
    predictor: Predictor,
    classes: ClassMap,
    images: Sequence[ImageRecord],
    confidences: Mapping[str, float] | None,
    file: IO[bytes],
    stage: str,
) -> tuple[Predicted, dict[str, Evaluation]]:
    """Find what is in pictures, into `file`, and compare it with the truth."""
    found = predict(
        predictor,
        plan.data,
        images,
        classes,
        file=file,
        progress=lambda done, total: plan.wishes.progress(stage, done, total),
        at_once=plan.wishes.at_once,
    )
    return found, evaluate_groups(
        found.predictions,
        found.truths,
        classes.names,
        groups=plan.groups,
        confidences=confidences,
        max_detections=plan.wishes.max_det,
    )


def _most_of_a_class(pictures: Iterable[Instances | GroundTruth]) -> int:
    """Most objects of one class in one picture."""
    counts = (np.bincount(objects.classes, minlength=1).max() for objects in pictures)
    return int(max(counts, default=0))


def _draw(result: EvaluationResult, found: Predicted, counting: Counting, folder: Path) -> None:
    """Write the overlays of the best and the worst pictures."""
    folder.mkdir()
    for drawn in drawn_pictures(result):
        compared = ComparedPicture(
            image=drawn.image,
            pixels=result.plan.data.read(drawn.image),
            truth=found.truths[drawn.score.index],
            found=found.predictions[drawn.score.index],
            score=drawn.score,
            counting=counting,
        )
        draw_overlay(compared, result.classes.names, folder / drawn.file)
