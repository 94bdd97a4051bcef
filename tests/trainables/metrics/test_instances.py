"""The evaluator, judged by hand, by pycocotools called directly, and by properties."""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.support.places import DATA
from trainables.datasets.prepared import PreparedDataset
from trainables.metrics.instances import Evaluation, evaluate, evaluate_groups, evaluate_instances
from trainables.metrics.matching import GroundTruth, ground_truth, match_image
from trainables.metrics.names import METRIC_NAMES, Kind
from trainables.metrics.scores import f1, overfit_gap
from trainables.metrics.subset import affordable_images, train_subset
from trainables.results import Instances

NUCLEI = DATA / "nuclei"
SIZE = 200
KINDS: tuple[Kind, ...] = ("masks", "boxes")

Box = tuple[float, float, float, float]
Scene = tuple[list[Instances], list[GroundTruth]]


def encode(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    encoded: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return encoded


def rectangle(box: Sequence[float], size: int = SIZE) -> dict[str, Any]:
    mask = np.zeros((size, size), np.bool_)
    x1, y1, x2, y2 = (round(v) for v in box)
    mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
    return encode(mask)


def truth(boxes: Sequence[Box], classes: Sequence[int] | None = None) -> GroundTruth:
    return GroundTruth(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes if classes is not None else [0] * len(boxes), np.int64),
        masks=[rectangle(b) for b in boxes],
        height=SIZE,
        width=SIZE,
    )


def found(
    boxes: Sequence[Box], scores: Sequence[float], classes: Sequence[int] | None = None
) -> Instances:
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        classes=np.array(classes if classes is not None else [0] * len(boxes), np.int64),
        masks=[rectangle(b) for b in boxes],
    )


def sorted_instances(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    classes: npt.NDArray[Any],
    masks: Sequence[Mapping[str, Any]],
) -> Instances:
    order = np.argsort(-scores, kind="stable")
    return Instances(
        boxes=boxes[order].astype(np.float32).reshape(-1, 4),
        scores=scores[order].astype(np.float32),
        classes=classes[order].astype(np.int64),
        masks=[masks[i] for i in order],
    )


def shaken(
    rng: np.random.Generator, truths: GroundTruth, n_classes: int, size: int = SIZE
) -> Instances:
    """What a mediocre model would find: objects lost, moved, doubled, misnamed and invented."""
    picked = rng.permutation(np.repeat(np.arange(len(truths)), rng.integers(0, 3, len(truths))))
    boxes = truths.boxes[picked] + np.round(rng.normal(0, 2.5, (len(picked), 4)))
    corners = rng.integers(0, size - 40, (int(rng.integers(0, 10)), 2))
    invented = np.concatenate([corners, corners + rng.integers(5, 40, corners.shape)], axis=1)
    boxes = np.concatenate([boxes, invented])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    boxes = np.clip(boxes, 0, size)
    classes = np.concatenate([truths.classes[picked], rng.integers(0, n_classes, len(invented))])
    misnamed = rng.random(len(classes)) < 0.15
    classes[misnamed] = rng.integers(0, n_classes, int(misnamed.sum()))
    scores = np.where(np.arange(len(boxes)) < len(picked), 0.3, 0.0) + 0.7 * rng.random(len(boxes))
    return sorted_instances(boxes, scores, classes, [rectangle(b, size) for b in boxes])


def random_scene(seed: int, n_images: int = 6, n_classes: int = 3) -> Scene:
    rng = np.random.default_rng(seed)
    truths = []
    for _ in range(n_images):
        corners = rng.integers(0, 150, (int(rng.integers(0, 15)), 2))
        boxes = np.concatenate([corners, corners + rng.integers(8, 45, corners.shape)], axis=1)
        classes = rng.integers(0, n_classes, len(boxes)).tolist()
        truths.append(truth([tuple(b) for b in boxes.tolist()], classes))
    return [shaken(rng, t, n_classes) for t in truths], truths


def coarse(instances: Instances) -> Instances:
    """The same with scores of 0.25, 0.5, 0.75 and 1 only."""
    return replace(instances, scores=(np.ceil(instances.scores * 4) / 4).astype(np.float32))


def names(n: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(n))


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


