"""COCO's table, judged by COCOeval as it is and by our own evaluator."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from analysis.evaluation.coco import COCO_NAMES, CocoTable, coco_tables
from tests.support.samples.scenes import coarse, names, random_scene, shaken
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from trainables.metrics.instances import evaluate, evaluate_groups
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.metrics.names import Kind
from trainables.results import Instances

KINDS: tuple[Kind, ...] = ("masks", "boxes")
AGREE = 1e-9
"""How far our own evaluator's AP may be from COCOeval's."""


def as_found(truth: GroundTruth) -> Instances:
    """The truth as predictions of equal scores."""
    return Instances(truth.boxes, np.full(len(truth), 0.9, np.float32), truth.classes, truth.masks)


def table(
    found: Sequence[Instances], truths: Sequence[GroundTruth], kind: Kind, max_det: int = 300
) -> CocoTable:
    n_classes = max((int(t.classes.max()) for t in truths if len(t)), default=0) + 1
    return coco_tables(found, truths, n_classes, [kind], max_det=max_det)[kind]


def plain_cocoeval(
    found: Sequence[Instances], truths: Sequence[GroundTruth], kind: Kind, max_dets: list[int]
) -> dict[str, float]:
    """The same figures by COCOeval alone, all pictures at once, from JSON-like lists."""
    gt, categories = COCO(), [{"id": c} for c in range(1, 4)]
    objects = [(i, t, k) for i, t in enumerate(truths, 1) for k in range(len(t))]
    rows = [
        {
            "id": n,
            "image_id": i,
            "category_id": int(t.classes[k]) + 1,
            "bbox": [*t.boxes[k][:2].tolist(), *(t.boxes[k][2:] - t.boxes[k][:2]).tolist()],
            **_mask_keys(t, k),
            "iscrowd": 0,
        }
        for n, (i, t, k) in enumerate(objects, 1)
    ]
    images = [{"id": i, "height": t.height, "width": t.width} for i, t in enumerate(truths, 1)]
    gt.dataset = {"images": images, "categories": categories, "annotations": rows}
    results = [
        {
            "image_id": i,
            "category_id": int(p.classes[k]) + 1,
            "score": float(p.scores[k]),
            **(
                {"segmentation": dict((p.masks or ())[k])}
                if kind == "masks"
                else {
                    "bbox": [
                        *p.boxes[k][:2].tolist(),
                        *(p.boxes[k][2:] - p.boxes[k][:2]).tolist(),
                    ]
                }
            ),
        }
        for i, p in enumerate(found, 1)
        for k in range(len(p))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        judge = COCOeval(gt, gt.loadRes(results), "segm" if kind == "masks" else "bbox")
        judge.params.maxDets = max_dets
        judge.evaluate()
        judge.accumulate()
    precision, recall = judge.eval["precision"], judge.eval["recall"]

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else -1.0

    areas = {
        name: mean(precision[..., a, -1]) for a, name in enumerate(("AP", "APs", "APm", "APl"))
    }
    areas |= {
        name: mean(recall[..., a, -1]) for a, name in enumerate(("ARs", "ARm", "ARl"), start=1)
    }
    limits = {f"AR{n}": mean(recall[:, :, 0, m]) for m, n in enumerate(max_dets[:-1])}
    return {
        **areas,
        **limits,
        "AP50": mean(precision[0, :, :, 0, -1]),
        "AP75": mean(precision[5, :, :, 0, -1]),
        "ARmax": mean(recall[:, :, 0, -1]),
    }


def _mask_keys(truth: GroundTruth, k: int) -> dict[str, object]:
    if truth.masks is None:
        return {"area": float(np.prod(truth.boxes[k][2:] - truth.boxes[k][:2]))}
    mask = dict(truth.masks[k])
    return {"segmentation": mask, "area": float(coco_mask.area(mask))}


@pytest.fixture(scope="module")
def nuclei(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    out = tmp_path_factory.mktemp("nuclei") / "data"
    prepare(shared_data / "nuclei", out)
    return PreparedDataset.load(out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_the_table_is_the_one_of_cocoeval_given_all_pictures_at_once(seed: int, kind: Kind) -> None:
    found, truths = random_scene(seed, n_images=8)
    if seed % 2:
        found = [coarse(f) for f in found]  # many equal scores
    wanted = plain_cocoeval(found, truths, kind, [1, 10, 100, 300])
    got = table(found, truths, kind)
    assert tuple(got.values) == COCO_NAMES
    for name, value in got.values.items():
        assert (-1.0 if value is None else value) == pytest.approx(wanted[name], abs=1e-12), name
    assert 0 < wanted["AP"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_truth_of_boxes_alone_gives_the_figures_of_cocoeval(seed: int) -> None:
    found, truths = random_scene(seed, n_images=8)
    boxes = [replace(truth, masks=None) for truth in truths]
    wanted = plain_cocoeval(found, boxes, "boxes", [1, 10, 100, 300])
    got = table(found, boxes, "boxes").values
    for name, value in got.items():
        assert (-1.0 if value is None else value) == pytest.approx(wanted[name], abs=1e-12), name
    assert 0 < wanted["AP"] < 1
    assert -1 < wanted["ARs"] < 1
    ours = evaluate_groups(found, boxes, names(3))
    assert list(ours) == ["box_metrics"], "masks of predictions alone compare with nothing"
    assert ours["box_metrics"].map50_95 == pytest.approx(wanted["AP"], abs=AGREE)


def test_an_object_of_another_size_is_only_taken_where_no_other_can_be() -> None:
    boxes = np.array([(20, 20, 51, 51), (20, 20, 53, 53)], np.float32)  # small, and medium
    masks = [_rectangle(box, (200, 200)) for box in boxes]
    truth = GroundTruth(boxes, np.zeros(2, np.int64), masks, 200, 200)
    found = Instances(boxes[1:], np.ones(1, np.float32), np.zeros(1, np.int64), masks[1:])
    wanted = plain_cocoeval([found], [truth], "masks", [1, 10, 100, 300])
    got = table([found], [truth], "masks").values
    assert (got["APs"], got["APm"]) == pytest.approx((wanted["APs"], wanted["APm"]))
    assert 0 < wanted["APs"] < 0.99 < wanted["APm"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lower_limit_counts_fewer_predictions(kind: Kind) -> None:
    found, truths = random_scene(3, n_images=8)
    wanted = plain_cocoeval(found, truths, kind, [1, 3])
    got = table(found, truths, kind, max_det=3)
    assert got.values["AP"] == pytest.approx(wanted["AP"], abs=1e-12)
    assert got.values["ARmax"] == pytest.approx(wanted["ARmax"], abs=1e-12)
    assert got.values["AR100"] == got.values["AR10"] == got.values["ARmax"]
    assert got.values["AP"] != table(found, truths, kind).values["AP"]


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_evaluator_agrees_on_real_pictures(nuclei: PreparedDataset, kind: Kind) -> None:
    rng = np.random.default_rng(0)
    truths = [ground_truth(nuclei, image) for image in nuclei.images("train")]
    found = []
    for truth in truths:
        size = (truth.height, truth.width)
        moved = shaken(rng, truth, 1, min(size))
        masks = [_rectangle(box, size) for box in moved.boxes]
        found.append(replace(moved, masks=masks))
    ours = evaluate(found, truths, nuclei.classes, kind=kind)
    theirs = coco_tables(found, truths, 1, [kind], max_det=300)[kind].values
    assert 0.02 < ours.map50_95 < 0.98
    assert theirs["AP"] == pytest.approx(ours.map50_95, abs=AGREE)
    assert theirs["AP50"] == pytest.approx(ours.map50, abs=AGREE)


def _rectangle(box: np.ndarray, size: tuple[int, int]) -> dict[str, object]:
    mask = np.zeros(size, np.uint8, order="F")
    x1, y1, x2, y2 = box.astype(int)
    mask[y1:y2, x1:x2] = 1
    encoded: dict[str, object] = coco_mask.encode(mask)
    return encoded


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_predictions_give_one_at_every_size(nuclei: PreparedDataset, kind: Kind) -> None:
    truths = [ground_truth(nuclei, image) for image in nuclei.images("train")]
    values = coco_tables([as_found(t) for t in truths], truths, 1, [kind], max_det=300)[kind].values
    for name in ("AP", "AP50", "AP75", "APs", "APm", "ARmax"):
        assert values[name] == 1.0, name
    assert values["APl"] is None  # no nucleus is that large


def test_more_than_a_hundred_objects_in_a_picture_are_not_cut() -> None:
    corners = np.array([(x, y) for x in range(0, 195, 12) for y in range(0, 195, 12)], np.float32)
    boxes = np.concatenate([corners, corners + 8], axis=1)
    truth = GroundTruth(boxes, np.zeros(len(boxes), np.int64), None, 200, 200)
    assert len(truth) == 289
    values = table([as_found(truth)], [truth], "boxes").values
    assert values["AP"] == values["ARmax"] == 1.0
    assert values["AR100"] == pytest.approx(100 / 289)
    assert table([as_found(truth)], [truth], "boxes", max_det=100).values["AP"] < 0.4  # type: ignore[operator]


def test_nothing_found_is_zero_and_nothing_there_is_no_value() -> None:
    _, truths = random_scene(0, n_images=2)
    nothing = Instances(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ()
    )
    assert table([nothing, nothing], truths, "masks").values["AP"] == 0.0
    empty = replace(
        truths[0], boxes=np.zeros((0, 4), np.float32), classes=np.zeros(0, np.int64), masks=()
    )
    values = coco_tables([nothing], [empty], 1, ["masks"], max_det=300)["masks"].values
    assert set(values.values()) == {None}


def test_a_class_without_objects_does_not_count() -> None:
    found, truths = random_scene(1, n_images=4)
    three = coco_tables(found, truths, 3, ["boxes"], max_det=300)["boxes"]
    four = coco_tables(found, truths, 4, ["boxes"], max_det=300)["boxes"]
    assert three.values == four.values
    assert evaluate(found, truths, names(3), kind="boxes").map50 == three.values["AP50"]


def test_a_missing_picture_is_an_error_and_no_shift() -> None:
    found, truths = random_scene(1, n_images=4)
    with pytest.raises(ValueError, match="longer"):
        coco_tables(found[1:], truths, 3, ["boxes"], max_det=300)
