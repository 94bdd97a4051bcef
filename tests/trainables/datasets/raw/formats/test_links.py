"""Annotations and pictures that cannot be linked: they never become false negatives."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_samples import (
    labelme_set,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

N = 4
NAMES = [f"m{i}.png" for i in range(N)]
OUTLINE = "0 0.1 0.1 0.5 0.1 0.5 0.5\n"


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _objects(data: RawData) -> dict[str, int]:
    return {str(image.file): len(image.objects) for image in data.images}


def _pictures(folder: Path, names: list[str] = NAMES) -> None:
    for seed, name in enumerate(names):
        write_picture(folder / name, seed)


def _annotation(image_id: Any, x: float = 2) -> dict[str, Any]:
    corners = [value for point in square(x, 2) for value in point]
    return {"image_id": image_id, "category_id": 1, "segmentation": [corners]}


def _coco(folder: Path, linked: list[dict[str, Any]], **change: Any) -> None:
    """Four pictures with the ids 1 to 4, their entries and categories changed as asked."""
    _pictures(folder)
    path = write_coco(folder / "coco.json", NAMES, linked)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def _entries(ids: list[Any], names: list[str] = NAMES) -> list[dict[str, Any]]:
    return [{"id": key, "file_name": name} for key, name in zip(ids, names, strict=True)]


@pytest.mark.parametrize("write", [str, float, lambda key: f" {key} "], ids=["text", "1.0", " 1 "])
def test_an_id_may_be_text_here_and_a_number_there(write: Any, tmp_path: Path) -> None:
    annotations = [_annotation(key if key % 2 else write(key)) for key in (1, 2, 3, 4)]
    _coco(tmp_path, annotations)
    data = _read(tmp_path)
    assert data.problems == ()
    assert _objects(data) == dict.fromkeys(NAMES, 1)


def test_pictures_whose_ids_are_told_apart_by_their_type_stay_apart(tmp_path: Path) -> None:
    _coco(
        tmp_path,
        [_annotation(1), _annotation("1", 20), _annotation("1", 40)],
        images=_entries([1, "1", 3, 4]),
    )
    assert _objects(_read(tmp_path)) == {"m0.png": 1, "m1.png": 2, "m2.png": 0, "m3.png": 0}


def test_a_category_id_may_be_text_too(tmp_path: Path) -> None:
    annotations = [_annotation(key) | {"category_id": "1"} for key in (1, 2, 3, 4)]
    _coco(tmp_path, annotations)
    data = _read(tmp_path)
    assert (data.problems, data.classes) == ((), ("grain",))


def test_pictures_that_share_an_id_are_left_out_with_the_number_of_their_objects(
    tmp_path: Path,
) -> None:
    annotations = [_annotation(7), _annotation(7, 20), _annotation(7, 40), _annotation(4)]
    _coco(tmp_path, annotations, images=_entries([7, 7, 3, 4]))
    data = _read(tmp_path)
    assert _objects(data) == {"m2.png": 0, "m3.png": 1}
    assert [str(problem) for problem in data.problems] == [
        "coco.json, images[0]: shared id: 2 pictures share the id 7: m0.png, m1.png; whose objects "
        "are whose is not known, and the pictures are left out (3 objects left out)"
    ]


def test_one_id_for_all_pictures_is_refused(tmp_path: Path) -> None:
    _coco(tmp_path, [_annotation(1)] * 3, images=_entries([1, 1, 1, 1]))
    with pytest.raises(DatasetError, match=r"4 pictures share the id 1: .* \(3 objects left out\)"):
        _read(tmp_path)


def test_a_picture_listed_once_for_each_object_keeps_all_of_them(tmp_path: Path) -> None:
    names = ["m0.png", "m0.png", "m0.png", "m1.png"]
    annotations = [_annotation(key, 15 * key - 14) for key in (1, 2, 3, 4)]
    _coco(tmp_path, annotations, images=_entries([1, 2, 3, 4], names))
    data = _read(tmp_path)
    assert data.problems == ()
    assert _objects(data) == {"m0.png": 3, "m1.png": 1}


def test_two_names_that_mean_one_picture_are_told_and_it_is_left_out(tmp_path: Path) -> None:
    names = ["a/m0.png", "b/m0.png", "m1.png", "m2.png"]
    _coco(tmp_path, [_annotation(key) for key in (1, 2, 3)], images=_entries([1, 2, 3, 4], names))
    data = _read(tmp_path)
    assert _objects(data) == {"m1.png": 1, "m2.png": 0}
    (problem,) = data.problems
    assert (problem.kind, problem.object) == (Kind.ANNOTATED_TWICE, "images[1]")
    assert "a/m0.png and b/m0.png would both be m0.png" in problem.reason


def test_two_categories_with_one_id_are_told_and_their_objects_are_left_out(tmp_path: Path) -> None:
    annotations = [_annotation(1), _annotation(2), _annotation(3) | {"category_id": 2}]
    categories = [{"id": 1, "name": "rod"}, {"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}]
    _coco(tmp_path, annotations, categories=categories)
    data = _read(tmp_path)
    assert _objects(data) == {"m2.png": 1, "m3.png": 0}
    assert data.classes == ("ring",)
    assert [str(problem) for problem in data.problems] == [
        "coco.json, categories[1]: shared id: disc has the id 1 of rod; which one is meant? "
        "(2 objects left out)"
    ]


@pytest.mark.parametrize(
    "lost",
    [_annotation(99), {"category_id": 1}, "no annotation", _annotation(["m3"])],
    ids=["unknown id", "no id", "text", "list"],
)
def test_pictures_without_objects_are_left_out_where_objects_have_no_picture(
    lost: Any, tmp_path: Path
) -> None:
    linked = [_annotation(1), _annotation(2)]
    _coco(tmp_path, linked, annotations=[*linked, lost, lost])
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m1.png": 1}
    assert len(data.problems) == 2
    assert data.warnings == (
        "coco.json: 2 pictures without annotations are left out, the first is m2.png: 2 objects "
        "belong to no picture of the file, and may be theirs",
    )


def test_pictures_without_objects_are_negatives_where_the_others_picture_is_only_missing(
    tmp_path: Path,
) -> None:
    _coco(tmp_path, [_annotation(1), _annotation(2)])
    (tmp_path / "m1.png").unlink()
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m2.png": 0, "m3.png": 0}
    assert "(1 object left out)" in str(data.problems[0])
    assert data.warnings == ()


def test_a_picture_of_a_malformed_entry_is_no_negative(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [{"file_name": "m0.png"}, *_entries([2, 3, 4], NAMES[1:])]
    _coco(tmp_path, [_annotation(1), _annotation(2)], images=entries)
    assert _objects(_read(tmp_path)) == {"m1.png": 1}


def test_an_object_given_twice_is_one_and_it_is_told(tmp_path: Path) -> None:
    _coco(tmp_path, [_annotation(1), _annotation(1), _annotation(2)])
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m1.png": 1, "m2.png": 0, "m3.png": 0}
    (problem,) = data.problems
    assert (problem.kind, problem.object) == (Kind.OBJECT_TWICE, "annotations[1]")
    assert problem.reason == "it has the class and the pixels of coco.json, annotations[0]"


def test_an_outline_drawn_again_is_one_object_and_it_is_told(tmp_path: Path) -> None:
    labelme_set(tmp_path, 3)
    again = [
        shape(square(2, 2, 20)),
        shape(square(30, 20, 20)),
        shape(square(31, 20, 20)),  # the second one, drawn again: 380 of 420 pixels
        shape(square(2, 2, 20), label="pore"),  # of another class
        shape(square(4, 2, 20)),  # 360 of 440 pixels
        shape(square(2.1, 2, 20)),  # the first one
    ]
    write_labelme(tmp_path, "micrograph_01", again)
    data = _read(tmp_path)
    assert _objects(data)["micrograph_01.png"] == 4
    kept = [entry.place for image in data.images for entry in image.objects]
    assert kept[2:6] == ["shapes[0]", "shapes[1]", "shapes[3]", "shapes[4]"]
    assert [str(problem) for problem in data.problems] == [
        "micrograph_01.json, shapes[2]: object twice: it has the class and 90 % of the pixels (IoU)"
        " of micrograph_01.json, shapes[1] (left out)",
        "micrograph_01.json, shapes[5]: object twice: it has the class and the pixels of "
        "micrograph_01.json, shapes[0] (left out)",
    ]


def test_a_second_file_about_a_picture_is_told_with_its_number_of_objects(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    shapes = [shape(square(2, 2)), shape(square(40, 20))]
    write_labelme(tmp_path, "zz", shapes, imagePath="micrograph_03.png")
    (problem,) = _read(tmp_path).problems
    assert (problem.kind, problem.n_objects) == (Kind.ANNOTATED_TWICE, 2)
    assert str(problem).endswith("(2 objects left out)")


def test_a_list_of_coordinates_that_names_a_picture_twice_is_not_read(tmp_path: Path) -> None:
    _pictures(tmp_path)
    (tmp_path / "coordinates.json").write_text(
        '{"m0.png": [[10, 10]], "m1.png": [[20, 20]], "m0.png": []}'
    )
    with pytest.raises(DatasetError, match=r"the key 'm0\.png' stands twice in one object"):
        _read(tmp_path)


def test_coordinates_of_two_names_that_mean_one_picture_make_no_background(tmp_path: Path) -> None:
    _pictures(tmp_path)
    lists = {"a/m0.png": [[10, 10]], "b/m0.png": [[40, 20], [50, 30]], "m1.png": [[20, 20]]}
    (tmp_path / "coordinates.json").write_text(json.dumps(lists))
    data = read_raw(tmp_path, format_name=None, classes=None, sizes=particle_size("5px", None))
    labelled = {str(image.file): len(image.objects) for image in data.images if image.labelled}
    assert labelled == {"m1.png": 1}
    (problem,) = data.problems
    assert (problem.kind, problem.n_objects) == (Kind.ANNOTATED_TWICE, 2)
    assert "with 1 object; which are its own is not known, and it is left out" in problem.reason


# --- YOLO's label files


def _yolo(folder: Path, labels: dict[str, str]) -> None:
    """Four pictures, and label files beside them."""
    _pictures(folder)
    (folder / "classes.txt").write_text("grain\n")
    for stem, text in labels.items():
        (folder / f"{stem}.txt").write_text(text)


def test_a_line_of_any_length_is_a_whole_outline(tmp_path: Path) -> None:
    steps = [i / 400 for i in range(200)]
    rim = [(0.1 + s, 0.1) for s in steps] + [(0.6, 0.1 + s) for s in steps] + [(0.1, 0.6)]
    line = " ".join(["0", *(f"{value:.16f}" for point in rim for value in point)])
    assert len(line) > 4096
    _yolo(tmp_path, {"m0": f"{line}\n", "m1": OUTLINE, "m2": f"{line}\n{line[::1]}\n"})
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m1.png": 1, "m2.png": 1, "m3.png": 0}
    assert [problem.kind for problem in data.problems] == [Kind.OBJECT_TWICE]


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00\xd8\x00\x00", b"no numbers at all\n", b"0;0.1;0.1;0.5;0.1;0.5;0.5\n", b"{}"],
    ids=["binary", "words", "semicolons", "JSON"],
)
def test_a_text_file_named_like_a_picture_is_its_label_file(content: bytes, tmp_path: Path) -> None:
    _yolo(tmp_path, {"m0": OUTLINE, "m1": OUTLINE})
    (tmp_path / "m2.txt").write_bytes(content)
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m1.png": 1, "m3.png": 0}
    assert [problem.file for problem in data.problems] == ["m2.txt"]
    assert data.problems[0].kind in (Kind.UNREADABLE_ANNOTATION, Kind.MALFORMED)


def test_a_label_file_that_links_to_outside_leaves_its_picture_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    _yolo(raw, {"m0": OUTLINE})
    (tmp_path / "secret.txt").write_text(OUTLINE)
    (raw / "m1.txt").symlink_to(tmp_path / "secret.txt")
    data = _read(raw)
    assert _objects(data) == {"m0.png": 1, "m2.png": 0, "m3.png": 0}
    assert [problem.file for problem in data.problems] == ["m1.txt"]
    assert "outside the data folder" in data.problems[0].reason


def test_an_empty_label_file_says_that_there_is_nothing(tmp_path: Path) -> None:
    _yolo(tmp_path, {"m0": OUTLINE, "m1": ""})
    data = _read(tmp_path)
    assert (data.problems, data.warnings) == ((), ())
    assert _objects(data) == {"m0.png": 1, "m1.png": 0, "m2.png": 0, "m3.png": 0}


def test_renamed_pictures_are_no_negatives_where_label_files_have_no_picture(
    tmp_path: Path,
) -> None:
    _yolo(tmp_path, {"m0": OUTLINE, "m1": "", "was_m2": 2 * OUTLINE, "was_m3": OUTLINE})
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1, "m1.png": 0}
    assert [problem.n_objects for problem in data.problems] == [2, 1]
    assert data.warnings == (
        "2 pictures without a label file are left out, the first is m2.png: label files of "
        "pictures that are not here hold 3 objects, which may be theirs",
    )