class TestSmallOracles:
    @pytest.mark.parametrize(
        ("p", "r", "expected"), [(0.8, 0.5, 0.6154), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 0, 0)]
    )
    def test_f1_is_the_harmonic_mean_and_0_where_both_are_0(
        self, p: float, r: float, expected: float
    ) -> None:
        assert f1(p, r) == pytest.approx(expected, abs=5e-5)

    @pytest.mark.parametrize(
        ("train", "val", "level"),
        [
            (0.83, 0.80, "normal"),
            (0.80, 0.65, "warning"),
            (0.35, 0.20, "warning"),
            (0.95, 0.60, "severe"),
            (0.70, 0.36, "warning"),
            (0.50, 0.90, "normal"),
        ],
    )
    def test_the_overfit_gap_has_three_levels(self, train: float, val: float, level: str) -> None:
        gap, got = overfit_gap(train, val)
        assert gap == pytest.approx(train - val)
        assert got == level


A, B, C_ = (10, 10, 50, 50), (60, 60, 100, 100), (110, 110, 150, 150)
NOWHERE = (150, 0, 190, 40)


@pytest.mark.parametrize("kind", KINDS)
class TestHandComputed:
    def test_perfect_predictions_give_1_everywhere(self, kind: Kind) -> None:
        t = [truth([A, B], [0, 1]), truth([C_], [0])]
        p = [found([A, B], [0.9, 0.8], [0, 1]), found([C_], [0.7], [0])]
        e = evaluate(p, t, names(2), kind=kind)
        assert list(e.as_metrics("m").values())[:5] == [1.0] * 5
        assert e.confidence == pytest.approx(0.35)  # of the gap from 0.7 to 0
        assert e.confusion.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]

    def test_the_confidence_leaves_out_the_false_positive_below_the_last_hit(
        self, kind: Kind
    ) -> None:
        # F1 by number admitted: 2/4, 2/5, 4/6, 4/7 of 3 truths
        p = found([A, NOWHERE, B, (0, 150, 40, 190)], [0.9, 0.8, 0.6, 0.3])
        e = evaluate([p], [truth([A, B, C_])], names(1), kind=kind)
        assert e.confidence == pytest.approx(0.45)  # of the gap from 0.6 to 0.3
        assert (e.precision, e.recall) == pytest.approx((2 / 3, 2 / 3))
        assert e.f1 == pytest.approx(2 / 3)
        # envelope: precision 1 up to recall 1/3 (34 points), 2/3 up to 2/3 (33 points), then 0
        assert e.map50 == pytest.approx((34 + 33 * 2 / 3) / 101)
        assert e.confusion.tolist() == [[2, 1], [1, 0]]

    def test_f1_is_of_the_class_means_and_not_the_mean_of_class_f1s(self, kind: Kind) -> None:
        # class 0: P 1, R 1/2; class 1: P 1/2, R 1
        t = [truth([A, B, C_], [0, 0, 1])]
        p = [found([A, C_, NOWHERE], [0.9, 0.9, 0.9], [0, 1, 1])]
        e = evaluate(p, t, names(2), kind=kind)
        assert (e.precision, e.recall, e.f1) == (0.75, 0.75, 0.75)
        assert [c.f1 for c in e.per_class] == [pytest.approx(2 / 3)] * 2

    def test_a_truth_is_taken_once_so_a_doubled_detection_costs_precision(self, kind: Kind) -> None:
        e = evaluate([found([A, A], [0.9, 0.8])], [truth([A])], names(1), kind=kind, confidence=0.5)
        assert (e.precision, e.recall) == (0.5, 1.0)

    def test_the_best_free_truth_is_taken_not_the_first(self, kind: Kind) -> None:
        # The first prediction lies nearer to the second truth; the second fits only the first.
        near, far = (12, 10, 52, 50), (18, 10, 58, 50)
        e = evaluate(
            [found([(17, 10, 57, 50), (11, 10, 51, 50)], [0.9, 0.8])],
            [truth([near, far])],
            names(1),
            kind=kind,
        )
        assert (e.precision, e.recall, e.map50) == (1.0, 1.0, 1.0)

    def test_an_iou_of_exactly_one_half_is_a_hit(self, kind: Kind) -> None:
        e = evaluate([found([(0, 0, 40, 20)], [0.9])], [truth([(0, 0, 40, 40)])], ("a",), kind=kind)
        assert (e.f1, e.map50, e.map50_95) == pytest.approx((1.0, 1.0, 0.1))

    def test_equal_scores_are_admitted_together(self, kind: Kind) -> None:
        p = found([A, NOWHERE, B], [0.5, 0.5, 0.5])
        e = evaluate([p], [truth([A, B])], names(1), kind=kind)
        assert (e.confidence, e.precision, e.recall) == pytest.approx((0.25, 2 / 3, 1.0))

    def test_of_equal_maxima_the_highest_confidence_is_taken(self, kind: Kind) -> None:
        # 2 truths: one admitted gives F1 2/3, all four admitted 4/6
        p = found([A, NOWHERE, (0, 150, 40, 190), B], [0.9, 0.8, 0.7, 0.6])
        e = evaluate([p], [truth([A, B])], names(1), kind=kind)
        assert e.confidence == pytest.approx(0.85)

    def test_maxima_that_differ_by_rounding_only_are_equal(self, kind: Kind) -> None:
        # class F1s 1/2, 2/3, 2/5 at 0.9 and 1/2, 2/5, 2/3 at 0.5: float sums are not the same
        cells = [(x, y, x + 40.0, y + 40.0) for y in range(0, 200, 50) for x in range(0, 200, 50)]
        t = truth(cells[:8], [0, 0, 1, 1, 2, 2, 2, 2])
        of_cells = {0: 0, 8: 0, 2: 1, 4: 2, 9: 1, 10: 1, 5: 2}  # 8, 9 and 10 are empty
        p = found([cells[k] for k in of_cells], [0.9] * 4 + [0.5] * 3, list(of_cells.values()))
        assert evaluate([p], [t], names(3), kind=kind).confidence == pytest.approx(0.7)

    def test_a_given_confidence_is_used_even_where_another_is_better(self, kind: Kind) -> None:
        p, t = [found([A, B], [0.9, 0.4])], [truth([A, B])]
        best = evaluate(p, t, names(1), kind=kind)
        given_ = evaluate(p, t, names(1), kind=kind, confidence=0.5)
        assert (best.recall, given_.recall, given_.confidence) == (1.0, 0.5, 0.5)
        assert given_.map50 == best.map50 == 1.0

    def test_only_the_best_detections_of_each_class_take_part(self, kind: Kind) -> None:
        t = [truth([A, B, C_], [0, 0, 1])]
        p = [found([A, B, C_], [0.9, 0.8, 0.7], [0, 0, 1])]
        e = evaluate(p, t, names(2), kind=kind, max_detections=1)
        assert [c.recall for c in e.per_class] == [0.5, 1.0]
        assert e.left_out == 1

    def test_a_misnamed_object_stands_off_the_diagonal(self, kind: Kind) -> None:
        t = [truth([A, B, C_], [0, 1, 1])]
        p = [found([A, B, NOWHERE], [0.9, 0.8, 0.7], [0, 0, 1])]
        e = evaluate(p, t, names(2), kind=kind, confidence=0.1)
        assert e.confusion.tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]

    def test_a_wrong_name_does_not_steal_the_truth_from_the_right_one(self, kind: Kind) -> None:
        p = [found([A, A], [0.9, 0.8], [1, 0])]
        e = evaluate(p, [truth([A], [0])], names(2), kind=kind, confidence=0.1)
        assert e.confusion.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_masks_and_boxes_are_told_apart() -> None:
    cross = np.zeros((SIZE, SIZE), np.bool_)
    cross[48:52, 10:90] = cross[10:90, 48:52] = True
    box = np.array([[10, 10, 90, 90]], np.float32)
    zero = np.zeros(1, np.int64)
    t = GroundTruth(box, zero, [rectangle((10, 10, 90, 90))], SIZE, SIZE)
    p = Instances(box, np.array([0.9], np.float32), zero, [encode(cross)])
    metrics = evaluate_instances([p], [t], ("cross",))
    assert metrics["box_metrics/F1"] == 1.0
    assert metrics["seg_metrics/F1"] == 0.0


