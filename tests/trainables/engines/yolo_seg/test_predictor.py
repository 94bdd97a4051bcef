"""A saved model predicts what was measured, here and in Ultralytics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

import cv2
import yaml
from pycocotools import mask as coco_mask

from tests.support.discs import prepare_discs
from tests.support.engine_trials import without_artifacts
from tests.trainables.engines.yolo_seg.conftest import QUICK
from trainables.contract import (
    Adjustable,
    Device,
    ExportForm,
    Reporting,
    TrainMetrics,
)
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.views.yolo import yolo_view
from trainables.engines.yolo_seg.engine import YoloSegEngine
from trainables.engines.yolo_seg.framework import YOLO
from trainables.engines.yolo_seg.params import YoloSegParams
from trainables.metrics.instances import evaluate, evaluate_instances
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.metrics.names import Kind
from trainables.results import Instances
from trainables.trials.memory import MemoryTrial

EPOCHS = 28


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset) -> MemoryTrial:
    """Trained long enough to find something."""
    params = {**QUICK, "imgsz": 96, "batch": 2, "nbs": 2, "lr0": 0.003, "mosaic": 0.0}
    params |= {"scale": 0.2, "cls": 1.5}
    trial = MemoryTrial(
        params,
        discs,
        tmp_path_factory.mktemp("trained"),
        epochs=EPOCHS,
        train_metrics=TrainMetrics(every=0),
    )
    with without_artifacts():
        YoloSegEngine().train(trial)
    return trial


def _model(trial: MemoryTrial) -> Path:
    assert trial.checkpoint is not None
    return trial.checkpoint


@pytest.mark.slow
def test_a_loaded_model_scores_what_its_last_validation_reported(trained: MemoryTrial) -> None:
    data = trained.data
    predictor = YoloSegEngine().load(_model(trained), Device())
    images = data.images("val")
    predictions = predictor([data.read(image) for image in images])
    truths = [ground_truth(data, image) for image in images]
    metrics = evaluate_instances(predictions, truths, data.classes)
    reported = trained.reported[EPOCHS]
    assert metrics["seg_metrics/F1"] > 0.2, "the training should have found something"
    assert metrics == pytest.approx({key: reported[key] for key in metrics}, abs=1e-6)
    assert predictor.confidence == reported["seg_metrics/confidence"]
    assert predictor.classes == data.classes


@pytest.mark.slow
def test_ultralytics_opens_the_native_model_and_finds_the_same(
    trained: MemoryTrial, tmp_path: Path
) -> None:
    data = trained.data
    file = YoloSegEngine().export(_model(trained), tmp_path / "out", ExportForm.NATIVE)
    theirs = YOLO(file)
    assert theirs.names == dict(enumerate(data.classes))
    predictor = YoloSegEngine().load(_model(trained), Device())
    # At the network's own size: Ultralytics rounds an image's place among the prototypes.
    picture = np.asarray(cv2.resize(data.read(data.images("val")[0]), (96, 96)), dtype=np.uint8)
    [ours] = predictor([picture])
    [result] = theirs.predict(
        np.ascontiguousarray(picture[..., ::-1]), conf=0.001, iou=0.7, retina_masks=True
    )
    assert len(ours) > 0
    n = min(len(ours), 10)
    np.testing.assert_allclose(ours.scores[:n], result.boxes.conf[:n], atol=1e-4)
    np.testing.assert_allclose(ours.boxes[:n], result.boxes.xyxy[:n], atol=0.05)
    assert ours.masks is not None
    dense = np.asfortranarray(result.masks.data[:n].permute(1, 2, 0).byte().numpy())
    overlap = coco_mask.iou(coco_mask.encode(dense), list(map(dict, ours.masks[:n])), [0] * n)
    # Ultralytics cuts a mask at its box by the pixels' corners, we by their centres: on an object
    # of 15 px, half a row and half a column of difference.
    assert overlap.diagonal().min() > 0.7
    assert overlap.diagonal().mean() > 0.85


@pytest.mark.slow
def test_the_evaluator_agrees_with_ultralytics_own_figures_on_yolos_predictions(
    trained: MemoryTrial, tmp_path: Path
) -> None:
    """At the resolution of Ultralytics' masks, and P, R and F1 at the confidence that it chooses.

    The classes are taken together: of one that is never predicted at a confidence it takes P for 1.
    """
    from ultralytics.models.yolo.segment import SegmentationValidator
    from ultralytics.utils.metrics import smooth

    data = prepare_discs(tmp_path / "more", n_images=160)
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    class Listening(SegmentationValidator):  # type: ignore[misc]
        def _process_batch(self, preds: Any, batch: Any) -> Any:
            seen.append((preds, batch))
            return super()._process_batch(preds, batch)

    model = YOLO(YoloSegEngine().export(_model(trained), tmp_path / "out", ExportForm.NATIVE))
    theirs = model.val(
        validator=Listening,
        data=yolo_view(data, tmp_path / "view").data_yaml,
        imgsz=96,
        single_cls=True,
        plots=False,
        workers=0,
        verbose=False,
        project=tmp_path / "runs",
    )
    predictions = [_found(preds) for preds, _ in seen]
    truths = [_true(batch) for _, batch in seen]
    assert len(truths) == data.counts()["val"]
    compared: dict[Kind, Any] = {"masks": theirs.seg, "boxes": theirs.box}
    for kind, figures in compared.items():
        assert figures.map50 > 0.1, "the training should have found something"
        confidence = float(figures.px[smooth(figures.f1_curve.mean(0), 0.1).argmax()])
        ours = evaluate(predictions, truths, ["object"], kind=kind, confidence=confidence)
        assert ours.map50 == pytest.approx(figures.map50, abs=0.01)
        assert ours.map50_95 == pytest.approx(figures.map, abs=0.01)
        assert ours.precision == pytest.approx(figures.mp, abs=0.01)
        assert ours.recall == pytest.approx(figures.mr, abs=0.01)
        assert ours.f1 == pytest.approx(float(figures.f1[0]), abs=0.01)
        best = evaluate(predictions, truths, ["object"], kind=kind)
        assert ours.f1 <= best.f1 < ours.f1 + 0.03


def _found(preds: dict[str, Any]) -> Instances:
    order = torch.argsort(-preds["conf"], stable=True)
    boxes, scores = preds["bboxes"][order], preds["conf"][order]
    return Instances(
        boxes=boxes.numpy().astype(np.float32),
        scores=scores.numpy().astype(np.float32),
        classes=np.zeros(len(order), np.int64),
        masks=_encoded(preds["masks"][order]),
    )


def _true(batch: dict[str, Any]) -> GroundTruth:
    masks = batch["masks"]
    classes = np.zeros(len(masks), np.int64)
    boxes = batch["bboxes"].numpy().astype(np.float32)
    return GroundTruth(boxes, classes, _encoded(masks), *masks.shape[1:])


def _encoded(masks: Any) -> list[dict[str, Any]]:
    dense = masks.bool().byte().permute(1, 2, 0).numpy()
    encoded: list[dict[str, Any]] = coco_mask.encode(np.asfortranarray(dense))
    return encoded


@pytest.mark.slow
def test_the_native_configuration_lies_beside_the_native_model(
    trained: MemoryTrial, tmp_path: Path
) -> None:
    YoloSegEngine().export(_model(trained), tmp_path, ExportForm.NATIVE)
    config = yaml.safe_load((tmp_path / "best.yaml").read_text())
    wanted = YoloSegParams.model_validate(trained.params)
    assert config["lr0"] == wanted.lr0
    assert config["mosaic"] == wanted.mosaic
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_model_reports_as_many_instances_as_it_is_told_and_says_where_it_met_the_limit(
    trained: MemoryTrial,
) -> None:
    predictor = YoloSegEngine().load(_model(trained), Device())
    assert isinstance(predictor, Adjustable)
    image = trained.data.read(trained.data.images("val")[0])
    (whole,) = predictor([image])
    assert len(whole) > 3
    assert not whole.capped
    usual = predictor.reporting
    assert usual.max_det > len(whole)
    predictor.reporting = Reporting(2, usual.confidence)
    (two,) = predictor([image])
    assert two.capped
    np.testing.assert_allclose(two.scores, whole.scores[:2], atol=1e-6)
    floor = float(whole.scores[2])
    predictor.reporting = Reporting(usual.max_det, floor - 1e-4)
    (sure,) = predictor([image])
    assert not sure.capped
    np.testing.assert_allclose(sure.scores, whole.scores[whole.scores >= floor - 1e-4], atol=1e-6)
