"""YOLO detection text, COCO with boxes alone, and oriented boxes, which are refused."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.raw_samples import real_data, write_coco, write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw


def yolo(folder: Path, lines: Sequence[str], form: str | None = None) -> RawData:
    for i in range(3):
        write_picture(folder / "images" / f"m{i}.png", i)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"m{i}.txt").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text("names: [grain, pore]\n")
    return read_raw(folder, format_name=form, classes=None)


@pytest.mark.parametrize("form", [None, "yolo", "yolo-boxes"])
def test_centre_and_size_as_fractions_are_a_box(tmp_path: Path, form: str | None) -> None:
    data = yolo(tmp_path, ["1 0.5 0.5 0.5 0.5", "0 0.125 0.25 0.125 0.25"], form)
    assert (data.classes, data.problems) == (("grain", "pore"), ())
    for image in data.images:
        assert [item.box for item in image.objects] == [(16, 12, 48, 36), (4, 6, 12, 18)]


def test_lines_that_are_no_box_are_problems(tmp_path: Path) -> None:
    lines = ["0 0.5 0.5 0.5 0.5", "7 0.5 0.5 0.1 0.1", "0 0.5 0.5 -0.5 0.5", "0 0.2 0.2 0 0.1"]
    data = yolo(tmp_path, lines)
    kinds = [Kind.UNKNOWN_LABEL, Kind.MALFORMED, Kind.ZERO_SIZE]
    assert [problem.kind for problem in data.problems] == kinds * 3
    assert [len(image.objects) for image in data.images] == [1] * 3


def test_particles_of_stem_pictures_are_prepared_whole(tmp_path: Path) -> None:
    report = prepare(real_data("stem_nanoparticles"), tmp_path / "out")
    assert sum(report.data.counts().values()) == 17
    total = sum(sum(found.values()) for found in report.data.objects().values())
    assert (total, report.data.classes, report.problems) == (2243, ("class_0",), ())
    sides = [
        min(x2 - x1, y2 - y1)
        for image in report.data.images("train")
        for x1, y1, x2, y2 in (item.box for item in report.data.annotations(image))
    ]
    assert 10 < float(np.median(sides)) < 16  # half of them are under 15 px, its README says


def _turned(x: float, y: float, degrees: float) -> list[float]:
    """Corners of a turned box of 16 x 8 px in a picture of 64 x 48, as fractions."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(8, 4), (-8, 4), (-8, -4), (8, -4)]
    points = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners]
    return [value for px, py in points for value in (px / 64, py / 48)]


def _line(numbers: Sequence[float]) -> str:
    return " ".join(f"{value:.6f}" for value in numbers)


def test_turned_boxes_of_four_corners_are_refused(tmp_path: Path) -> None:
    lines = [f"0 {_line(_turned(20, 20, 10 * i))}" for i in range(3)]
    with pytest.raises(DatasetError, match=r"3 YOLO files hold oriented boxes \(four corners"):
        yolo(tmp_path, lines)


def test_outlines_of_four_points_and_boxes_along_the_sides_are_outlines(tmp_path: Path) -> None:
    upright = [f"0 {_line(_turned(20, 20, 0))}", f"0 {_line(_turned(44, 30, 90))}"]
    assert yolo(tmp_path / "a", upright * 2).format.name == "yolo"
    crooked = [0.1, 0.1, 0.5, 0.15, 0.6, 0.7, 0.12, 0.5]
    lines = [f"0 {_line(_turned(20, 20, 30))}", f"0 {_line(crooked)}"]
    data = yolo(tmp_path / "b", lines)
    assert all(item.rle is not None for image in data.images for item in image.objects)


def test_text_of_dota_is_refused_with_the_reason(tmp_path: Path) -> None:
    for i in range(2):
        write_picture(tmp_path / "images" / f"m{i}.png", i)
        (tmp_path / f"m{i}.txt").write_text(
            "imagesource:x\ngsd:0.1\n10.0 10.0 30.0 14.0 28.0 24.0 8.0 20.0 ship 0\n"
        )
    with pytest.raises(DatasetError, match=r"2 text files hold oriented boxes \(DOTA"):
        read_raw(tmp_path, format_name=None, classes=None)


def _coco(folder: Path, entries: Sequence[dict[str, Any]], **more: Any) -> RawData:
    for i in range(3):
        write_picture(folder / f"m{i}.png", i)
    write_coco(folder / "boxes.json", [f"m{i}.png" for i in range(3)], entries)
    return read_raw(folder, format_name=None, classes=None, **more)


@pytest.mark.parametrize("segmentation", [None, [], {}])
def test_coco_without_segmentations_is_of_boxes(tmp_path: Path, segmentation: Any) -> None:
    entries = [
        {"image_id": i, "category_id": 1, "bbox": [4.5, 6, 20, 10], "segmentation": segmentation}
        for i in (1, 2, 3)
    ]
    data = _coco(tmp_path, entries)
    assert data.problems == ()
    assert [image.objects[0].box for image in data.images] == [(4.5, 6, 24.5, 16)] * 3


@pytest.mark.parametrize(
    ("bbox", "kind"),
    [
        ([4, 6, 20, 10, 30], Kind.ORIENTED_BOX),
        ([4, 6, -20, 10], Kind.MALFORMED),
        ([4, 6, 20], Kind.MALFORMED),
        ([4, 6, "20", None], Kind.MALFORMED),
        ([100, 6, 20, 10], Kind.OUTSIDE),
    ],
)
def test_what_is_no_bbox_is_a_problem(tmp_path: Path, bbox: Any, kind: Kind) -> None:
    entry = {"image_id": 1, "category_id": 1}
    data = _coco(tmp_path, [{**entry, "bbox": [4, 6, 20, 10]}, {**entry, "bbox": bbox}])
    assert [problem.kind for problem in data.problems] == [kind]
    assert len(data.images[0].objects) == 1