class TestEmptyCases:
    @pytest.mark.parametrize("kind", KINDS)
    def test_no_prediction_gives_0_and_every_truth_is_missed(self, kind: Kind) -> None:
        e = evaluate([found([], [])], [truth([A, B])], names(1), kind=kind)
        assert list(e.as_metrics("m").values()) == [0.0] * 5 + [1.0]
        assert e.confusion.tolist() == [[0, 0], [2, 0]]

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_truth_gives_0_and_every_prediction_is_background(self, kind: Kind) -> None:
        e = evaluate([found([A], [0.9])], [truth([])], names(1), kind=kind, confidence=0.5)
        assert list(e.as_metrics("m").values()) == [0.0] * 5 + [0.5]
        assert e.confusion.tolist() == [[0, 1], [0, 0]]
        assert e.per_class[0].precision is None

    @pytest.mark.parametrize("kind", KINDS)
    def test_neither_predictions_nor_truths_nor_images_give_0(self, kind: Kind) -> None:
        for p, t in (([], []), ([found([], [])], [truth([])])):
            e = evaluate(p, t, names(2), kind=kind)
            assert list(e.as_metrics("m").values()) == [0.0] * 5 + [1.0]
            assert e.confusion.sum() == 0

    def test_an_absent_class_is_left_out_of_the_means_but_not_of_the_confusion(self) -> None:
        p = [found([NOWHERE, A], [0.95, 0.9], [1, 0])]
        e = evaluate(p, [truth([A], [0])], names(2), kind="boxes", confidence=0.5)
        assert (e.precision, e.recall, e.f1, e.map50) == (1.0, 1.0, 1.0, 1.0)
        assert e.confusion[1, 2] == 1
        assert e.per_class[1].as_row()["F1"] is None
        assert np.isnan(e.curves.f1[1]).all()

    def test_a_class_never_predicted_has_no_precision_and_no_recall(self) -> None:
        e = evaluate([found([A], [0.9])], [truth([A, B], [0, 1])], names(2), kind="boxes")
        assert (e.precision, e.recall) == (0.5, 0.5)

    def test_an_image_without_objects_costs_precision_only(self) -> None:
        p = [found([A], [0.9]), found([A], [0.8])]
        e = evaluate(p, [truth([A]), truth([])], names(1), kind="boxes", confidence=0.5)
        assert (e.precision, e.recall, e.per_class[0].images) == (0.5, 1.0, 1)


