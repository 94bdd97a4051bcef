"""Masks wherever programs put them: beside their pictures, below them, one an object."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

Mask = npt.NDArray[np.uint8]


def _read(folder: Path, form: str | None = None) -> RawData:
    return read_raw(folder, format_name=form, classes=None)


def _save(path: Path, mask: Mask) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


def _square(x: int, y: int, value: int = 1) -> Mask:
    mask = np.zeros((48, 64), np.uint8)
    mask[y : y + 8, x : x + 8] = value
    return mask


def _labels(i: int) -> Mask:
    """Two objects, the places of which tell the picture."""
    return _square(2 + i, 2, 1) + _square(20, 20 + i, 2)


def _masks(data: RawData) -> dict[str, list[Mask]]:
    return {i.stem: [coco_mask.decode(item.rle) for item in i.objects] for i in data.images}


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("x{}.tif", "x{}_masks.tif"),
        ("x{}.png", "x{}_mask.png"),
        ("x{}.jpg", "x{}-label.png"),
        ("x{}.tif", "x{}_cp_masks.png"),
        ("x{}_img.png", "x{}_masks.png"),
        ("x{}.png", "x{}_seg.tif"),
        ("x{}.png", "masks/x{}.png"),
        ("x{}.png", "labels/x{}_labels.png"),
        ("train/images/x{}.png", "train/masks/x{}_mask.png"),
    ],
)
def test_labels_are_found_by_their_names(tmp_path: Path, picture: str, label: str) -> None:
    for i in range(4):
        write_picture(tmp_path / picture.format(i), i)
        _save(tmp_path / label.format(i), _labels(i))
    data = _read(tmp_path)
    assert (data.format.name, data.problems) == ("masks", ())
    assert [str(image.file) for image in data.images] == [picture.format(i) for i in range(4)]
    for i, masks in enumerate(_masks(data).values()):
        assert np.array_equal(masks, [_labels(i) == 1, _labels(i) == 2])
    assert not any("left out" in note for note in data.notes)


def test_a_picture_without_a_mask_beside_it_is_told_and_no_negative(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"x{i}.png", i)
        _save(tmp_path / f"x{i}_masks.png", _labels(i))
    (tmp_path / "x2_masks.png").unlink()
    data = _read(tmp_path)
    assert [image.stem for image in data.images] == ["x0", "x1"]
    assert any("1 picture is named by no annotation file" in note for note in data.notes)


# --- one mask an object

SQUARES = ((2, 2), (20, 4), (40, 30))


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("{0}/images/{0}.png", "{0}/masks/5f{1}.png"),
        ("images/{0}.png", "masks/{0}/{1}.png"),
        ("images/{0}.png", "masks/{0}_{1}.png"),
        ("{0}.png", "masks/{0}/{1}.png"),
        ("{0}.png", "masks/{0}_object-{1}.png"),
    ],
)
def test_one_mask_an_object(tmp_path: Path, picture: str, mask: str) -> None:
    for i in range(3):
        write_picture(tmp_path / picture.format(f"a{i}"), i)
        for n, (x, y) in enumerate(SQUARES[: i + 1]):
            _save(tmp_path / mask.format(f"a{i}", n), _square(x + i, y, 255))
    data = _read(tmp_path)
    assert (data.format.name, data.problems, data.warnings) == ("object-masks", (), ())
    for i, (stem, masks) in enumerate(_masks(data).items()):
        expected = [_square(x + i, y) for x, y in SQUARES[: i + 1]]
        assert (stem, len(masks)) == (f"a{i}", i + 1)
        assert np.array_equal(masks, expected)


def test_overlapping_objects_stay_whole_and_an_empty_mask_is_a_problem(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "images" / "a.png", 0)
    for n, mask in enumerate((_square(2, 2, 255), _square(6, 4, 255), _square(0, 0, 0))):
        _save(tmp_path / "a" / "masks" / f"{n}.png", mask)
    data = _read(tmp_path)
    assert np.array_equal(_masks(data)["a"], [_square(2, 2), _square(6, 4)])
    assert [(p.file, p.kind) for p in data.problems] == [("a/masks/2.png", Kind.ZERO_SIZE)]


def test_grey_borders_of_a_mask_are_cut_at_half_and_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "images" / "a.png", 0)
    small = np.zeros((12, 16), np.uint8)
    small[3:9, 4:12] = 255
    grey = cv2.resize(small, (64, 48), interpolation=cv2.INTER_LINEAR)
    for n in range(2):
        _save(tmp_path / "a" / "masks" / f"{n}.png", np.roll(grey, 10 * n, axis=1))
    data = _read(tmp_path)
    assert len(np.unique(grey)) > 2
    expected = np.zeros((48, 64), np.uint8)
    expected[12:36, 16:48] = 1
    first, second = _masks(data)["a"]
    assert abs(int(first.sum()) - 24 * 32) <= 8  # rounded at its corners
    assert np.array_equal(second, np.roll(first, 10, axis=1))
    assert not (first & (1 - expected)).any()
    assert any("2 masks have more than two values" in warning for warning in data.warnings)


def test_a_picture_without_masks_among_those_that_have_some_is_told(tmp_path: Path) -> None:
    for name in "abc":
        write_picture(tmp_path / name / "images" / f"{name}.png", ord(name))
    for n, (x, y) in enumerate(SQUARES):
        _save(tmp_path / "a" / "masks" / f"{n}.png", _square(x, y, 255))
        _save(tmp_path / "b" / "masks" / f"{n}.png", _square(x, y, 255))
    data = _read(tmp_path)
    assert [image.stem for image in data.images] == ["a", "b"]
    assert "1 picture left out for lack of masks, the first is c/images/c.png" in data.notes


# --- what is not known


def test_an_unknown_ending_is_named_with_the_name_that_is_read(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"x{i}.png", i)
        _save(tmp_path / f"x{i}_cells.png", _labels(i))
    with pytest.raises(DatasetError) as refused:
        _read(tmp_path)
    message = str(refused.value)
    assert "found 6 pictures and 0 other files" in message
    assert "3 pictures bear another one's name and _cells, the first is x0_cells.png" in message
    assert "name them x0_masks.png" in message
    assert "in a folder masks beside images" in message


def test_files_of_unknown_kinds_are_counted_by_kind(tmp_path: Path) -> None:
    for i in range(2):
        write_picture(tmp_path / f"x{i}.png", i)
        (tmp_path / f"x{i}.h5").write_bytes(b"\x89HDF")
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(
        DatasetError, match=r"2 pictures and 3 other files \(2 \.h5, HDF5, 1 \.md\)"
    ):
        _read(tmp_path)
