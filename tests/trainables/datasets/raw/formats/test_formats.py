import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from tests.support.raw_samples import (
    labelme_set,
    real_data,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

Mask = npt.NDArray[np.uint8]


def _read(folder: Path, form: str | None = None, classes: tuple[str, ...] | None = None) -> RawData:
    return read_raw(folder, format_name=form, classes=classes)


def _objects(data: RawData) -> Counter[str]:
    return Counter(item.label for image in data.images for item in image.objects)


def _masks(data: RawData, stem: str) -> list[Mask]:
    image = next(image for image in data.images if image.stem == stem)
    return [coco_mask.decode(item.rle) for item in image.objects]


def _iou(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def _pixels_in_circle(x: float, y: float, radius: float) -> int:
    """Pixels whose centre lies inside."""
    rows, columns = np.mgrid[:48, :64] + 0.5
    return int(((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).sum())


def _extent(mask: Mask) -> tuple[int, int]:
    """Width and height of what is not 0."""
    rows, columns = np.nonzero(mask)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _ring_and_pair() -> list[Mask]:
    """An object with a hole, and one in two parts."""
    ring = np.zeros((48, 64), np.uint8)
    ring[4:24, 4:24] = 1
    ring[10:16, 9:18] = 0
    pair = np.zeros((48, 64), np.uint8)
    pair[30:40, 30:38] = 1
    pair[32:44, 50:60] = 1
    return [ring, pair]


# --- real data


def test_via_and_labelme_files_of_sem_powder_hold_the_same_objects() -> None:
    folder = real_data("sem_powder")
    via, labelme = _read(folder, "via"), _read(folder, "labelme")
    assert _objects(via) == _objects(labelme) == {"Powder": 1269, "Satellite": 497}
    for a, b in zip(via.images, labelme.images, strict=True):
        one, other = [item.rle for item in a.objects], [item.rle for item in b.objects]
        assert coco_mask.iou(one, other, [0] * len(one)).diagonal().min() > 0.9
        assert [item.label for item in a.objects] == [item.label for item in b.objects]


def test_of_two_formats_the_richer_one_is_read_and_said_so() -> None:
    data = _read(real_data("sem_powder"))
    assert data.format.name == "labelme"
    assert any("via (24 pictures)" in note and "--format" in note for note in data.notes)


def test_label_pictures_of_nuclei_give_one_object_a_number() -> None:
    folder = real_data("nuclei")
    data = _read(folder)
    assert (data.format.name, len(data.images)) == ("masks", 60)
    assert _objects(data) == {"object": 1643}
    for image in data.images[::20]:
        labels = cv2.imread(str(folder / "labels" / image.file.name), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        for item in image.objects:
            number = int(item.place.removeprefix("value "))
            assert np.array_equal(coco_mask.decode(item.rle) == 1, labels == number)


def test_category_id_0_of_am_meltpool_is_a_class_like_any_other() -> None:
    data = _read(real_data("am_meltpool"))
    assert (data.format.name, data.classes) == ("coco", ("melt pool",))
    assert _objects(data) == {"melt pool": 156}
    areas = [int(coco_mask.area(item.rle)) for image in data.images for item in image.objects]
    document = json.loads((real_data("am_meltpool") / "annotations.json").read_text())
    given = sum(entry["area"] for entry in document["annotations"])
    assert sum(areas) == pytest.approx(given, rel=0.03)


def test_labelme_outlines_of_sem_agglomerates_lie_on_the_source_masks() -> None:
    folder = real_data("sem_agglomerates")
    data = _read(folder)
    assert _objects(data) == {"agglomerate": 1628}
    image = next(image for image in data.images if image.stem == "2C3_0")
    union = coco_mask.decode(coco_mask.merge([item.rle for item in image.objects]))
    source = cv2.imread(str(folder / "masks" / "2C3_0.png"), cv2.IMREAD_GRAYSCALE)
    assert source is not None
    assert _iou(union, source == 0) > 0.8


# --- shapes


def test_labelme_shapes_cover_what_they_show(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    patch = np.ones((6, 8), np.uint8)
    patch[2:4, 2:5] = 0
    buffer = io.BytesIO()
    Image.fromarray(patch * 255).save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        shape([[2, 3], [12, 9]], shape_type="rectangle"),
        shape([[30, 20], [30, 28]], shape_type="circle"),
        shape([[40, 30], [60, 40]], shape_type="ellipse"),
        shape([[5, 20], [12, 25]], shape_type="mask", mask=mask),
        shape(square(2, 30), group_id=7),
        shape(square(16, 34), group_id=7),
        shape(square(50, 2), "other", group_id=7),
    ]
    write_labelme(tmp_path, "a", shapes)
    data = _read(tmp_path)
    assert data.problems == ()
    areas = [int(mask.sum()) for mask in _masks(data, "a")]
    assert areas[0] == 60
    assert areas[1] == _pixels_in_circle(30, 20, 8)
    assert areas[2] == pytest.approx(np.pi * 50, rel=0.03)
    assert areas[3:] == [42, 200, 100]
    assert np.array_equal(_masks(data, "a")[3][20:26, 5:13], patch)
    assert data.classes == ("grain", "other")


def test_via_shapes_and_class_attribute_are_found(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "a.png", 0)
    shapes = [
        {"name": "rect", "x": 1, "y": 2, "width": 10, "height": 5},
        {"name": "circle", "cx": 30, "cy": 20, "r": 8},
        {"name": "ellipse", "cx": 45, "cy": 34, "rx": 12, "ry": 4, "theta": np.pi / 2},
        {"name": "polygon", "all_points_x": [5, 15, 15, 5], "all_points_y": [30, 30, 40, 40]},
    ]
    attributes = {"quality": "good", "Type": "grain"}
    regions = [{"shape_attributes": s, "region_attributes": attributes} for s in shapes]
    regions[0]["region_attributes"] = {"quality": "bad", "Type": {"grain": False, "pore": True}}
    document = {"a.png123": {"filename": "a.png", "size": 123, "regions": regions}}
    (tmp_path / "via.json").write_text(json.dumps(document))
    data = _read(tmp_path)
    assert (data.format.name, data.classes) == ("via", ("grain", "pore"))
    rectangle, circle, ellipse, polygon = _masks(data, "a")
    assert (rectangle.sum(), polygon.sum()) == (50, 100)
    assert circle.sum() == _pixels_in_circle(30, 20, 8)
    assert _extent(ellipse) == (8, 24)
    assert any("'Type' is the class" in note for note in data.notes)


def test_superannotate_shapes_groups_and_holes_are_kept(tmp_path: Path) -> None:
    ring, pair = _ring_and_pair()
    write_picture(tmp_path / "a.png", 0)
    hole = [9, 10, 18, 10, 18, 16, 9, 16]
    instances: list[dict[str, Any]] = [
        {
            "className": "ring",
            "type": "polygon",
            "points": [4, 4, 24, 4, 24, 24, 4, 24],
            "exclude": [hole],
        },
        *(
            {"className": "pair", "type": "polygon", "groupId": 3, "points": points}
            for points in ([30, 30, 38, 30, 38, 40, 30, 40], [50, 32, 60, 32, 60, 44, 50, 44])
        ),
        {
            "className": "ring",
            "type": "ellipse",
            "cx": 44,
            "cy": 14,
            "rx": 12,
            "ry": 5,
            "angle": 90,
        },
        {"className": "box", "type": "bbox", "points": {"x1": 2, "y1": 30, "x2": 9, "y2": 40}},
    ]
    document = {
        "metadata": {"name": "a.png", "width": 64, "height": 48},
        "instances": instances,
    }
    (tmp_path / "a.png___objects.json").write_text(json.dumps(document))
    data = _read(tmp_path)
    masks = _masks(data, "a")
    assert data.format.name == "superannotate"
    assert _objects(data) == {"ring": 2, "pair": 1, "box": 1}
    assert _iou(masks[0], ring) == _iou(masks[1], pair) == 1
    assert _extent(masks[2]) == (10, 24)
    assert masks[3].sum() == 70


def test_a_superannotate_part_inside_another_parts_hole_is_kept(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    square_part = {"className": "ring", "type": "polygon", "groupId": 1}
    outer = {**square_part, "points": [4, 4, 34, 4, 34, 34, 4, 34]}
    inner = {**square_part, "points": [13, 13, 25, 13, 25, 25, 13, 25]}
    hole = [10, 10, 28, 10, 28, 28, 10, 28]
    document = {
        "metadata": {"name": "a.png", "width": 64, "height": 48},
        "instances": [{**outer, "exclude": [hole]}, inner],
    }
    (tmp_path / "a.png___objects.json").write_text(json.dumps(document))
    (mask,) = _masks(_read(tmp_path), "a")
    assert mask.sum() == 30 * 30 - 18 * 18 + 12 * 12


@pytest.mark.parametrize("compressed", [True, False])
def test_coco_encodings_keep_holes_and_parts(tmp_path: Path, compressed: bool) -> None:
    write_picture(tmp_path / "images" / "a.png", 0)
    annotations = []
    for mask in _ring_and_pair():
        if compressed:
            rle = coco_mask.encode(np.asfortranarray(mask))
            segmentation = {"size": [48, 64], "counts": rle["counts"].decode()}
        else:
            flat = mask.ravel(order="F")
            edges = np.flatnonzero(np.diff(flat)) + 1
            counts = np.diff([0, *edges, flat.size]).tolist()
            segmentation = {"size": [48, 64], "counts": counts}
        annotations.append({"image_id": 1, "category_id": 0, "segmentation": segmentation})
    write_coco(tmp_path / "annotations.json", ["a.png"], annotations, {0: "grain"})
    masks = _masks(_read(tmp_path), "a")
    assert [_iou(a, b) for a, b in zip(masks, _ring_and_pair(), strict=True)] == [1, 1]


def test_coco_polygons_of_one_annotation_are_one_object(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    polygons = [[0, 0, 4, 0, 4, 3, 0, 3], [10, 10, 14, 10, 14, 13, 10, 13]]
    annotation = {"image_id": 1, "category_id": 1, "segmentation": polygons}
    write_coco(tmp_path / "coco.json", ["a.png"], [annotation])
    (mask,) = _masks(_read(tmp_path), "a")
    assert mask.sum() == 24
    assert mask[:3, :4].all()
    assert mask[10:13, 10:14].all()


def test_coco_crowds_are_left_out_but_cvat_brush_masks_are_kept(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    rle = coco_mask.encode(np.asfortranarray(_ring_and_pair()[0]))
    segmentation = {"size": [48, 64], "counts": rle["counts"].decode()}
    base = {"image_id": 1, "category_id": 1, "segmentation": segmentation, "iscrowd": 1}
    write_coco(
        tmp_path / "coco.json", ["a.png"], [base, {**base, "attributes": {"occluded": False}}]
    )
    data = _read(tmp_path)
    assert [str(problem.kind) for problem in data.problems] == ["crowd region"]
    assert len(data.images[0].objects) == 1
    assert any("CVAT" in note for note in data.notes)


def test_yolo_outlines_round_trip_with_parts_and_names(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        write_picture(tmp_path / "images" / split / f"{split}.png", seed)
        (tmp_path / "labels" / split).mkdir(parents=True)
        line = "1 " + " ".join(f"{x / 64:.6f} {y / 48:.6f}" for x, y in square(6, 8, 20))
        (tmp_path / "labels" / split / f"{split}.txt").write_text(line + "\n")
    write_picture(tmp_path / "images" / "train" / "empty.png", 2)
    (tmp_path / "data.yaml").write_text(
        yaml.safe_dump({"path": "/elsewhere", "train": "images/train", "names": ["pore", "grain"]})
    )
    data = _read(tmp_path)
    assert (data.format.name, data.classes) == ("yolo", ("grain",))
    assert {image.stem: image.split for image in data.images} == {
        "train": "train",
        "val": "val",
        "empty": "train",
    }
    expected = np.zeros((48, 64), np.uint8)
    expected[8:28, 6:26] = 1
    assert _iou(_masks(data, "train")[0], expected) == 1
    assert any("negatives" in note for note in data.notes)
    assert any("pore" in note for note in data.notes)


def test_flat_yolo_folder_with_a_list_of_names_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    (tmp_path / "classes.txt").write_text("grain\n")
    assert _objects(_read(tmp_path)) == {"grain": 1}


def test_label_pictures_keep_holes_and_parts_and_take_a_class_name(tmp_path: Path) -> None:
    ring, pair = _ring_and_pair()
    write_picture(tmp_path / "images" / "a.png", 0)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), ring * np.uint16(300) + pair * np.uint16(7))
    data = _read(tmp_path, classes=("grain",))
    assert data.classes == ("grain",)
    masks = _masks(data, "a")
    assert (_iou(masks[0], pair), _iou(masks[1], ring)) == (1, 1)


def test_binary_masks_are_taken_only_when_asked_for(tmp_path: Path) -> None:
    ring, pair = _ring_and_pair()
    write_picture(tmp_path / "images" / "a.png", 0)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), (ring | pair) * 255)
    with pytest.raises(DatasetError, match="--format binary-masks reads it"):
        _read(tmp_path)
    assert len(_read(tmp_path, "binary-masks").images[0].objects) == 3
    assert len(_read(tmp_path, "masks").images[0].objects) == 1


def test_coco_files_of_parts_give_the_parts(tmp_path: Path) -> None:
    annotation = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]}
    for seed, part in enumerate(("train", "test")):
        write_picture(tmp_path / part / f"{part}.png", seed)
        name = f"instances_{part}2026.json"
        write_coco(tmp_path / "annotations" / name, [f"{part}.png"], [annotation])
    assert {image.stem: image.split for image in _read(tmp_path).images} == {
        "train": "train",
        "test": "test",
    }


# --- problems


def _problem(data: RawData) -> tuple[Kind, str, str]:
    (problem,) = data.problems
    return problem.kind, problem.file, problem.object


BAD_SHAPES = {
    "too few points": (shape([[1, 1], [5, 5], [1, 1]]), Kind.TOO_FEW_POINTS),
    "outside": (shape(square(100, 100)), Kind.OUTSIDE),
    "partly outside": (shape(square(60, 20)), Kind.PARTLY_OUTSIDE),
    "zero size": (shape([[5, 5], [20, 5], [12, 5]]), Kind.ZERO_SIZE),
    "no area": (shape([[5, 5], [20, 5]], shape_type="line"), Kind.NO_OUTLINE),
    "no label": (shape(square(1, 1), ""), Kind.UNKNOWN_LABEL),
    "unknown label": (shape(square(1, 1), "grian"), Kind.UNKNOWN_LABEL),
    "not a number": (shape([[float("nan"), 1], [5, 5], [1, 9]]), Kind.MALFORMED),
    "no points": ({"label": "grain", "shape_type": "polygon"}, Kind.MALFORMED),
    "broken mask": (shape([[1, 1], [5, 5]], shape_type="mask", mask="%%%"), Kind.MALFORMED),
    "no shape": ("grain", Kind.MALFORMED),
}


@pytest.mark.parametrize("name", BAD_SHAPES)
def test_every_bad_object_is_listed_with_file_place_and_reason(name: str, tmp_path: Path) -> None:
    bad, kind = BAD_SHAPES[name]
    labelme_set(tmp_path)
    write_labelme(tmp_path, "micrograph_00", [shape(square(2, 2)), bad])  # type: ignore[list-item]
    data = _read(tmp_path, classes=("grain",))
    assert _problem(data) == (kind, "micrograph_00.json", "shapes[1]")
    assert data.problems[0].reason
    clipped = kind is Kind.PARTLY_OUTSIDE
    assert data.problems[0].action == ("clipped" if clipped else "left out")
    assert _objects(data)["grain"] == (12 if clipped else 11)


def test_an_unknown_label_names_the_nearest_class(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_labelme(tmp_path, "micrograph_00", [shape(square(2, 2), "grian")])
    data = _read(tmp_path, classes=("grain", "pore"))
    assert "did you mean grain?" in data.problems[0].reason


def test_a_missing_picture_names_the_nearest_one(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    (tmp_path / "micrograph_03.png").rename(tmp_path / "micrograph_03.PNG")
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.MISSING_IMAGE, "micrograph_03.json")
    assert "micrograph_03.PNG" in data.problems[0].reason


def test_an_unreadable_picture_is_listed(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    path = tmp_path / "micrograph_03.png"
    path.write_bytes(path.read_bytes()[:200])
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.UNREADABLE_IMAGE, "micrograph_03.png")
    assert len(data.images) == 5


def test_an_unreadable_annotation_file_is_listed(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    (tmp_path / "micrograph_03.json").write_text('{"shapes": [')
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.UNREADABLE_ANNOTATION, "micrograph_03.json")
    assert "line 1" in data.problems[0].reason


def test_annotations_at_another_size_are_listed(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_labelme(tmp_path, "micrograph_03", [shape(square(2, 2))], imageWidth=128)
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.SIZE_DIFFERS, "micrograph_03.json")
    assert len(data.images) == 5


def test_pictures_of_one_name_in_two_folders_stay_apart_by_their_folder(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_picture(tmp_path / "other" / "micrograph_03.png", 99)
    write_labelme(tmp_path / "other", "micrograph_03", [shape(square(2, 2))])
    data = _read(tmp_path)
    assert data.problems == ()
    names = {str(image.file): (image.stem, len(image.objects)) for image in data.images}
    assert names["micrograph_03.png"] == ("micrograph_03", 2)
    assert names["other/micrograph_03.png"] == ("other_micrograph_03", 1)
    assert len(names) == 7
    assert any("other/micrograph_03.png is other_micrograph_03" in note for note in data.notes)


def test_two_pictures_of_one_stem_in_one_folder_clash(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_picture(tmp_path / "micrograph_03.tif", 99)
    write_labelme(tmp_path, "b", [shape(square(2, 2))], imagePath="micrograph_03.tif")
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.NAME_CLASH, "micrograph_03.tif")
    assert "has the same name but for the suffix or for case" in data.problems[0].reason
    assert data.problems[0].n_objects == 1
    assert "micrograph_03.png has the same name" in data.problems[0].reason
    assert str(data.problems[0]).endswith("(1 object left out)")
    assert len(data.images) == 6


def test_two_files_about_one_picture_do_not_double_its_objects(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_labelme(tmp_path, "zz", [shape(square(2, 2))], imagePath="micrograph_03.png")
    data = _read(tmp_path)
    assert _problem(data)[:2] == (Kind.ANNOTATED_TWICE, "zz.json")
    assert _objects(data) == {"grain": 12}


def test_label_files_without_picture_are_listed(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "a.png", 0)
    (tmp_path / "labels").mkdir()
    for stem in ("a", "b"):
        (tmp_path / "labels" / f"{stem}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    data = _read(tmp_path)
    assert _problem(data) == (Kind.LABEL_WITHOUT_IMAGE, "labels/b.txt", "")


YOLO_LINES = {
    "box": ("0 0.5 0.5 0.2 0.2", Kind.NO_OUTLINE),
    "too few points": ("0 0.1 0.1 0.1 0.1 0.1 0.1", Kind.TOO_FEW_POINTS),
    "unknown class": ("5 0.1 0.1 0.5 0.1 0.5 0.5", Kind.UNKNOWN_LABEL),
    "odd": ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.7", Kind.MALFORMED),
    "words": ("0 0.1 0.1 0.5 0.1 abc 0.5", Kind.MALFORMED),
    "pixels": ("0 100 100 200 100 200 200", Kind.OUTSIDE),
}


@pytest.mark.parametrize("name", YOLO_LINES)
def test_every_bad_line_of_a_label_file_is_listed(name: str, tmp_path: Path) -> None:
    line, kind = YOLO_LINES[name]
    write_picture(tmp_path / "images" / "a.png", 0)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(f"0 0.1 0.1 0.5 0.1 0.5 0.5\n{line}\n")
    (tmp_path / "data.yaml").write_text("names: [grain]\n")
    assert _problem(_read(tmp_path)) == (kind, "labels/a.txt", "line 2")


COCO_ENTRIES: dict[str, tuple[dict[str, Any], Kind]] = {
    "no image": ({"image_id": 9}, Kind.MISSING_IMAGE),
    "no category": ({"category_id": 9}, Kind.UNKNOWN_LABEL),
    "no segmentation": ({"segmentation": []}, Kind.NO_OUTLINE),
    "wrong counts": ({"segmentation": {"size": [48, 64], "counts": [10, 5]}}, Kind.MALFORMED),
    "wrong size": ({"segmentation": {"size": [8, 8], "counts": [60, 4]}}, Kind.SIZE_DIFFERS),
    "empty mask": ({"segmentation": {"size": [48, 64], "counts": [3072]}}, Kind.ZERO_SIZE),
    "broken text": ({"segmentation": {"size": [48, 64], "counts": "hello"}}, Kind.MALFORMED),
    "odd": ({"segmentation": [[1, 2, 3]]}, Kind.MALFORMED),
}


@pytest.mark.parametrize("name", COCO_ENTRIES)
def test_every_bad_coco_annotation_is_listed(name: str, tmp_path: Path) -> None:
    change, kind = COCO_ENTRIES[name]
    write_picture(tmp_path / "a.png", 0)
    good = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]]}
    write_coco(tmp_path / "coco.json", ["a.png"], [good, {**good, **change}])
    assert _problem(_read(tmp_path)) == (kind, "coco.json", "annotations[1]")


def test_a_picture_without_objects_is_a_negative_and_no_problem(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_picture(tmp_path / "empty.png", 50)
    write_labelme(tmp_path, "empty", [])
    data = _read(tmp_path)
    assert data.problems == ()
    assert [image.stem for image in data.images if not image.objects] == ["empty"]


def test_a_picture_that_lost_all_its_objects_is_no_negative(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_labelme(tmp_path, "micrograph_00", [shape(square(100, 100))])
    data = _read(tmp_path)
    assert len(data.images) == 5
    assert any("no negatives" in note for note in data.notes)


def test_pictures_no_annotation_names_are_left_out_with_a_note(tmp_path: Path) -> None:
    labelme_set(tmp_path)
    write_picture(tmp_path / "not_annotated.png", 50)
    data = _read(tmp_path)
    assert len(data.images) == 6
    assert any("not_annotated.png" in note for note in data.notes)


# --- paths


@pytest.mark.parametrize("reference", ["../secret.png", "{outside}", "..\\secret.png", "link.png"])
def test_paths_never_lead_out_of_the_folder(reference: str, tmp_path: Path) -> None:
    secret = write_picture(tmp_path / "secret.png", 9)
    raw = labelme_set(tmp_path / "raw")
    (raw / "link.png").symlink_to(secret)
    reference = reference.format(outside=secret)
    write_labelme(raw, "micrograph_00", [shape(square(2, 2))], imagePath=reference)
    data = _read(raw)
    assert [problem.kind for problem in data.problems] == [Kind.LEAVES_FOLDER]
    assert len(data.images) == 5
    assert not any(image.path.resolve() == secret for image in data.images)


def test_a_folder_that_links_to_outside_is_not_followed(tmp_path: Path) -> None:
    write_picture(tmp_path / "elsewhere" / "a.png", 9)
    raw = labelme_set(tmp_path / "raw")
    (raw / "pictures").symlink_to(tmp_path / "elsewhere")
    write_labelme(raw, "a", [shape(square(2, 2))], imagePath="pictures/a.png")
    assert _problem(_read(raw))[:2] == (Kind.LEAVES_FOLDER, "a.json")


def test_a_link_to_an_annotation_file_outside_is_not_read(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    (tmp_path / "secret.json").write_text("{}")
    (raw / "secret.json").symlink_to(tmp_path / "secret.json")
    assert _problem(_read(raw))[:2] == (Kind.UNREADABLE_ANNOTATION, "secret.json")


def test_an_absolute_path_that_stays_inside_is_followed(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    inside = str((raw / "micrograph_00.png").resolve())
    write_labelme(raw, "micrograph_00", [shape(square(2, 2))], imagePath=inside)
    assert _read(raw).problems == ()


def test_yolo_yaml_may_not_lead_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "raw" / "images" / "a.png", 0)
    (tmp_path / "raw" / "labels").mkdir()
    (tmp_path / "raw" / "labels" / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (tmp_path / "raw" / "data.yaml").write_text("names: [grain]\ntrain: ../../secret/images\n")
    assert _problem(_read(tmp_path / "raw")) == (Kind.LEAVES_FOLDER, "data.yaml", "train")


# --- choice


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="got 'lableme'; did you mean labelme"):
        _read(labelme_set(tmp_path), "lableme")


def test_a_format_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"format via .*found labelme \(6 pictures\)"):
        _read(labelme_set(tmp_path), "via")


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the folder is empty"):
        _read(tmp_path)


def test_an_empty_annotation_file_is_called_empty(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "coordinates.json").write_text("\n")
    said = "1 file cannot be read: coordinates.json: the file is empty"
    with pytest.raises(DatasetError, match=said):
        _read(tmp_path)


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it does not exist"):
        _read(tmp_path / "nowhere")


def test_a_folder_of_pictures_alone_lists_the_formats(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    with pytest.raises(DatasetError, match="found 1 picture and 0 other files; expected one of"):
        _read(tmp_path)