def test_the_truth_is_read_from_a_prepared_data_set(tmp_path: Path) -> None:
    mask = rectangle(B)
    area, (x, y, width, height) = int(coco_mask.area(mask)), coco_mask.toBbox(mask).tolist()
    picture = {"width": SIZE, "height": SIZE, "split": "val", "group": "g"}
    coco = {
        "images": [{"id": k, "file_name": f"images/{k}.png", **picture} for k in (1, 2)],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 2,
                "area": area,
                "bbox": [x, y, width, height],
                "segmentation": {"size": mask["size"], "counts": mask["counts"].decode()},
            }
        ],
    }
    written = json.dumps(coco).encode()
    (tmp_path / "annotations.json").write_bytes(written)
    manifest = {
        "name": "two",
        "classes": ["a", "b"],
        "fingerprint": "0",
        "evaluation_only": "",
        "annotations_sha256": hashlib.sha256(written).hexdigest(),
    }
    data = PreparedDataset.from_manifest(tmp_path, manifest)
    t = [ground_truth(data, image) for image in data.images("val")]
    assert [len(i) for i in t] == [1, 0]
    assert t[0].boxes.tolist() == [list(B)]
    for kind in KINDS:
        p = [found([B], [0.9], [1]), found([], [])]
        e = evaluate(p, t, data.classes, kind=kind)
        assert (e.f1, e.per_class[1].name, e.per_class[1].truths) == (1.0, "b", 1)


