"""ImageJ's regions: zip files and single ones, their shapes, pages of stacks, broken files."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from pycocotools import mask as coco_mask
from roifile import ROI_TYPE, ImagejRoi

from tests.support.raw_samples import picture, square, write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw


def _polygon(points: Any = None, position: int = 0) -> ImagejRoi:
    roi = ImagejRoi.frompoints(np.array(points or square(4, 6), dtype=np.int32))
    roi.roitype, roi.position = ROI_TYPE.POLYGON, position
    return roi


def _box(kind: ROI_TYPE, left: int, top: int, right: int, bottom: int) -> ImagejRoi:
    roi = ImagejRoi()
    roi.roitype = kind
    roi.left, roi.top, roi.right, roi.bottom = left, top, right, bottom
    return roi


def _zip(path: Path, *regions: ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, roi in enumerate(regions):
            archive.writestr(f"{number:04d}.roi", roi.tobytes())
    return path


def _pictures(folder: Path, n: int = 3) -> Path:
    for i in range(n):
        write_picture(folder / f"m{i}.png", i)
    return folder


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _mask(data: RawData, number: int = 0) -> Any:
    return coco_mask.decode(data.images[0].objects[number].rle)


def _filled(x: int, y: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    mask = np.zeros((48, 64), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


@pytest.mark.parametrize("name", ["m1.zip", "m1_RoiSet.zip", "RoiSet_m1.zip", "m1-rois.zip"])
def test_a_zip_of_the_roi_manager_is_about_the_picture_of_its_name(
    tmp_path: Path, name: str
) -> None:
    oval = _box(ROI_TYPE.OVAL, 30, 20, 50, 32)
    _zip(_pictures(tmp_path) / name, _polygon(), _box(ROI_TYPE.RECT, 20, 2, 26, 9), oval)
    data = _read(tmp_path)
    assert (data.format.name, data.problems) == ("imagej", ())
    assert [(image.stem, len(image.objects)) for image in data.images] == [("m1", 3)]
    assert np.array_equal(_mask(data), _filled(4, 6, 10, 10))
    assert np.array_equal(_mask(data, 1), _filled(20, 2, 6, 7))
    assert _mask(data, 2).sum() == pytest.approx(np.pi * 10 * 6, abs=4)
    rows, columns = np.nonzero(_mask(data, 2))
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((40, 26), abs=0.1)


def test_single_files_and_the_only_picture_of_a_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "cells.png", 0)
    _zip(tmp_path / "a" / "RoiSet.zip", _polygon())
    _pictures(tmp_path / "b")
    (tmp_path / "b" / "m0_1.roi").write_bytes(_polygon().tobytes())
    (tmp_path / "b" / "m0_2.roi").write_bytes(_polygon(square(30, 20)).tobytes())
    data = _read(tmp_path)
    assert {image.stem: len(image.objects) for image in data.images} == {"cells": 1, "m0": 2}
    assert data.problems == ()


def _composite(*paths: list[list[float]]) -> ImagejRoi:
    """A region of several paths, as ImageJ writes shapes with holes."""
    numbers: list[float] = []
    for points in paths:
        for code, (x, y) in enumerate(points):
            numbers += [1.0 if code else 0.0, x, y]
        numbers.append(4.0)
    roi = _box(ROI_TYPE.RECT, 0, 0, 64, 48)
    roi.multi_coordinates = np.array(numbers, dtype=np.float32)
    roi.shape_roi_size = len(numbers)
    return roi


def test_a_composition_has_holes_where_its_paths_overlap(tmp_path: Path) -> None:
    _zip(_pictures(tmp_path) / "m0.zip", _composite(square(4, 6), square(6, 8, 3), square(40, 30)))
    data = _read(tmp_path)
    expected = _filled(4, 6, 10, 10) + _filled(40, 30, 10, 10) - _filled(6, 8, 3, 3)
    assert np.array_equal(_mask(data), expected)


def test_a_position_is_a_page_of_a_stack(tmp_path: Path) -> None:
    stack = np.stack([picture(i) for i in range(3)])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    other = _polygon(square(30, 20))
    _zip(
        tmp_path / "s.zip", _polygon(position=1), _polygon(position=3), _polygon(position=9), other
    )
    data = _read(tmp_path)
    assert [(i.stem, len(i.objects)) for i in data.images] == [("s_p000", 2), ("s_p002", 1)]
    assert any("s.zip: 1 region has no position" in warning for warning in data.warnings)
    assert [(p.object, p.kind) for p in data.problems] == [("0002.roi", Kind.MISSING_IMAGE)]


def test_lines_and_points_have_no_area(tmp_path: Path) -> None:
    point = ImagejRoi.frompoints(np.array([[5, 5]], dtype=np.int32))
    point.roitype = ROI_TYPE.POINT
    _zip(_pictures(tmp_path) / "m0.zip", _polygon(), point)
    (problem,) = _read(tmp_path).problems
    assert (problem.object, problem.kind) == ("0001.roi", Kind.NO_OUTLINE)
    assert "a region of type point has no area" in problem.reason


def test_broken_regions_are_named_and_other_zip_files_are_none(tmp_path: Path) -> None:
    _zip(_pictures(tmp_path) / "m0.zip", _polygon())
    with zipfile.ZipFile(tmp_path / "m1.zip", "w") as archive:
        archive.writestr("0.roi", b"Iout and no more")
    with zipfile.ZipFile(tmp_path / "backup.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (tmp_path / "m2.zip").write_bytes(b"PK\3\4 and no more")
    data = _read(tmp_path)
    assert [image.stem for image in data.images] == ["m0"]
    assert {p.file: p.kind for p in data.problems} == dict.fromkeys(
        ["m1.zip", "m2.zip"], Kind.UNREADABLE_ANNOTATION
    )


def test_a_set_of_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    _zip(_pictures(tmp_path) / "other.zip", _polygon(), _polygon(square(30, 20)))
    with pytest.raises(DatasetError, match="no annotations of a known format"):
        _read(tmp_path)
    _zip(tmp_path / "m0.zip", _polygon())
    (problem,) = _read(tmp_path).problems
    assert (problem.file, problem.kind, problem.n_objects) == (
        "other.zip",
        Kind.LABEL_WITHOUT_IMAGE,
        2,
    )
