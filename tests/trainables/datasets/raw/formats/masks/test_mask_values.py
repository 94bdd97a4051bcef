"""Masks that are no instance labels: refused with numbers, or read as regions when named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.formats.masks.values import judge_masks, values_of
from trainables.datasets.raw.read import RawData, read_raw

Mask = npt.NDArray[Any]

N = 6
WIDTH, HEIGHT = 96, 72
PLACES = ((6, 8, 14, 10), (30, 6, 12, 16), (56, 30, 20, 14), (10, 44, 16, 18))
"""x, y, width and height of the objects of every picture, moved by its number."""


def _boxes(i: int) -> list[tuple[int, int, int, int]]:
    return [(x + i, y + i // 2, w, h) for x, y, w, h in PLACES]


def _labels(i: int, values: tuple[int, ...] = (1, 2, 3, 4)) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for (x, y, w, h), value in zip(_boxes(i), values, strict=True):
        mask[y : y + h, x : x + w] = value
    return mask


def _write(folder: Path, mask_of: Callable[[int], Mask], suffix: str = ".png") -> Path:
    for i in range(N):
        write_picture(folder / "images" / f"m{i}.png", i, WIDTH, HEIGHT)
        path = folder / "masks" / f"m{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".jpg":
            assert cv2.imwrite(str(path), mask_of(i), [cv2.IMWRITE_JPEG_QUALITY, 80])
        else:
            assert cv2.imwrite(str(path), mask_of(i))
    return folder


def _read(folder: Path, form: str | None = None, classes: tuple[str, ...] | None = None) -> RawData:
    return read_raw(folder, format_name=form, classes=classes)


def _found(data: RawData) -> list[list[tuple[int, int, int, int]]]:
    """Boxes of the objects of each picture, in the order of `PLACES`; each must be filled."""
    found = []
    for image in data.images:
        boxes = []
        for item in image.objects:
            x, y, w, h = (int(v) for v in coco_mask.toBbox(item.rle))
            assert int(coco_mask.area(item.rle)) >= 0.95 * w * h
            boxes.append((x, y, w, h))
        found.append(sorted(boxes, key=_nearest_place))
    return found


def _nearest_place(box: tuple[int, int, int, int]) -> int:
    return min(range(4), key=lambda k: abs(PLACES[k][0] - box[0]) + abs(PLACES[k][1] - box[1]))


def _assert_true(data: RawData, within: int = 0) -> None:
    found = _found(data)
    assert len(found) == N
    for i, boxes in enumerate(found):
        assert len(boxes) == len(PLACES)
        assert np.abs(np.array(boxes) - _boxes(i)).max() <= within


def _refused(folder: Path) -> str:
    with pytest.raises(DatasetError) as refused:
        _read(folder)
    message = str(refused.value)
    assert "--format binary-masks reads it" in message
    assert "--format class-masks" in message
    return message


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_numbers_of_objects_may_be_as_large_as_they_come(kind: str, tmp_path: Path) -> None:
    numbers = [(1 << 53) + 1, (1 << 53) + 2, (1 << 62) + 1, (1 << 62) + 2]
    numbers = [n + (1 << 63) for n in numbers] if kind == "uint64" else numbers
    data = _read(_write(tmp_path, _labels))
    for i in range(N):
        labels = np.array([0, *(n + 4 * i for n in numbers)], dtype=kind)[_labels(i)]
        (tmp_path / "masks" / f"m{i}.png").unlink()
        tifffile.imwrite(tmp_path / "masks" / f"m{i}.tif", labels)
    large = _read(tmp_path)
    assert _found(large) == _found(data)
    assert (large.problems, large.warnings) == ((), ())
    assert large.images[0].objects[3].place == f"value {numbers[3]}"


def test_a_background_with_a_number_hides_no_object(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, lambda i: _labels(i) + np.uint8(7)))
    _assert_true(data)
    assert str(data.problems[0]).startswith("masks/m0.png, value 7: no object: it covers 8")


def test_a_number_below_0_is_no_object(tmp_path: Path) -> None:
    _write(tmp_path, _labels)
    for i in range(N):
        labels = _labels(i).astype(np.int16)
        labels[60:66, 60:80] = -1
        (tmp_path / "masks" / f"m{i}.png").unlink()
        tifffile.imwrite(tmp_path / "masks" / f"m{i}.tif", labels)
    data = _read(tmp_path)
    _assert_true(data)
    assert len(data.problems) == N
    assert str(data.problems[0]).startswith("masks/m0.tif, value -1: no object: it is below 0")


def test_instance_labels_are_read_without_a_word(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, _labels))
    _assert_true(data)
    assert (data.format.name, data.problems, data.warnings) == ("masks", (), ())


# --- classes


@pytest.mark.parametrize("values", [(1, 2, 1, 2), (85, 170, 85, 170), (1, 1, 1, 2), (5, 5, 9, 9)])
def test_classes_are_refused_with_the_numbers_and_read_as_classes_when_named(
    tmp_path: Path, values: tuple[int, int, int, int]
) -> None:
    raw = _write(tmp_path, lambda i: _labels(i, values))
    message = _refused(raw)
    n = sum(values.count(value) > 1 for value in set(values)) * N
    assert "the 6 label pictures look like class masks" in message
    assert f"{n} of {2 * N} values in 6 pictures consist of several regions" in message
    low, high = sorted(set(values))
    assert f"the values are {low}, {high} in every picture" in message
    data = _read(raw, "class-masks")
    _assert_true(data)
    assert data.classes == (f"class_{low}", f"class_{high}")
    assert [item.label for item in data.images[0].objects] == [
        f"class_{value}" for value in sorted(values)
    ]
    named = _read(raw, "class-masks", ("pore", "grain"))
    assert named.classes == ("pore", "grain")
    assert any(f"{low} is pore, {high} is grain" in note for note in named.notes)
    assert [item.label for item in named.images[0].objects] == [
        "pore" if value == low else "grain" for value in sorted(values)
    ]


def test_classes_named_instance_labels_are_read_as_asked_and_told(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, lambda i: _labels(i, (1, 2, 1, 2))), "masks")
    assert [len(image.objects) for image in data.images] == [2] * N
    warning, apart = data.warnings
    assert f"{2 * N} objects consist of regions far apart" in apart
    assert "are the label pictures instance labels? 12 of 12 values" in warning


def test_classes_named_binary_masks_are_regions_of_one_class_and_told(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, lambda i: _labels(i, (1, 2, 1, 2))), "binary-masks")
    _assert_true(data)
    (warning,) = data.warnings
    assert "the masks have several values (12 of 12 values" in warning


def test_objects_behind_others_are_no_classes(tmp_path: Path) -> None:
    def crossed(i: int) -> Mask:
        mask = _labels(i)
        mask[_boxes(i)[1][1] + 6 : _boxes(i)[1][1] + 9, 20:60] = 9  # parts the second object
        return mask

    data = _read(_write(tmp_path, crossed))
    assert [len(image.objects) for image in data.images] == [5] * N
    assert data.format.name == "masks"


def test_the_same_numbers_in_every_picture_that_are_not_counted_up_are_told(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, lambda i: _labels(i, (60, 120, 180, 240))))
    _assert_true(data)
    (warning,) = data.warnings
    assert "the values are 60, 120, 180, 240 in every picture" in warning


# --- two values


def _stray(value: int) -> Callable[[int], Mask]:
    def mask_of(i: int) -> Mask:
        mask = _labels(i, (255,) * 4)
        if i == 3:
            mask[0, 0] = value
        return mask

    return mask_of


@pytest.mark.parametrize("value", [254, 1, 128])
def test_one_stray_value_makes_no_instance_labels_of_binary_masks(
    tmp_path: Path, value: int
) -> None:
    raw = _write(tmp_path, _stray(value))
    message = _refused(raw)
    assert "look like binary masks" in message
    assert f"1 stray pixel (the value {value} in masks/m3.png)" in message
    data = _read(raw, "binary-masks")
    _assert_true(data)
    assert any("1 mask has values between 0 and 255" in warning for warning in data.warnings)


def test_a_stray_object_of_a_mask_is_told(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, _stray(255)), "binary-masks")
    (warning,) = data.warnings
    assert "1 object has at most 3 pixels, the first is masks/m3.png, region 1" in warning


def _resized(i: int) -> Mask:
    half = (WIDTH // 2, HEIGHT // 2)
    small = cv2.resize(_labels(i, (255,) * 4), half, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize(
    ("mask_of", "suffix"),
    [
        (_resized, ".png"),
        (lambda i: cv2.GaussianBlur(_labels(i, (255,) * 4), (0, 0), 1.5), ".tif"),
        (lambda i: _labels(i, (255,) * 4), ".jpg"),
        (lambda i: cv2.GaussianBlur(_labels(i, (255,) * 4), (0, 0), 1), ".jpg"),
    ],
    ids=["resized", "blurred", "JPEG", "blurred JPEG"],
)
def test_grey_borders_are_refused_and_cut_at_half_when_named(
    tmp_path: Path, mask_of: Callable[[int], Mask], suffix: str
) -> None:
    raw = _write(tmp_path, mask_of, suffix)
    message = _refused(raw)
    assert "look like binary masks" in message
    assert "lines around others" in message
    data = _read(raw, "binary-masks")
    _assert_true(data, within=1)
    assert data.problems == ()
    assert any(
        "6 masks have values between 0 and 255" in warning and "127.5" in warning
        for warning in data.warnings
    )


@pytest.mark.parametrize("blurred", [False, True])
def test_inverted_masks_are_turned_and_that_is_told(tmp_path: Path, blurred: bool) -> None:
    def mask_of(i: int) -> Mask:
        mask = 255 - _labels(i, (255,) * 4)
        return cv2.GaussianBlur(mask, (0, 0), 1) if blurred else mask

    raw = _write(tmp_path, mask_of)
    assert "look like binary masks" in _refused(raw)
    data = _read(raw, "binary-masks")
    _assert_true(data, within=1 if blurred else 0)
    assert any("the masks are inverted" in warning for warning in data.warnings)
    assert data.problems == ()


def test_one_inverted_mask_of_many_is_a_problem(tmp_path: Path) -> None:
    def mask_of(i: int) -> Mask:
        mask = _labels(i, (255,) * 4)
        return 255 - mask if i == 2 else mask

    data = _read(_write(tmp_path, mask_of), "binary-masks")
    (problem,) = data.problems
    assert (problem.file, problem.kind) == ("masks/m2.png", Kind.NO_OBJECT)
    assert "of the picture from edge to edge: is it inverted?" in problem.reason
    assert "m2" not in [image.stem for image in data.images]


def test_masks_written_with_other_values_than_the_rest_are_read_or_told(tmp_path: Path) -> None:
    def mask_of(i: int) -> Mask:
        if i in (1, 4):
            return _labels(i, (1, 1, 1, 1) if i == 1 else (3, 3, 2, 2))
        return cv2.GaussianBlur(_labels(i, (255,) * 4), (0, 0), 1)

    data = _read(_write(tmp_path, mask_of), "binary-masks")
    assert [image.stem for image in data.images] == ["m0", "m1", "m2", "m3", "m5"]
    assert {len(image.objects) for image in data.images} == {4}
    (problem,) = data.problems
    assert "its highest value is 3, that of others 255" in problem.reason


# --- backgrounds and borders that have a value


@pytest.mark.parametrize("dense", [False, True])
def test_a_background_with_a_value_is_no_object(tmp_path: Path, dense: bool) -> None:
    def mask_of(i: int) -> Mask:
        mask = _labels(i, (2, 3, 4, 5))
        mask[mask == 0] = 1
        if dense:  # less than half of the picture is background
            mask[2:-2, 60:-4][mask[2:-2, 60:-4] == 1] = 6
            mask[26:40, 4:54][mask[26:40, 4:54] == 1] = 7
        return mask

    data = _read(_write(tmp_path, mask_of))
    assert [len(image.objects) for image in data.images] == [6 if dense else 4] * N
    assert {(p.object, p.kind) for p in data.problems} == {("value 1", Kind.NO_OBJECT)}
    assert len(data.problems) == N
    assert "% of the picture from edge to edge: its background" in data.problems[0].reason


def test_a_border_that_is_drawn_around_objects_is_none(tmp_path: Path) -> None:
    def mask_of(i: int) -> Mask:
        mask = _labels(i)
        ring = cv2.dilate((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) - (mask > 0)
        mask[ring > 0] = 255
        return mask

    data = _read(_write(tmp_path, mask_of))
    _assert_true(data)
    assert {(p.object, p.kind) for p in data.problems} == {("value 255", Kind.NO_OBJECT)}
    assert "4 lines around others" in data.problems[0].reason


def test_labels_saved_in_colours_of_grey_are_numbers(tmp_path: Path) -> None:
    raw = _write(tmp_path, _labels)
    for i in range(N):
        colours = Image.fromarray(_labels(i)).convert("RGBA" if i % 2 else "RGB")
        colours.save(raw / "masks" / f"m{i}.png")
    _assert_true(_read(raw))


# --- the judgement itself


def _kind(*masks: Mask) -> str:
    return judge_masks([(str(i), values_of(mask)) for i, mask in enumerate(masks)]).kind


def test_one_mask_tells_little_and_is_believed() -> None:
    mask = _labels(0, (1, 1, 2, 3))
    assert _kind(mask) == "instances"  # one object in two parts
    assert _kind(_labels(0, (1, 1, 2, 2))) == "classes"
    assert _kind(_labels(0, (1, 1, 1, 1))) == "binary"


def test_values_are_described_by_their_pixels() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 2:8] = 1
    mask[12:18, 2:8] = 1
    mask[9, :] = 2
    mask[:, 15] = 2
    mask[2:5, 20:23] = 3
    found = values_of(mask)
    assert found.numbers.tolist() == [1, 2, 3]
    assert found.areas.tolist() == [72, 49, 9]
    assert found.parts.tolist() == [2, 1, 1]
    assert found.thin.tolist() == [False, True, False]
    assert found.all_edges.tolist() == [False, True, False]