class TestRefusals:
    def test_nan_scores_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"image 0: expected scores in \[0, 1\], got nan"):
            evaluate([found([A], [float("nan")])], [truth([A])], names(1), kind="boxes")

    def test_everything_wrong_is_said_at_once(self) -> None:
        p = [
            found([A], [1.5], [3]),
            replace(found([A], [0.5]), boxes=np.full((1, 4), np.nan, np.float32)),
            replace(found([A], [0.5]), masks=[rectangle(A, 100)]),
            replace(found([A], [0.5]), masks=None),
        ]
        with pytest.raises(ValueError, match="cannot evaluate") as caught:
            evaluate(p, [truth([A])] * 4, names(2), kind="masks")
        message = str(caught.value)
        for part in (
            "image 0: expected scores in [0, 1], got 1.5",
            "image 0: expected predicted classes 0 to 1, got [3]",
            "image 1: expected finite boxes",
            "image 2: expected predicted masks of size [200, 200], got [(100, 100)]",
            "image 3: expected predicted masks, got boxes only; use kind='boxes'",
        ):
            assert part in message

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"predictions": []}, "expected one prediction an image, got 0 for 1 images"),
            ({"confidence": 1.5}, r"expected a confidence in \[0, 1\], got 1.5"),
            ({"confidence": float("nan")}, "got nan"),
            ({"max_detections": 0}, "expected max_detections >= 1, got 0"),
        ],
        ids=["lengths", "confidence", "nan confidence", "max_detections"],
    )
    def test_settings_that_cannot_be_are_refused(
        self, change: dict[str, Any], message: str
    ) -> None:
        arguments: dict[str, Any] = {"predictions": [found([A], [0.5])], "truths": [truth([A])]}
        with pytest.raises(ValueError, match=message):
            evaluate(**{**arguments, **change}, classes=names(1), kind="boxes")

    def test_a_truth_with_parts_that_do_not_belong_together_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected boxes \(1, 4\) for 1 classes"):
            GroundTruth(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), None, 9, 9)
        with pytest.raises(ValueError, match="expected 1 masks for 1 classes, got 0"):
            GroundTruth(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), [], 9, 9)


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


SEEDS = st.integers(0, 2**31 - 1)


def same_metrics(a: Evaluation, b: Evaluation) -> None:
    assert a.as_metrics("m") == pytest.approx(b.as_metrics("m"), abs=1e-12)
    assert (a.confusion == b.confusion).all()


class TestProperties:
    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS)
    def test_the_order_of_images_and_truths_does_not_matter(self, seed: int) -> None:
        p, t = random_scene(seed, n_images=5)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(p))
        mixed = []
        for i in order:
            k = rng.permutation(len(t[i]))
            masks = t[i].masks or []
            mixed.append(
                replace(
                    t[i],
                    boxes=t[i].boxes[k],
                    classes=t[i].classes[k],
                    masks=[masks[j] for j in k],
                )
            )
        for kind in KINDS:
            same_metrics(
                evaluate(p, t, names(3), kind=kind),
                evaluate([p[i] for i in order], mixed, names(3), kind=kind),
            )

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS)
    def test_with_equal_scores_p_r_and_f1_do_not_depend_on_the_order_of_images(
        self, seed: int
    ) -> None:
        p, t = random_scene(seed, n_images=5)
        p = [coarse(i) for i in p]
        order = np.random.default_rng(seed).permutation(len(p))
        a = evaluate(p, t, names(3), kind="boxes")
        b = evaluate([p[i] for i in order], [t[i] for i in order], names(3), kind="boxes")
        assert (a.precision, a.recall, a.f1, a.confidence) == pytest.approx(
            (b.precision, b.recall, b.f1, b.confidence)
        )

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS, names_first=st.booleans())
    def test_the_order_of_the_class_list_does_not_matter(
        self, seed: int, names_first: bool
    ) -> None:
        p, t = random_scene(seed, n_images=4)
        turn = np.array([1, 2, 0] if names_first else [2, 1, 0])
        mixed = evaluate(
            [replace(i, classes=turn[i.classes]) for i in p],
            [replace(i, classes=turn[i.classes]) for i in t],
            names(3),
            kind="boxes",
        )
        straight = evaluate(p, t, names(3), kind="boxes")
        assert mixed.as_metrics("m") == pytest.approx(straight.as_metrics("m"), abs=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS)
    def test_the_truth_itself_scores_1(self, seed: int) -> None:
        _, t = random_scene(seed, n_images=3)
        rng = np.random.default_rng(seed)
        p = [
            sorted_instances(
                i.boxes, rng.random(len(i)), i.classes, [dict(m) for m in i.masks or []]
            )
            for i in t
        ]
        for kind in KINDS:
            e = evaluate(p, t, names(3), kind=kind)
            objects = sum(map(len, t))
            assert list(e.as_metrics("m").values())[:5] == [1.0 if objects else 0.0] * 5
            assert e.confusion.trace() == objects

    @settings(max_examples=60, deadline=None)
    @given(
        cells=st.sets(st.integers(0, 15), min_size=1), data=st.data(), kind=st.sampled_from(KINDS)
    )
    def test_each_doubled_detection_costs_precision_and_no_recall(
        self, cells: set[int], data: st.DataObject, kind: Kind
    ) -> None:
        corners = [(50.0 * (k % 4), 50.0 * (k // 4)) for k in sorted(cells)]
        boxes = [(x, y, x + 40, y + 40) for x, y in corners]
        doubled = data.draw(st.lists(st.sampled_from(boxes), max_size=20))
        p = found([*boxes, *doubled], [0.9] * len(boxes) + [0.8] * len(doubled))
        e = evaluate([p], [truth(boxes)], names(1), kind=kind, confidence=0.5)
        assert e.precision == pytest.approx(len(boxes) / (len(boxes) + len(doubled)))
        assert e.recall == 1.0

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS)
    def test_validations_confidence_gives_the_same_values_when_given_back(self, seed: int) -> None:
        p, t = random_scene(seed, n_images=4)
        best = evaluate_instances(p, t, names(3))
        assert evaluate_instances(p, t, names(3), confidences=best) == best

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS, other=st.floats(0, 1))
    def test_no_other_confidence_has_a_higher_mean_of_class_f1s(
        self, seed: int, other: float
    ) -> None:
        p, t = random_scene(seed, n_images=4)

        def mean_f1(confidence: float | None) -> float:
            rows = evaluate(p, t, names(3), kind="boxes", confidence=confidence).per_class
            return float(np.mean([r.f1 for r in rows if r.f1 is not None] or [0.0]))

        assert mean_f1(None) >= mean_f1(other) - 1e-12

    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS)
    def test_the_confusion_matrix_holds_the_counts_behind_p_and_r(self, seed: int) -> None:
        p, t = random_scene(seed, n_images=4)
        e = evaluate(p, t, names(3), kind="masks")
        for c, row in enumerate(e.per_class):
            assert e.confusion[:, c].sum() == row.truths
            if row.precision is not None and row.recall is not None:
                hits = e.confusion[c, c]
                assert row.precision == pytest.approx(hits / max(e.confusion[c].sum(), 1))
                assert row.recall == pytest.approx(hits / row.truths)


