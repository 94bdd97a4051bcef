"""The metrics of a model on one part of the data it was trained on."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.evaluation.classes import match_classes
from analysis.evaluation.particles.finding import pick_pictures
from analysis.evaluation.predicting import predict
from trainables.contract import Device, Engine, Picker
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Split
from trainables.metrics.instances import evaluate_instances
from trainables.metrics.names import PARTICLE_GROUP
from trainables.registry import engine_info
from tune.best.configuration import confidences_in


def evaluate_split(  # noqa: PLR0913  one flat call, for benchmarks too
    engine: Engine,
    model: Path,
    data: PreparedDataset,
    split: Split,
    device: Device,
    confidences: Mapping[str, float] | None,
    max_det: int | None = None,
) -> dict[str, float]:
    """Metrics of a model on one part of a data set, by the evaluator all engines share.

    Args:
        engine: Engine that trained the model.
        model: Checkpoint folder or model file.
        data: Data set with the model's classes.
        split: Part of the data set to measure.
        device: Device to predict on.
        confidences: Metrics of the validation part; P, R and F1 are taken at its
            `seg_metrics/confidence` and `box_metrics/confidence`, or `particle_metrics/confidence`.
            None takes them at the best confidence of this very part, which is only right for the
            validation part itself.
        max_det: At most so many predictions of a class in a picture count; None for all.

    Returns:
        `seg_metrics/F1`, ... and `box_metrics/F1`, ... (boxes only for a box-only engine); of a
        model that picks, `particle_metrics/F1`, ... and `pixel_metrics/F1`, ...

    Raises:
        AnalysisError: The part is empty, the classes differ, or the test part is to be measured
            at its own best confidence.
    """
    if split == "test" and confidences is None:
        raise AnalysisError(
            "the test part is measured at the validation part's confidence, got none; measure "
            "the validation part first"
        )
    images = data.images(split)
    if not images:
        raise AnalysisError(f"{data.root}: expected pictures in the part {split}, got none")
    predictor = engine.load(model, device)
    classes = match_classes(predictor.classes, data.classes, data.root)
    if isinstance(predictor, Picker):
        picked = pick_pictures(predictor, data, images, classes)
        at = None if confidences is None else confidences[f"{PARTICLE_GROUP}/confidence"]
        particles = picked.metrics(predictor.match_radius, at)
        return {**particles.as_metrics(), **picked.pixel_metrics()}
    with tempfile.TemporaryFile() as file:
        found = predict(
            predictor, data, images, classes, file=file, progress=lambda done, total: None
        )
        return evaluate_instances(
            found.predictions,
            found.truths,
            classes.names,
            confidences=confidences,
            max_detections=max_det,
        )


def evaluate_test(
    engine: Engine,
    model: Path,
    data: PreparedDataset,
    validation: Mapping[str, float],
    params: Mapping[str, Any],
    device: Device,
) -> tuple[Mapping[str, float] | None, str]:
    """Metrics of the test part, and on what they were taken; or None, and why there are none.

    Args:
        engine: Engine that trained the model.
        model: Checkpoint folder or model file.
        data: Data set that it was trained on.
        validation: Metrics of the validation part, at whose confidence the test part is measured.
        params: Hyperparameters of the model.
        device: Device to predict on.

    Raises:
        AnalysisError: The classes differ.
    """
    n = data.counts()["test"]
    if not n:
        return None, "the data set has no test part"
    if not confidences_in(validation):
        return None, f"the engine {engine.name} reports no confidence on the validation part"
    info = engine_info(engine.name)
    max_det = info.value(info.max_det, params)
    test = evaluate_split(engine, model, data, "test", device, validation, max_det)
    noun = "picture" if n == 1 else "pictures"
    return test, f"{n} {noun}, at the validation part's confidence"
