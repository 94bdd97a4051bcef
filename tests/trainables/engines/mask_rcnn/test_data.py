"""A prepared data set as Detectron2 gets it."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from tests.trainables.engines.mask_rcnn.conftest import QUICK
from trainables.contract import InfeasibleParams
from trainables.datasets.geometry import encode_mask
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.engines.mask_rcnn.data import MeasuredPictures, TrainingPictures, training_loader
from trainables.engines.mask_rcnn.params import AUGMENTS, MaskRcnnParams
from trainables.metrics.instances import evaluate_groups
from trainables.results import Instances

Objects = list[list[list[list[int]]]]
"""Of each object its outlines, a hole being one more; of each outline its points x y."""


def _params(**changes: Any) -> MaskRcnnParams:
    return MaskRcnnParams.model_validate({**QUICK, **changes})


def _epoch(data: PreparedDataset, params: MaskRcnnParams, epoch: int = 0) -> list[Any]:
    loader: Any = training_loader(data, params, seed=0, workers=0)
    loader.batch_sampler.epoch = epoch
    return [item for batch in loader for item in batch]


def _picture(folder: Path, shapes: list[Objects]) -> PreparedDataset:
    """A data set of noisy pictures, 40 x 50, with bright objects that may have holes."""
    raw = folder / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, objects in enumerate(shapes):
        pixels = rng.integers(20, 90, (40, 50)).astype(np.uint8)
        for outlines in objects:
            mask = np.zeros((40, 50), np.uint8)
            cv2.fillPoly(mask, [np.array(outline) for outline in outlines], 1)
            pixels[mask > 0] = 200
            rle = encode_mask(mask)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": 1,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "bbox": [0, 0, 50, 40],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(raw / f"p{i:02}.png"), pixels)
        images.append({"id": i + 1, "file_name": f"p{i:02}.png", "width": 50, "height": 40})
    categories = [{"id": 1, "name": "ring"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "annotations.json").write_text(json.dumps(content))
    prepare(raw, folder / "prepared", PrepareOptions(group=r"p(\d+)", splits=(0.6, 0.4, 0.0)))
    return PreparedDataset.load(folder / "prepared")


SQUARE = [[5, 5], [30, 5], [30, 30], [5, 30]]
HOLE = [[12, 12], [20, 12], [20, 20], [12, 20]]


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Squares with a hole beside small ones; every fifth picture is empty."""
    small = [[36, 30], [44, 30], [44, 36], [36, 36]]
    filled: Objects = [[SQUARE, HOLE], [small]]
    empty: Objects = []
    return _picture(
        tmp_path_factory.mktemp("rings"), [filled if i % 5 else empty for i in range(15)]
    )


def test_every_object_of_every_training_picture_arrives_once(discs: PreparedDataset) -> None:
    items = _epoch(discs, _params(augment="none"))
    assert len(items) == discs.counts()["train"]
    assert sum(len(item["instances"]) for item in items) == sum(discs.objects()["train"].values())
    classes = np.concatenate([item["instances"].gt_classes.numpy() for item in items])
    found = {name: int((classes == c).sum()) for c, name in enumerate(discs.classes)}
    assert found == discs.objects()["train"]


@pytest.mark.parametrize("form", ["coco", "labelme", "superannotate"])
def test_copies_in_other_annotation_formats_have_the_same_objects(
    form: Any, tmp_path: Path
) -> None:
    spec = SPECS["demo"].model_copy(update={"images": 6})
    simulate(spec, tmp_path / "raw", form=form)
    truth = (tmp_path / "raw" / "truth.csv").read_text().splitlines()[1:]
    prepare(tmp_path / "raw", tmp_path / "prepared", PrepareOptions(splits=(0.7, 0.3, 0.0)))
    data = PreparedDataset.load(tmp_path / "prepared")
    splits = [MeasuredPictures(data, data.images(part), _params()) for part in ("train", "val")]
    n = sum(len(item["instances"]) for split in splits for item in split)
    assert n == len(truth) > 50


def test_a_hole_stays_open(rings: PreparedDataset) -> None:
    [item, *_] = [i for i in _epoch(rings, _params(augment="none")) if len(i["instances"])]
    mask = item["instances"].gt_masks.tensor[0].numpy()
    scale = mask.shape[0] / 40
    assert mask[round(8 * scale), round(8 * scale)]
    assert not mask[round(16 * scale), round(16 * scale)]


def test_pictures_without_objects_are_kept_or_left_out_as_asked(rings: PreparedDataset) -> None:
    n = rings.counts()["train"]
    kept = _epoch(rings, _params(keep_empty=True))
    left = _epoch(rings, _params(keep_empty=False))
    n_empty = sum(not rings.annotations(image) for image in rings.images("train"))
    assert n_empty > 0
    assert len(kept) == n
    assert len(left) == n - n_empty
    assert all(len(item["instances"]) for item in left)