class TestGroups:
    def test_both_groups_are_reported_under_the_agreed_keys(self) -> None:
        p, t = random_scene(1)
        metrics = evaluate_instances(p, t, names(3), split_prefix="train_")
        wanted = [*METRIC_NAMES, "confidence"]
        groups = ("train_seg_metrics", "train_box_metrics")
        assert list(metrics) == [f"{g}/{m}" for g in groups for m in wanted]
        assert all(type(v) is float for v in metrics.values())

    def test_a_box_only_engine_reports_boxes_only(self) -> None:
        p, t = random_scene(1)
        metrics = evaluate_instances([replace(i, masks=None) for i in p], t, names(3))
        assert {k.partition("/")[0] for k in metrics} == {"box_metrics"}

    def test_named_groups_are_reported_even_without_any_prediction(self) -> None:
        nothing = replace(found([], []), masks=None)
        groups = ("seg_metrics", "box_metrics")
        got = evaluate_groups([nothing], [truth([A])], names(1), groups=groups)
        assert [(g, e.f1) for g, e in got.items()] == [("seg_metrics", 0.0), ("box_metrics", 0.0)]

    def test_masks_and_boxes_are_taken_each_at_its_own_validation_confidence(self) -> None:
        p, t = random_scene(1)
        given_ = {"seg_metrics/confidence": 0.25, "box_metrics/confidence": 0.75}
        got = evaluate_groups(p, t, names(3), confidences=given_)
        assert [e.confidence for e in got.values()] == [0.25, 0.75]

    def test_a_missing_validation_confidence_is_named(self) -> None:
        p, t = random_scene(1)
        with pytest.raises(ValueError, match="expected seg_metrics/confidence among the valid"):
            evaluate_instances(p, t, names(3), confidences={"seg_metrics/F1": 0.5})

    def test_the_table_has_one_row_a_class(self) -> None:
        p, t = random_scene(1)
        rows = [c.as_row() for c in evaluate(p, t, names(3), kind="masks").per_class]
        assert [r["class"] for r in rows] == list(names(3))
        assert list(rows[0]) == [
            *("class", "images", "truths", "precision", "recall"),
            *("F1", "map50", "map50_95"),
        ]


