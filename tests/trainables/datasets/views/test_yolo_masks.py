"""Objects as Ultralytics learns them, judged by Ultralytics' own drawing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from trainables.datasets import geometry
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.records import Annotation
from trainables.datasets.views.yolo import resampled, yolo_outline
from trainables.datasets.views.yolo_masks import LearntMasks, _learnt_area, learnt_masks


def discs(folder: Path, radius: float, side: int, n_pictures: int = 4) -> PreparedDataset:
    """Pictures of four discs each, whose label masks are prepared."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(n_pictures):
        random = np.random.default_rng(number)
        labels = np.zeros((side, side), dtype=np.uint8)
        y, x = np.mgrid[:side, :side] + 0.5
        for place in range(4):
            centre = np.array([place % 2, place // 2]) * side / 2 + side / 4
            shift = random.uniform(-2, 2, 2)
            inside = radius >= np.hypot(*(np.stack([x, y], -1) - centre - shift).T).T
            labels[inside] = place + 1
        picture = random.integers(90, 110, (side, side), dtype=np.uint8) + 80 * (labels > 0)
        cv2.imwrite(str(folder / "images" / f"p{number}.png"), picture.astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / f"p{number}.png"), labels)
    apart = PrepareOptions(group=r"p\d+")  # discs at nearly the same places look alike
    return prepare(folder, folder.parent / f"{folder.name}-prepared", apart).data


def found(data: PreparedDataset, imgsz: int, mask_ratio: int) -> LearntMasks:
    measured = learnt_masks(data, imgsz, mask_ratio)
    assert measured is not None
    return measured


def test_a_small_object_is_told_to_grow_at_the_size_it_is_learnt_at(tmp_path: Path) -> None:
    data = discs(tmp_path / "raw", radius=8, side=200)
    measured = found(data, 128, 4)
    assert measured.radius_px == pytest.approx(8, abs=0.1)
    assert measured.growth_px == pytest.approx(0.9, abs=0.3)
    said = measured.sentence(128, 4)
    assert said.startswith("masks are learnt at imgsz 128 and mask_ratio 4, where an object of 8.")
    assert f"grows by {measured.growth_px:.1f} px (area +" in said
    assert said.endswith("; a larger imgsz or a smaller mask_ratio loses less")
    finest = found(data, 64, 1)  # there is no smaller one
    assert finest.growth_px > 0
    assert finest.sentence(64, 1).endswith("); a larger imgsz loses less")


def test_nothing_is_said_where_nothing_is_lost(tmp_path: Path) -> None:
    data = discs(tmp_path / "raw", radius=40, side=200)
    own = found(data, 224, 1)
    assert abs(own.growth_px) < 0.5
    assert own.sentence(224, 1) == ""
    assert found(data, 640, 4).sentence(640, 4) == ""


def test_a_change_that_only_sizes_show_is_told_with_what_mends_it(tmp_path: Path) -> None:
    data = discs(tmp_path / "raw", radius=18, side=160)
    coarse, large = found(data, 160, 4), found(data, 640, 1)
    assert found(data, 160, 1).sentence(160, 1) == ""
    assert 0.01 < coarse.diameter_change < 0.024
    said = coarse.sentence(160, 4)
    told = f"diameter {coarse.diameter_change:+.1%}), which matters where sizes are measured"
    assert told in said
    assert said.endswith("; a larger imgsz or a smaller mask_ratio loses less")
    assert large.diameter_change < -0.01
    assert large.sentence(640, 1).endswith("; a smaller imgsz or a larger mask_ratio loses less")
    assert abs(found(data, 640, 4).diameter_change) < abs(large.diameter_change)


def test_objects_without_a_pixel_are_counted(tmp_path: Path) -> None:
    data = discs(tmp_path / "raw", radius=3, side=400)
    measured = found(data, 64, 4)
    assert measured.n_gone > 0
    said = measured.sentence(64, 4)
    assert f"{measured.n_gone} of {measured.n_objects} objects have no pixel" in said


@pytest.mark.parametrize(
    ("side", "imgsz", "mask_ratio"), [(200, 128, 4), (128, 128, 2), (90, 96, 1)]
)
def test_the_area_is_that_of_ultralytics_own_mask(side: int, imgsz: int, mask_ratio: int) -> None:
    utils = pytest.importorskip("ultralytics.data.utils", reason="needs the extra yolo")
    y, x = np.mgrid[:side, :side] + 0.5
    rle = geometry.encode_mask(np.hypot(x - 41.3, y - 37.8) <= 9)
    left, top, width, height = geometry.box(rle)
    box = (left, top, left + width, top + height)
    item = Annotation(0, rle, box, geometry.area(rle))
    scaled = resampled(yolo_outline(item).points, (side, side)) * imgsz
    mask = utils.polygon2mask((imgsz, imgsz), [scaled.ravel()], 1, mask_ratio)
    expected = float(mask.sum()) * (mask_ratio * side / imgsz) ** 2
    assert _learnt_area(item, (side, side), imgsz, mask_ratio) == pytest.approx(expected)
