import json
import shutil
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from pycocotools import mask as coco_mask

from tests.support.raw_samples import (
    labelme_set,
    real_data,
    shape,
    square,
    write_labelme,
)
from trainables.datasets import geometry
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.records import Annotation
from trainables.datasets.views.yolo import YoloOutline, yolo_outline, yolo_view


@pytest.fixture
def data(tmp_path: Path) -> PreparedDataset:
    return prepare(labelme_set(tmp_path / "raw"), tmp_path / "prepared").data


def _annotation(mask: npt.NDArray[Any]) -> Annotation:
    rle = geometry.encode_mask(mask)
    x, y, width, height = geometry.box(rle)
    return Annotation(0, rle, (x, y, x + width, y + height), geometry.area(rle))


def _box_error(outline: YoloOutline, item: Annotation) -> float:
    found = [*outline.points.min(axis=0), *outline.points.max(axis=0)]
    return float(np.abs(np.array(found) - item.box).max())


def test_train_and_val_are_there_and_test_is_not(data: PreparedDataset, tmp_path: Path) -> None:
    view = yolo_view(data, tmp_path / "view")
    content = yaml.safe_load(view.data_yaml.read_text())
    assert content == {"train": "images/train", "val": "images/val", "names": {0: "grain"}}
    for split in ("train", "val"):
        names = [image.path.stem for image in data.images(split)]
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            found = sorted(path.name for path in (tmp_path / "view" / kind / split).iterdir())
            assert found == [f"{name}.{suffix}" for name in names]
    hidden = {image.path.stem for image in data.images("test")}
    assert hidden
    assert not any(path.stem in hidden for path in (tmp_path / "view").rglob("*"))


def test_labels_give_the_objects_back(data: PreparedDataset, tmp_path: Path) -> None:
    yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    text = (tmp_path / "view" / "labels" / "train" / f"{image.path.stem}.txt").read_text()
    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines] == ["0", "0"]
    for line, item in zip(lines, data.annotations(image), strict=True):
        points = np.array(line[1:], dtype=float).reshape(-1, 2) * [image.width, image.height]
        box = [*points.min(axis=0), *points.max(axis=0)]
        assert np.abs(np.array(box) - item.box).max() < 0.02


def test_pictures_are_linked_and_not_copied(data: PreparedDataset, tmp_path: Path) -> None:
    yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    assert (tmp_path / "view" / "images" / "train" / image.path.name).samefile(image.path)


def test_a_view_is_used_again_until_the_data_change(data: PreparedDataset, tmp_path: Path) -> None:
    first = yolo_view(data, tmp_path / "view")
    stamp = first.data_yaml.stat().st_mtime_ns
    assert yolo_view(data, tmp_path / "view") == first
    assert first.data_yaml.stat().st_mtime_ns == stamp
    other = prepare(tmp_path / "raw", tmp_path / "other", PrepareOptions(seed=3)).data
    yolo_view(other, tmp_path / "view")
    marker = json.loads((tmp_path / "view" / "view.json").read_text())
    assert marker["fingerprint"] == other.fingerprint != data.fingerprint


def test_a_view_with_a_lost_picture_is_made_anew(data: PreparedDataset, tmp_path: Path) -> None:
    yolo_view(data, tmp_path / "view")
    lost = tmp_path / "view" / "images" / "train" / data.images("train")[0].path.name
    lost.unlink()
    yolo_view(data, tmp_path / "view")
    assert lost.is_file()


def _black(path: Path) -> None:
    """Replace a picture by a black one in a file of its own, as editors do."""
    pixels = cv2.imread(str(path))
    path.unlink()
    assert cv2.imwrite(str(path), np.zeros_like(pixels))


def test_a_changed_picture_is_refused_and_not_trained_on_by_its_old_link(
    data: PreparedDataset, tmp_path: Path
) -> None:
    yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    _black(image.path)
    with pytest.raises(DatasetError, match=rf"the first is {image.path.name} \(changed\)"):
        yolo_view(data, tmp_path / "view")


def test_a_view_of_a_picture_that_was_changed_and_put_back_is_made_anew(
    data: PreparedDataset, tmp_path: Path
) -> None:
    yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    kept, before = image.path.with_suffix(".kept"), image.path.read_bytes()
    shutil.copyfile(image.path, kept)
    image.path.write_bytes(b"black")  # in place, and so in the view
    kept.rename(image.path)
    linked = tmp_path / "view" / "images" / "train" / image.path.name
    assert linked.read_bytes() == b"black"
    yolo_view(data, tmp_path / "view")
    assert linked.read_bytes() == before


def test_a_view_of_an_earlier_version_s_set_follows_its_pictures(
    data: PreparedDataset, tmp_path: Path
) -> None:
    manifest = {key: value for key, value in data.manifest.items() if key != "pictures"}
    data = PreparedDataset.from_manifest(data.root, manifest)
    yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    _black(image.path)
    yolo_view(data, tmp_path / "view")
    pixels = cv2.imread(str(tmp_path / "view" / "images" / "train" / image.path.name))
    assert pixels is not None
    assert not np.asarray(pixels).any()


