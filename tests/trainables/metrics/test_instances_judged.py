"""The evaluator, judged by pycocotools and Ultralytics called directly."""

import contextlib
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.support.places import DATA
from tests.support.samples.scenes import (
    KINDS,
    Scene,
    coarse,
    encode,
    found,
    names,
    random_scene,
    sorted_instances,
    truth,
)
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import GroundTruth, match_image
from trainables.metrics.names import Kind
from trainables.metrics.scores import f1
from trainables.results import Instances

NUCLEI = DATA / "nuclei"


def judged(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    n_classes: int,
    kind: Kind,
    max_detections: int = 300,
) -> tuple[float, float, npt.NDArray[np.float64]]:
    """map50, map50_95 and (T, 101, C) precisions of pycocotools' own evaluation."""

    def entry(image: int, c: int, box: Any, mask: Any) -> dict[str, Any]:
        x1, y1, x2, y2 = (float(v) for v in box)
        shape = (
            {"segmentation": dict(mask), "area": float(coco_mask.area(mask))}
            if kind == "masks"
            else {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        )
        return {"image_id": image, "category_id": int(c) + 1, "iscrowd": 0, **shape}

    gt = [
        entry(i, c, b, m)
        for i, t in enumerate(truths)
        for c, b, m in zip(t.classes, t.boxes, t.masks or [], strict=True)
    ]
    dt = [
        {**entry(i, c, b, m), "score": float(s)}
        for i, p in enumerate(predictions)
        for c, b, m, s in zip(p.classes, p.boxes, p.masks or [], p.scores, strict=True)
    ]
    for which in (gt, dt):
        for k, annotation in enumerate(which):
            annotation["id"] = k + 1
    images = [{"id": i, "height": t.height, "width": t.width} for i, t in enumerate(truths)]
    categories = [{"id": c + 1, "name": str(c)} for c in range(n_classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (gt, dt):
            coco = COCO()
            coco.dataset = {"images": images, "annotations": annotations, "categories": categories}
            coco.createIndex()
            sides.append(coco)
        judge = COCOeval(*sides, "segm" if kind == "masks" else "bbox")
        judge.params.maxDets = [max_detections]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 0]
    present = precision[0, 0] > -1
    if not present.any():
        return 0.0, 0.0, precision
    return precision[0][:, present].mean(), precision[:, :, present].mean(), precision


class TestJudgedByPycocotools:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("seed", range(12))
    def test_average_precision_is_cocos_on_random_scenes(self, kind: Kind, seed: int) -> None:
        n_classes = 1 + seed % 4
        p, t = random_scene(seed, n_classes=n_classes)
        e = evaluate(p, t, names(n_classes), kind=kind)
        map50, map50_95, precision = judged(p, t, n_classes, kind)
        assert 0 < map50 < 1
        assert e.map50 == pytest.approx(map50, abs=1e-9)
        assert e.map50_95 == pytest.approx(map50_95, abs=1e-9)
        for c, row in enumerate(e.per_class):
            if row.truths:
                assert e.curves.precision_at_recall[c] == pytest.approx(precision[0, :, c])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("max_detections", [1, 3, 10])
    def test_the_limit_on_detections_is_cocos(self, kind: Kind, max_detections: int) -> None:
        p, t = random_scene(5)
        e = evaluate(p, t, names(3), kind=kind, max_detections=max_detections)
        map50, map50_95, _ = judged(p, t, 3, kind, max_detections)
        assert (e.map50, e.map50_95) == pytest.approx((map50, map50_95), abs=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_average_precision_is_cocos_where_scores_are_equal(self, kind: Kind) -> None:
        p, t = random_scene(7, n_images=12)
        p = [coarse(i) for i in p]
        e = evaluate(p, t, names(3), kind=kind)
        map50, map50_95, _ = judged(p, t, 3, kind)
        assert (e.map50, e.map50_95) == pytest.approx((map50, map50_95), abs=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("backwards", [False, True])
    def test_of_truths_with_equal_iou_cocos_is_taken(self, kind: Kind, backwards: bool) -> None:
        # The first prediction lies midway; the second fits the right truth only.
        truths = [(10, 10, 50, 50), (20, 10, 60, 50)][:: -1 if backwards else 1]
        p, t = [found([(15, 10, 55, 50), (26, 10, 66, 50)], [0.9, 0.8])], [truth(truths)]
        e = evaluate(p, t, names(1), kind=kind, confidence=0.5)
        assert e.recall == (1.0 if backwards else 0.5)
        assert e.map50 == pytest.approx(judged(p, t, 1, kind)[0])

    @pytest.mark.parametrize("kind", KINDS)
    def test_average_precision_is_cocos_on_real_nuclei(self, kind: Kind) -> None:
        p, t = real_scene(8)
        assert sum(map(len, t)) > 50
        e = evaluate(p, t, ("nucleus",), kind=kind)
        map50, map50_95, _ = judged(p, t, 1, kind)
        assert 0.2 < map50 < 1
        assert (e.map50, e.map50_95) == pytest.approx((map50, map50_95), abs=1e-9)


def real_scene(n_images: int) -> Scene:
    """Real nuclei, and what is left of them when shifted, eroded, dilated, lost and invented."""
    if not NUCLEI.is_dir():
        pytest.skip(f"no real data at {NUCLEI}")
    rng = np.random.default_rng(0)
    predictions, truths = [], []
    for path in sorted((NUCLEI / "labels").glob("*.png"))[:n_images]:
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert label is not None
        masks = [label == k for k in range(1, int(label.max()) + 1)]
        masks = [m for m in masks if m.any()]
        truths.append(
            GroundTruth(
                boxes_of(masks),
                np.zeros(len(masks), np.int64),
                [encode(m) for m in masks],
                *label.shape,
            )
        )
        seen = [spoilt(rng, m) for m in masks for _ in range(rng.integers(0, 3))]
        seen = [m for m in seen if m.any()]
        predictions.append(
            sorted_instances(
                boxes_of(seen),
                rng.random(len(seen)),
                np.zeros(len(seen)),
                [encode(m) for m in seen],
            )
        )
    return predictions, truths


def spoilt(rng: np.random.Generator, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    kernel = np.ones((3, 3), np.uint8)
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    changed = change(mask.astype(np.uint8), kernel, iterations=int(rng.integers(0, 3)))
    return np.roll(changed, rng.integers(-3, 4, 2), axis=(0, 1)).astype(np.bool_)


def boxes_of(masks: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.float32]:
    boxes = []
    for mask in masks:
        y, x = np.nonzero(mask)
        boxes.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return np.array(boxes, np.float32).reshape(-1, 4)


@pytest.mark.slow
def test_ultralytics_own_validator_matches_the_same_pairs_and_its_values_are_close() -> None:
    torch = pytest.importorskip("torch", reason="torch not installed")
    validator = pytest.importorskip("ultralytics.engine.validator", reason="no ultralytics")
    theirs_of = validator.BaseValidator.match_predictions
    from ultralytics.utils.metrics import ap_per_class, box_iou

    differences = []
    for seed in range(30):
        p, t = random_scene(seed, n_images=12, n_classes=2)
        theirs = np.concatenate(
            [
                theirs_of(
                    SimpleNamespace(iouv=torch.linspace(0.5, 0.95, 10)),
                    torch.tensor(a.classes),
                    torch.tensor(b.classes),
                    box_iou(torch.tensor(b.boxes), torch.tensor(a.boxes)),
                ).numpy()
                for a, b in zip(p, t, strict=True)
            ]
        )
        ours = [match_image(a, b, "boxes", 300).hits for a, b in zip(p, t, strict=True)]
        result = ap_per_class(
            theirs,
            np.concatenate([i.scores for i in p]),
            np.concatenate([i.classes for i in p]),
            np.concatenate([i.classes for i in t]),
        )
        precision, recall, ap = result[2].mean(), result[3].mean(), result[5]
        e = evaluate(p, t, names(2), kind="boxes")
        differences.append(
            (
                np.mean(np.concatenate(ours) != theirs),
                e.f1 - f1(precision, recall),
                e.map50 - ap[:, 0].mean(),
                e.map50_95 - ap.mean(),
            )
        )
    pairs, of_f1, of_map50, of_map50_95 = np.array(differences).T
    assert pairs.max() == 0
    assert of_f1.min() > -0.005
    assert 0 < of_f1.mean() < 0.02
    assert of_f1.max() < 0.04
    assert abs(of_map50).max() < 0.01
    assert abs(of_map50_95).max() < 0.01
