"""Pages of label TIFFs: each belongs to a page of its picture, or all to the only one."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from pycocotools import mask as coco_mask

from tests.support.raw_samples import picture, write_picture
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

Labels = npt.NDArray[np.uint16]


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _labels(*corners: tuple[int, int]) -> Labels:
    """Squares of 8 pixels, numbered from 1."""
    labels = np.zeros((48, 64), np.uint16)
    for number, (x, y) in enumerate(corners, start=1):
        labels[y : y + 8, x : x + 8] = number
    return labels


FIRST, SECOND, THIRD = _labels((2, 2), (20, 2)), _labels((5, 5), (40, 30)), _labels((30, 20))


def _write(path: Path, pages: list[npt.NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="minisblack", contiguous=False)


def _masks(data: RawData, stem: str) -> list[npt.NDArray[Any]]:
    image = next(image for image in data.images if image.stem == stem)
    return [coco_mask.decode(item.rle) for item in image.objects]


def test_all_pages_are_about_a_picture_that_has_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "a.png", 0)
    _write(tmp_path / "masks" / "a.tif", [FIRST, SECOND, THIRD])
    data = _read(tmp_path)
    assert data.problems == ()
    assert len(_masks(data, "a")) == 5
    expected = [page == n for page in (FIRST, SECOND, THIRD) for n in range(1, page.max() + 1)]
    for mask, wanted in zip(_masks(data, "a"), expected, strict=True):
        assert np.array_equal(mask == 1, wanted)
    assert data.images[0].objects[3].place == "page 1, value 2"
    assert "masks/a.tif: all its 3 pages are about the one of images/a.png" in data.notes


def test_each_page_of_a_stack_has_the_labels_of_its_page(tmp_path: Path) -> None:
    _write(tmp_path / "images" / "a.tif", [picture(0), picture(1), picture(2)])
    _write(tmp_path / "masks" / "a.tif", [FIRST, THIRD, SECOND])
    data = _read(tmp_path)
    assert data.problems == ()
    assert [len(_masks(data, f"a_p00{page}")) for page in range(3)] == [2, 1, 2]


def test_a_preview_among_the_labels_shifts_no_page(tmp_path: Path) -> None:
    _write(tmp_path / "images" / "a.tif", [picture(0), picture(1)])
    _write(tmp_path / "masks" / "a.tif", [FIRST, FIRST[::4, ::4], THIRD])
    data = _read(tmp_path)
    assert data.problems == ()
    (mask,) = _masks(data, "a_p001")
    assert np.array_equal(mask == 1, THIRD == 1)


def test_pages_beyond_those_of_the_picture_are_told_with_their_objects(tmp_path: Path) -> None:
    _write(tmp_path / "images" / "a.tif", [picture(0), picture(1)])
    _write(tmp_path / "masks" / "a.tif", [FIRST, SECOND, THIRD, SECOND])
    data = _read(tmp_path)
    (problem,) = data.problems
    assert (problem.kind, problem.file, problem.n_objects) == (
        Kind.LABEL_WITHOUT_IMAGE,
        "masks/a.tif",
        3,
    )
    assert "it has 4 pages, images/a.tif 2" in problem.reason


def test_a_second_label_picture_is_told_with_its_objects(tmp_path: Path) -> None:
    _write(tmp_path / "images" / "a.tif", [picture(0)])
    _write(tmp_path / "masks" / "a.tif", [FIRST])
    _write(tmp_path / "masks" / "a_mask.tif", [SECOND])
    (problem,) = _read(tmp_path).problems
    found = len(set(np.unique(SECOND).tolist()) - {0})
    assert (problem.kind, problem.n_objects) == (Kind.ANNOTATED_TWICE, found)
