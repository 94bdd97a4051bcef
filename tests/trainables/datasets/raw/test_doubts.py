"""What all objects together show is told: another scale, boxes, several objects in one."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from tests.support.raw_samples import picture, shape, square, write_labelme, write_picture
from trainables.datasets import geometry
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

PLACES = [(2, 2), (40, 4), (6, 30), (50, 34)]


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _hexagon(x: float, y: float) -> list[list[float]]:
    return [[x, y + 4], [x + 3, y], [x + 7, y], [x + 10, y + 4], [x + 7, y + 9], [x + 3, y + 9]]


def _labelme(folder: Path, outlines: list[list[list[float]]], n: int = 4) -> RawData:
    """The same outlines on each of a few pictures."""
    for i in range(n):
        write_picture(folder / f"m{i}.png", i)
        shapes = [shape(points) for points in outlines]
        write_labelme(folder, f"m{i}", shapes)
    return _read(folder)


def test_objects_all_over_the_pictures_are_taken_without_a_word(tmp_path: Path) -> None:
    assert _labelme(tmp_path, [_hexagon(*place) for place in PLACES]).warnings == ()


def test_outlines_that_lie_in_the_first_part_of_all_pictures_are_told(tmp_path: Path) -> None:
    halved = [[[x / 2, y / 2] for x, y in _hexagon(*place)] for place in PLACES]
    (warning,) = _labelme(tmp_path, halved).warnings
    assert warning.startswith("all 16 objects lie in the first 0.47 x 0.46 of the pictures' sides")


def _box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def test_outlines_that_are_all_boxes_are_told(tmp_path: Path) -> None:
    sizes = [(10, 8), (6, 12), (9, 9), (12, 7)]
    outlines = [_box(*place, *size) for place, size in zip(PLACES, sizes, strict=True)]
    (warning,) = _labelme(tmp_path, outlines).warnings
    assert warning.startswith(
        "all 16 outlines are rectangles along the pictures' edges, their width 0.50 to 1.71 of "
        "their height: are they boxes?"
    )


def test_squares_and_turned_rectangles_may_be_the_objects_and_are_noted(tmp_path: Path) -> None:
    turned: list[list[list[float]]] = [
        [[x, y + 3], [x + 6, y], [x + 7.5, y + 3], [x + 1.5, y + 6]] for x, y in PLACES
    ]
    squares = [square(*place, 4 + 2 * i) for i, place in enumerate(PLACES)]
    for outlines, kind in ((turned, ", 16 of them turned"), (squares, "")):
        folder = tmp_path / f"of{len(kind)}"
        folder.mkdir()
        data = _labelme(folder, outlines)
        assert data.warnings == ()
        assert any(f"all 16 outlines are rectangles{kind}: right, if" in n for n in data.notes)


def test_few_squares_may_be_objects(tmp_path: Path) -> None:
    data = _labelme(tmp_path, [square(*place, 8) for place in PLACES], n=2)
    assert (len(data.images), data.warnings) == (2, ())


@pytest.mark.parametrize(
    ("points", "is_one"),
    [
        (square(1, 1), True),
        ([*square(1, 1), [1, 1]], True),
        ([[0, 0], [8, 8], [0, 16], [-8, 8]], True),
        ([[0, 0], [9, 1], [9, 9], [0, 6]], False),
        ([[0, 0], [5, 0], [10, 0], [10, 6], [0, 6]], False),
    ],
)
def test_rectangles_are_told_from_other_outlines(points: list[list[float]], is_one: bool) -> None:
    assert geometry.is_rectangle([np.array(points, dtype=float)]) is is_one


def _save(file: Path, pixels: npt.NDArray[Any], orientation: int) -> None:
    file.parent.mkdir(exist_ok=True)
    tifffile.imwrite(file, pixels, extratags=[(274, "H", 1, orientation, True)])


def _labels(at: int = 3) -> npt.NDArray[np.uint8]:
    labels = np.zeros((48, 64), np.uint8)
    labels[at : at + 10, 5:20] = 1
    labels[30:42, 40:52] = 2
    return labels


@pytest.mark.parametrize(
    ("of_picture", "of_labels", "is_told"),
    [(1, 1, False), (3, 3, False), (6, 6, False), (3, 1, True), (1, 3, True), (6, 1, False)],
)
def test_a_picture_and_its_labels_are_turned_alike_or_it_is_told(
    of_picture: int, of_labels: int, is_told: bool, tmp_path: Path
) -> None:
    sideways = of_picture == 6 and of_labels == 1
    for i in range(3):
        _save(tmp_path / "images" / f"m{i}.tif", picture(i), of_picture)
        labels = _labels(3 + i)
        labels = np.ascontiguousarray(np.rot90(labels, -1)) if sideways else labels
        _save(tmp_path / "masks" / f"m{i}.tif", labels, of_labels)
    data = _read(tmp_path)
    turned = {1: _labels(), 3: _labels()[::-1, ::-1], 6: np.rot90(_labels(), -1)}
    wanted = turned[6 if sideways else of_labels]
    found = [entry.rle for entry in data.images[0].objects]
    assert found == list(geometry.encode_labels(wanted).values())
    told = [warning for warning in data.warnings if "orientation tag" in warning]
    assert len(told) == is_told
    if is_told:
        assert "with 6 objects" in told[0]
        assert "the first is images/m0.tif" in told[0]


def test_outlines_on_a_picture_that_is_turned_are_told_unless_their_size_shows_it(
    tmp_path: Path,
) -> None:
    for i, orientation in enumerate((3, 6, 6)):
        _save(tmp_path / f"m{i}.tif", picture(i), orientation)
        size = {"imageHeight": 64, "imageWidth": 48} if i == 1 else {}
        outlines = [shape(_hexagon(2, 2)), shape(_hexagon(20, 30))]
        write_labelme(tmp_path, f"m{i}", outlines, imagePath=f"m{i}.tif", **size)
    data = _read(tmp_path)
    (warning,) = data.warnings
    assert "1 picture or its label picture with 2 objects" in warning
    assert "the first is m0.tif" in warning
    (problem,) = data.problems  # made on the stored pixels
    assert (problem.kind, problem.n_objects) == (Kind.SIZE_DIFFERS, 2)
    assert "m2.tif has 48 x 64 as its orientation tag turns it" in problem.reason
    assert [image.stem for image in data.images] == ["m0", "m1"]


def _mask(*corners: tuple[int, int]) -> npt.NDArray[Any]:
    mask = np.zeros((48, 64), np.uint8)
    for x, y in corners:
        mask[y : y + 8, x : x + 8] = 1
    return mask


def test_parts_count_where_they_lie_further_apart_than_they_are_large() -> None:
    behind_another = geometry.encode_mask(_mask((2, 2), (14, 2)))
    of_two = geometry.encode_mask(_mask((2, 2), (40, 30)))
    assert (geometry.n_parts(behind_another), geometry.n_parts(behind_another, gap=1)) == (2, 1)
    assert (geometry.n_parts(of_two), geometry.n_parts(of_two, gap=1)) == (2, 2)
    assert geometry.n_parts(geometry.encode_mask(_mask((2, 2)))) == 1


def _write_masks(folder: Path, odd: npt.NDArray[Any]) -> RawData:
    """Instance labels of five pictures, and another mask for a sixth."""
    for i in range(6):
        write_picture(folder / "images" / f"m{i}.png", i)
        labels = np.zeros((48, 64), np.uint8)
        for number, place in enumerate(PLACES, start=1):
            labels |= number * _mask(place)
        file = folder / "masks" / f"m{i}.png"
        file.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(file), labels if i != 3 else odd)
    return _read(folder)


@pytest.mark.parametrize("odd", [_mask((2, 2), (50, 34)), _mask((2, 2), (14, 2), (26, 2))])
def test_a_mask_of_two_values_among_instance_labels_is_told(
    odd: npt.NDArray[Any], tmp_path: Path
) -> None:
    (warning,) = _write_masks(tmp_path, odd).warnings
    assert warning.startswith(
        "1 object consists of regions far apart from each other, the first is value 1 of "
        "masks/m3.png"
    )


def test_a_mask_that_is_full_is_no_object(tmp_path: Path) -> None:
    data = _write_masks(tmp_path, np.ones((48, 64), np.uint8))
    assert [image.stem for image in data.images] == ["m0", "m1", "m2", "m4", "m5"]
    (problem,) = data.problems
    assert str(problem).startswith("masks/m3.png, value 1: no object: it covers 100%")


def test_a_background_in_a_frame_is_no_object(tmp_path: Path) -> None:
    framed = np.full((48, 64), 9, np.uint8)
    framed[0] = framed[-1] = framed[:, 0] = framed[:, -1] = 0
    framed[_mask((2, 2)) > 0] = 1
    data = _write_masks(tmp_path, framed)
    assert len(next(image for image in data.images if image.stem == "m3").objects) == 1
    assert str(data.problems[0]).startswith("masks/m3.png, value 9: no object")


def test_masks_without_numbers_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / "images" / f"m{i}.png", i)
        (tmp_path / "masks").mkdir(exist_ok=True)
        coloured = np.stack([_mask((2, 2)), _mask((40, 4)), _mask((6, 30))], axis=2) * 255
        assert cv2.imwrite(str(tmp_path / "masks" / f"m{i}.png"), coloured)
    with pytest.raises(DatasetError, match=r"masks/m0\.png: expected one channel of numbers, got"):
        _read(tmp_path)


def _coco(folder: Path, name: str, annotations: list[dict[str, Any]], **image: Any) -> None:
    images = [{"id": i + 1, "file_name": f"m{i}.png", **image} for i in range(4)]
    for i in range(4):
        write_picture(folder / f"m{i}.png", i)
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "grain"}],
    }
    (folder / name).write_text(json.dumps(document), encoding="utf-8")


def _annotation(image: int, place: tuple[int, int], **more: Any) -> dict[str, Any]:
    outline = [[value for point in _hexagon(*place) for value in point]]
    return {"image_id": image, "category_id": 1, "segmentation": outline, **more}


def test_outlines_that_contradict_the_bbox_beside_them_are_told(tmp_path: Path) -> None:
    entries = [
        _annotation(i + 1, place, bbox=[*place, 10, 9]) for i in range(4) for place in PLACES
    ]
    _coco(tmp_path, "coco.json", entries)
    assert _read(tmp_path).warnings == ()
    for entry in entries[:3]:
        entry["bbox"] = [value * 2 for value in entry["bbox"]]
    _coco(tmp_path, "coco.json", entries)
    (warning,) = _read(tmp_path).warnings
    assert warning.startswith(
        "coco.json: 3 of 16 outlines lie elsewhere than the bbox beside them, the first is "
        "annotations[0]: (2, 2, 10, 9) and bbox (4, 4, 20, 18)"
    )


def test_ids_of_pictures_that_are_one_too_low_are_told(tmp_path: Path) -> None:
    _coco(tmp_path, "coco.json", [_annotation(i, place) for i in range(4) for place in PLACES])
    warnings = _read(tmp_path).warnings
    assert any(
        "every image_id of its 16 objects plus 1 is the id of a picture" in w for w in warnings
    )


def test_sizes_may_be_written_as_text(tmp_path: Path) -> None:
    entries = [_annotation(i + 1, place) for i in range(4) for place in PLACES]
    _coco(tmp_path, "coco.json", entries, width="64", height="48")
    data = _read(tmp_path)
    assert (data.problems, sum(len(image.objects) for image in data.images)) == ((), 16)


def test_a_picture_empty_in_one_file_and_full_in_another_is_no_negative(tmp_path: Path) -> None:
    _coco(tmp_path, "a.json", [_annotation(i, place) for i in (1, 2) for place in PLACES])
    _coco(tmp_path, "b.json", [_annotation(i, place) for i in (3, 4) for place in PLACES])
    data = _read(tmp_path)
    assert {image.stem: len(image.objects) for image in data.images} == {"m0": 4, "m1": 4}
    assert sum(problem.n_objects or 0 for problem in data.problems) == 8


def test_inverted_masks_of_single_objects_are_no_objects(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"m{i}" / "images" / f"m{i}.png", i)
        for n, place in enumerate(PLACES):
            file = tmp_path / f"m{i}" / "masks" / f"{n}.png"
            file.parent.mkdir(exist_ok=True)
            assert cv2.imwrite(str(file), _mask(place) if n else 1 - _mask(place))
    data = _read(tmp_path)
    assert [len(image.objects) for image in data.images] == [3, 3, 3]
    assert [problem.kind for problem in data.problems] == [Kind.NO_OBJECT] * 3


def test_a_label_to_be_ignored_is_no_class_in_any_case(tmp_path: Path) -> None:
    for i in range(3):
        write_picture(tmp_path / f"m{i}.png", i)
        labels = ("grain", "grain", "__Ignore__")
        shapes = [shape(_hexagon(*p), name) for p, name in zip(PLACES[:3], labels, strict=True)]
        write_labelme(tmp_path, f"m{i}", shapes)
    data = _read(tmp_path)
    assert (data.classes, len(data.warnings)) == (("grain",), 1)


def test_a_file_of_parts_may_be_called_split(tmp_path: Path) -> None:
    parts = ["train", "train", "val", "test"]
    rows = [f"m{i}.png,{part}" for i, part in enumerate(parts)]
    (tmp_path / "split.csv").write_text("\n".join(["picture,split", *rows]), encoding="utf-8")
    data = _labelme(tmp_path, [_hexagon(*place) for place in PLACES])
    assert [image.split for image in data.images] == parts