def test_a_removed_picture_is_an_error_and_shifts_no_ids(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    shutil.copytree(discs.root, tmp_path / "data")
    data = PreparedDataset.load(tmp_path / "data")
    gone = data.images("train")[1]
    gone.path.unlink()
    with pytest.raises(DatasetError, match=gone.path.name):
        _epoch(data, _params())
    pictures = TrainingPictures(data, _params(augment="none"), seed=0)
    for index, record in enumerate(pictures.records):
        if record.id != gone.id:
            assert len(pictures[0, index]["instances"]) == len(data.annotations(record))


def test_without_anything_to_train_on_the_trial_is_infeasible(tmp_path: Path) -> None:
    data = _picture(tmp_path, [[[SQUARE]] for _ in range(10)])
    for image in data.images("train"):
        data._index.annotations.pop(image.id)
    with pytest.raises(InfeasibleParams, match="expected training images"):
        training_loader(data, _params(keep_empty=False), seed=0, workers=0)


def test_an_epoch_is_one_pass_in_an_order_of_its_own(discs: PreparedDataset) -> None:
    loader: Any = training_loader(discs, _params(), seed=0, workers=0)
    orders = []
    for epoch in (0, 1, 0):
        loader.batch_sampler.epoch = epoch
        orders.append([key for batch in loader.batch_sampler for key in batch])
        assert len(orders[-1]) == discs.counts()["train"] == len(set(orders[-1]))
    assert [i for _, i in orders[0]] != [i for _, i in orders[1]]
    assert orders[0] == orders[2]


@pytest.mark.parametrize("augment", [a for a in AUGMENTS if a != "none"])
def test_augmentation_changes_the_pictures_and_the_masks_follow(
    augment: str, rings: PreparedDataset
) -> None:
    plain = TrainingPictures(rings, _params(augment="none", min_size=40), seed=0)
    drawn = TrainingPictures(rings, _params(augment=augment, min_size=40), seed=0)
    index = next(i for i, record in enumerate(plain.records) if rings.annotations(record))
    before = plain[0, index]["image"].numpy()
    changed = 0
    for epoch in range(8):
        item = drawn[epoch, index]
        image = item["image"].numpy()
        changed += image.shape != before.shape or not np.array_equal(image, before)
        masks = item["instances"].gt_masks.tensor.any(dim=0).numpy()
        bright = image[0] > 140
        if masks.any() and augment in ("flip", "seed"):
            overlap = (bright & masks).sum() / (bright | masks).sum()
            assert overlap > 0.85
        boxes = item["instances"].gt_boxes.tensor.numpy()
        for mask, box in zip(item["instances"].gt_masks.tensor.numpy(), boxes, strict=True):
            rows, columns = np.nonzero(mask)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(box, tight)
    assert changed >= 2


def test_a_picture_depends_on_seed_epoch_and_place_alone(rings: PreparedDataset) -> None:
    pictures = TrainingPictures(rings, _params(augment="strong"), seed=3)
    np.random.seed(1)  # noqa: NPY002
    first = pictures[4, 2]["image"].numpy()
    following = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(pictures[4, 2]["image"].numpy(), first)
    assert np.random.random() == following  # noqa: NPY002
    others = [pictures[5, 2]["image"].numpy(), pictures[6, 2]["image"].numpy()]
    assert any(o.shape != first.shape or not np.array_equal(o, first) for o in others)


def test_loader_processes_bring_the_same_pictures(rings: PreparedDataset) -> None:
    params = _params(augment="seed")
    alone = _epoch(rings, params, epoch=1)
    loader: Any = training_loader(rings, params, seed=0, workers=2)
    loader.batch_sampler.epoch = 1
    together = [item for batch in loader for item in batch]
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())


def test_pictures_that_are_measured_without_objects_are_the_same_pictures(
    rings: PreparedDataset,
) -> None:
    images, params = rings.images("val"), _params()
    alone = list(MeasuredPictures(rings, images, params, objects=False))
    whole = list(MeasuredPictures(rings, images, params))
    assert len(alone) == len(whole) == len(images)
    for one, other in zip(alone, whole, strict=True):
        assert "instances" not in one
        np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())
        assert (one["height"], one["width"]) == (other["height"], other["width"]) == (40, 50)


def test_the_truth_as_training_sees_it_scores_an_average_precision_of_one(
    rings: PreparedDataset,
) -> None:
    """At the pictures' own size nothing is resampled, so nothing may be lost or shifted."""
    split = MeasuredPictures(rings, rings.images("val"), _params(min_size=40, max_size=64))
    predictions = []
    for item in split:
        own = item["instances"]
        predictions.append(
            Instances(
                own.gt_boxes.tensor.numpy().reshape(-1, 4),
                np.linspace(1.0, 0.9, len(own), dtype=np.float32),
                own.gt_classes.numpy(),
                tuple(encode_mask(mask) for mask in own.gt_masks.tensor.numpy()),
            )
        )
    for evaluation in evaluate_groups(predictions, split.truths, rings.classes).values():
        assert evaluation.map50_95 == 1.0
        assert evaluation.f1 == 1.0