def test_curves_are_exact_at_every_confidence_drawn() -> None:
    p, t = random_scene(3)
    e = evaluate(p, t, names(3), kind="boxes")
    for k in (0, 123, 500, 777, 1000):
        at = evaluate(p, t, names(3), kind="boxes", confidence=float(e.curves.confidence[k]))
        assert e.curves.precision[:, k].mean() == pytest.approx(at.precision)
        assert e.curves.recall[:, k].mean() == pytest.approx(at.recall)
    assert e.curves.precision_at_recall.mean() == pytest.approx(e.map50)


def rectangles(boxes: npt.NDArray[np.int64], size: int = 640) -> list[dict[str, Any]]:
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    masks: list[dict[str, Any]] = coco_mask.frPyObjects(xywh.astype(np.float64), size, size)
    return masks


def test_an_epochs_evaluation_takes_well_under_a_tenth_of_a_second() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 590, (12, 60, 2))
    truths, predictions = [], []
    for image in corners:
        boxes = np.concatenate([image, image + rng.integers(15, 50, image.shape)], axis=1)
        classes = rng.integers(0, 2, len(boxes))
        masks = rectangles(boxes)
        truths.append(GroundTruth(boxes.astype(np.float32), classes, masks, 640, 640))
        k = np.repeat(np.arange(60), 5)
        seen = boxes[k] + rng.integers(-4, 5, (300, 4))
        found_ = sorted_instances(seen, rng.random(300), classes[k], rectangles(seen))
        predictions.append(found_)
    seconds = []
    for _ in range(5):
        start = time.process_time()  # of this process: others may be using the machine
        evaluate(predictions, truths, names(2), kind="masks")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


@dataclass(frozen=True)
class Record:
    """As much of a data set's image record as the choice looks at."""

    path: Path


class TestTrainSubset:
    IMAGES = tuple(Record(Path(f"/data/images/{k:03}.png")) for k in range(50))

    def chosen(self, images: Sequence[Record], n: int, seed: int) -> list[str]:
        return [i.path.name for i in train_subset(images, n, seed)]  # type: ignore[arg-type]

    def test_the_choice_is_fixed_by_seed_and_names_alone(self) -> None:
        moved = [Record(Path("/elsewhere") / i.path.name) for i in reversed(self.IMAGES)]
        assert self.chosen(self.IMAGES, 8, 1) == self.chosen(moved, 8, 1)
        assert self.chosen(self.IMAGES, 8, 1) != self.chosen(self.IMAGES, 8, 2)
        assert len(set(self.chosen(self.IMAGES, 8, 1))) == 8

    def test_a_larger_subset_contains_the_smaller(self) -> None:
        assert set(self.chosen(self.IMAGES, 5, 3)) < set(self.chosen(self.IMAGES, 9, 3))

    def test_more_than_there_are_means_all(self) -> None:
        assert self.chosen(self.IMAGES, 99, 0) == [i.path.name for i in self.IMAGES]

    def test_no_image_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected at least 1 training image"):
            self.chosen(self.IMAGES, 0, 0)


class TestAffordableImages:
    @pytest.mark.parametrize(
        ("epoch", "image", "val", "train", "expected"),
        [
            (10.0, 0.1, 50, 200, 15),
            (10.0, 0.01, 50, 200, 50),
            (10.0, 0.01, 50, 20, 20),
            (1.0, 9.0, 50, 200, 1),
            (0.87, 0.29 / 12, 12, 40, 5),
            (1.0, 0.0, 12, 40, 12),
            (1.0, 0.1, 0, 40, 1),
        ],
        ids=["share", "validation", "train", "at least 1", "measured", "free", "no validation"],
    )
    def test_the_subset_is_what_the_share_pays_for(
        self, epoch: float, image: float, val: int, train: int, expected: int
    ) -> None:
        assert affordable_images(epoch, image, val, train) == expected

    @pytest.mark.parametrize("times", [(float("nan"), 1.0), (1.0, -1.0), (float("inf"), 1.0)])
    def test_times_that_cannot_be_are_refused(self, times: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="expected finite times"):
            affordable_images(*times, 1, 1)


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
