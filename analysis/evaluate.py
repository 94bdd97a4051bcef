"""A trained model measured on one part of a data set."""

from collections.abc import Mapping
from pathlib import Path

from analysis.errors import AnalysisError
from trainables.contract import Device, Engine, Instances
from trainables.datasets.prepared import PreparedDataset, Split
from trainables.metrics import GroundTruth, evaluate_instances, ground_truth

AT_ONCE = 4
"""Pictures a call of the predictor: few, as whole micrographs may be large."""


def evaluate_split(  # noqa: PLR0913  one flat call, for benchmarks too
    engine: Engine,
    model: Path,
    data: PreparedDataset,
    split: Split,
    device: Device,
    confidences: Mapping[str, float] | None,
    max_det: int = 300,
) -> dict[str, float]:
    """Metrics of a model on one part of a data set, by the evaluator all engines share.

    Args:
        engine: That trained it.
        model: Checkpoint folder or model file.
        data: Its classes must be the model's.
        split: Part to measure.
        device: To predict on.
        confidences: Metrics of the validation part; P, R and F1 are taken at its
            `seg_metrics/confidence` and `box_metrics/confidence`. None takes them at the best
            confidence of this very part, which is only right for the validation part itself.
        max_det: At most so many predictions of a class in a picture count.

    Returns:
        `seg_metrics/F1`, ... and `box_metrics/F1`, ... (boxes only for a box-only engine).

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
    if tuple(predictor.classes) != data.classes:
        raise AnalysisError(
            f"{model}: expected a model of the classes {', '.join(data.classes)} of {data.root}, "
            f"got one of {', '.join(predictor.classes)}"
        )
    predictions: list[Instances] = []
    truths: list[GroundTruth] = []
    for start in range(0, len(images), AT_ONCE):
        chunk = images[start : start + AT_ONCE]
        predictions += predictor([data.read(image) for image in chunk])
        truths += [ground_truth(data, image) for image in chunk]
    return evaluate_instances(
        predictions, truths, data.classes, confidences=confidences, max_detections=max_det
    )