def test_a_copied_picture_is_used_again_until_it_is_another(
    data: PreparedDataset, tmp_path: Path
) -> None:
    """Where the file system has no links, a view's pictures are copies."""
    view = yolo_view(data, tmp_path / "view")
    image = data.images("train")[0]
    copy = tmp_path / "view" / "images" / "train" / image.path.name
    copy.unlink()
    shutil.copy2(image.path, copy)
    stamp = view.data_yaml.stat().st_mtime_ns
    yolo_view(data, tmp_path / "view")
    assert view.data_yaml.stat().st_mtime_ns == stamp
    copy.write_bytes(b"black")
    yolo_view(data, tmp_path / "view")
    assert copy.samefile(image.path)


def test_something_else_at_the_place_is_not_replaced(data: PreparedDataset, tmp_path: Path) -> None:
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="which is not replaced"):
        yolo_view(data, tmp_path / "view")
    assert (tmp_path / "view" / "mine.txt").read_text() == "mine"


def test_many_trials_may_ask_for_one_view_at_once(data: PreparedDataset, tmp_path: Path) -> None:
    views: list[Any] = []
    threads = [
        threading.Thread(target=lambda: views.append(yolo_view(data, tmp_path / "view")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(views) == 6
    assert all(view == views[0] for view in views)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["prepared", "raw", "view"]


def test_joined_parts_and_their_area_are_reported(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 8)
    for i in range(8):
        parts = [shape(square(2, 2), group_id=1), shape(square(40, 30), group_id=1)]
        write_labelme(raw, f"micrograph_{i:02d}", parts)
    data = prepare(raw, tmp_path / "prepared").data
    losses = yolo_view(data, tmp_path / "view").losses
    n = data.counts()["train"] + data.counts()["val"]
    assert losses[0] == f"{n} objects in several parts: joined by lines one pixel wide"
    assert losses[1].startswith(
        "area IoU of YOLO's outline and the object, at the picture's own size: mean 0.8"
    )
    assert f"below 0.95 for {n} of {n} objects" in losses[1]


def test_nothing_is_reported_where_nothing_is_lost(data: PreparedDataset, tmp_path: Path) -> None:
    assert yolo_view(data, tmp_path / "view").losses == ()


def test_outlines_of_rings_and_pairs_keep_their_pixels() -> None:
    ring = np.zeros((60, 80), np.uint8)
    ring[10:40, 10:50] = 1
    ring[15:20, 15:20] = ring[22:30, 30:35] = 0
    outline = yolo_outline(_annotation(ring))
    assert (outline.parts, outline.holes, outline.iou) == (1, 2, 1.0)
    pair = np.zeros((60, 80), np.uint8)
    pair[10:30, 10:30] = pair[10:30, 40:60] = 1
    outline = yolo_outline(_annotation(pair))
    assert (outline.parts, outline.holes) == (2, 0)
    assert outline.iou == pytest.approx(800 / 810)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (2, 2), (3, 2)])
def test_the_smallest_objects_have_an_outline_and_an_exact_box(size: tuple[int, int]) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[3 : 3 + size[0], 4 : 4 + size[1]] = 1
    outline = yolo_outline(_annotation(mask))
    assert len(outline.points) >= 3
    assert outline.iou == 1
    assert _box_error(outline, _annotation(mask)) < 0.02


def test_an_object_of_thousands_of_specks_is_held_as_well_as_can_be() -> None:
    mask = np.random.default_rng(0).random((200, 200)) < 0.5
    outline = yolo_outline(_annotation(mask))
    assert len(outline.points) < 1000
    assert 0 < outline.iou < 1


def test_real_outlines_give_back_their_objects_and_boxes(tmp_path: Path) -> None:
    data = prepare(real_data("sem_powder"), tmp_path / "prepared").data
    items = [item for image in data.images("val") for item in data.annotations(image)]
    outlines = [yolo_outline(item) for item in items]
    assert np.mean([outline.iou for outline in outlines]) > 0.999
    assert min(outline.iou for outline in outlines) > 0.95
    assert max(map(_box_error, outlines, items)) < 0.02


@pytest.mark.slow
def test_ultralytics_draws_what_the_view_says(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygons2masks
    from ultralytics.utils.ops import resample_segments

    data = prepare(real_data("nuclei"), tmp_path / "prepared").data
    view = yolo_view(data, tmp_path / "view")
    info = check_det_dataset(str(view.data_yaml))
    loaded = YOLODataset(img_path=info["val"], data=info, task="segment", augment=False)
    images = {image.path.stem: image for image in data.images("val")}
    assert {Path(label["im_file"]).stem for label in loaded.labels} == set(images)
    for label in loaded.labels:
        image = images[Path(label["im_file"]).stem]
        items = data.annotations(image)
        size = np.array([image.width, image.height])
        segments = resample_segments([segment.copy() for segment in label["segments"]])
        drawn = polygons2masks((image.height, image.width), [s * size for s in segments], 1)
        rles = [geometry.encode_mask(mask) for mask in drawn]
        overlap = coco_mask.iou(rles, [item.rle for item in items], [0] * len(items))
        assert overlap.max(axis=0).min() > 0.95
        assert overlap.max(axis=0).mean() > 0.99
        wanted = sorted((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (i.box for i in items))
        found = sorted((label["bboxes"][:, 2:] * size).prod(axis=1))
        assert found == pytest.approx(wanted, rel=0.02)
