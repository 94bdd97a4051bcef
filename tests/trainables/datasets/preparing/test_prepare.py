import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.support.places import ROOT
from tests.support.raw_samples import (
    labelme_set,
    picture,
    real_data,
    shape,
    square,
    write_labelme,
    write_picture,
)
from trainables.datasets.prepared import SPLITS, DatasetError, PreparedDataset, check_trainable
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.preparing.report import PrepareReport, describe
from trainables.datasets.raw.entries import Kind
from trainables.files.errors import FolderError
from trainables.files.whole import locked


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _split_of(data: PreparedDataset) -> dict[str, str]:
    return {image.path.stem: split for split in SPLITS for image in data.images(split)}


@pytest.fixture(scope="module")
def powder(tmp_path_factory: pytest.TempPathFactory) -> PrepareReport:
    return prepare(real_data("sem_powder"), tmp_path_factory.mktemp("powder") / "powder")


# --- what is written


def test_sem_powder_is_prepared_with_its_four_pictures_apart(powder: PrepareReport) -> None:
    report, data = powder, PreparedDataset.load(powder.data.root)
    assert data.classes == ("Powder", "Satellite")
    assert sum(data.counts().values()) == 24
    assert all(n % 6 == 0 and n for n in data.counts().values())
    assert sum(sum(objects.values()) for objects in data.objects().values()) == 1766
    assert report.problems == ()
    assert report.data == data
    groups: dict[str, set[str]] = {}
    for split in SPLITS:
        for image in data.images(split):
            groups.setdefault(image.group, set()).add(split)
    assert len(groups) == 4
    assert all(len(parts) == 1 for parts in groups.values())
    check_trainable(data)


def test_annotations_are_coco_that_pycocotools_reads(tmp_path: Path) -> None:
    data = prepare(real_data("am_meltpool"), tmp_path / "out").data
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert [category["id"] for category in coco.loadCats(coco.getCatIds())] == [1]
    assert len(coco.getAnnIds()) == 156
    for entry in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(entry)
        x, y, width, height = (int(value) for value in entry["bbox"])
        assert mask.sum() == entry["area"] == mask[y : y + height, x : x + width].sum()
    record = data.images("train")[0]
    (first, *_) = data.annotations(record)
    assert first.category == 0
    assert isinstance(first.mask["counts"], bytes)
    x0, y0, x1, y1 = (int(value) for value in first.box)
    assert coco_mask.decode(first.mask)[y0:y1, x0:x1].sum() == first.area


def test_a_prepared_picture_is_read_as_rgb(tmp_path: Path) -> None:
    data = prepare(labelme_set(tmp_path / "raw"), tmp_path / "out").data
    record = data.images("train")[0]
    pixels = data.read(record)
    assert pixels.shape == (48, 64, 3)
    assert np.array_equal(pixels[..., 0], picture(int(record.path.stem[-2:])))


def test_8_bit_pngs_are_copied_byte_for_byte_and_raw_data_is_not_touched(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    before = _files(raw)
    prepare(raw, tmp_path / "out")
    assert _files(raw) == before
    copied = tmp_path / "out" / "images" / "micrograph_00.png"
    assert copied.read_bytes() == before["micrograph_00.png"]
    assert copied.stat().st_nlink == 1


def test_other_pictures_become_8_bit_png_and_it_is_told(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    deep = picture(70).astype(np.uint16) * 200
    cv2.imwrite(str(raw / "deep.png"), deep)
    alpha = np.dstack([picture(80)] * 3 + [np.full((48, 64), 255, np.uint8)])
    Image.fromarray(alpha).save(raw / "alpha.png")
    Image.fromarray(picture(90)).save(raw / "photo.jpg")
    for name in ("deep.png", "alpha.png", "photo.jpg"):
        write_labelme(raw, name.split(".")[0], [shape(square(2, 2))], imagePath=name)
    report = prepare(raw, tmp_path / "out")
    stored = [Image.open(path) for path in sorted((tmp_path / "out" / "images").iterdir())]
    assert {(image.format, image.mode) for image in stored} == {("PNG", "L"), ("PNG", "RGB")}
    assert "1 picture: uint16 scaled to 8 bits" in report.notes
    assert "1 picture: transparency blended over black" in report.notes


def test_pages_of_a_tiff_become_pictures_of_one_group(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "masks").mkdir(parents=True)
    (raw / "images").mkdir()
    for stack in range(3):
        pages = np.stack([picture(10 * stack + page) for page in range(3)])
        labels = np.zeros((3, 48, 64), np.uint16)
        for page in range(3):
            labels[page, 5 + page : 20, 5:20] = 1
            labels[page, 30:40, 30:40] = 2
        options: dict[str, Any] = {"photometric": "minisblack"}
        tifffile.imwrite(raw / "images" / f"stack{stack}.tif", pages, **options)
        tifffile.imwrite(raw / "masks" / f"stack{stack}.tif", labels, **options)
    data = prepare(raw, tmp_path / "out").data
    parts = _split_of(data)
    assert len(parts) == 9
    assert {parts[f"stack1_p{page:03d}"] for page in range(3)} == {parts["stack1_p000"]}
    image = next(i for split in SPLITS for i in data.images(split) if i.path.stem == "stack2_p001")
    assert sorted(item.area or 0 for item in data.annotations(image)) == [100, 210]
    assert np.array_equal(data.read(image)[..., 0], picture(21))


def test_annotations_of_a_page_are_found_by_its_name(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    pages = np.stack([picture(50), picture(51), picture(52)])
    tifffile.imwrite(raw / "stack.tif", pages, photometric="minisblack")
    write_labelme(raw, "stack_p1", [shape(square(2, 2))], imagePath="stack_p1.tif")
    report = prepare(raw, tmp_path / "out")
    assert report.problems == ()
    assert "stack_p001" in _split_of(report.data)
    assert any("2 of 3 pages have no annotations" in note for note in report.notes)


def test_a_negative_is_kept_without_objects(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    write_picture(raw / "empty.png", 50)
    write_labelme(raw, "empty", [])
    data = prepare(raw, tmp_path / "out").data
    found = [i for split in SPLITS for i in data.images(split) if not data.annotations(i)]
    assert [image.path.stem for image in found] == ["empty"]


def test_a_sheet_of_large_pictures_has_crops_at_full_resolution(tmp_path: Path) -> None:
    data = prepare(_large_squares(tmp_path / "raw"), tmp_path / "out").data
    assert {picture.width for picture in data.images("train")} == {900}
    with Image.open(tmp_path / "out" / "contact_train.png") as opened:
        sheet = np.asarray(opened.convert("RGB")).astype(int)
    coloured = (sheet.max(axis=2) - sheet.min(axis=2)) > 100  # outlines, and the legend
    columns = np.flatnonzero(coloured[100:].sum(axis=0) >= 20)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    sides = {int(run[0] - other[0]) for run in runs for other in runs}
    assert sides & {39, 40, 41}, "a square of 40 px is drawn 40 px wide"
    assert sides & {15, 16, 17}, "and in the small picture 16 px wide"


def _large_squares(raw: Path) -> Path:
    """Pictures of 900 x 600 px with a square of 40 px in the middle, in COCO's form."""
    (raw / "images").mkdir(parents=True)
    square = [430, 280, 470, 280, 470, 320, 430, 320]
    images, annotations = [], []
    for n in range(1, 9):
        grey = np.random.default_rng(n).integers(90, 110, (600, 900), dtype=np.uint8)
        Image.fromarray(grey).save(raw / "images" / f"p{n}.png")
        images.append({"id": n, "file_name": f"p{n}.png", "width": 900, "height": 600})
        annotations.append({"id": n, "image_id": n, "category_id": 1, "segmentation": [square]})
    categories = [{"id": 1, "name": "square"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "annotations.json").write_text(json.dumps(coco))
    return raw


def test_contact_sheets_and_reports_lie_beside(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    write_labelme(raw, "micrograph_00", [shape(square(2, 2)), shape([[1, 1], [2, 2]])])
    report = prepare(raw, tmp_path / "out")
    for split in SPLITS:
        with Image.open(tmp_path / "out" / f"contact_{split}.png") as sheet:
            assert min(sheet.size) > 300
            assert len(set(sheet.get_flattened_data())) > 100
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["problems"][0]["object"] == "shapes[1]"
    assert document["groups"] == report.grouping.members()
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| micrograph_00.json | shapes[1] | too few points |" in text


def test_the_summary_tells_classes_parts_groups_problems_and_where_to_look(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    write_labelme(raw, "micrograph_00", [shape(square(2, 2)), shape([[1, 1], [2, 2]])])
    report = prepare(raw, tmp_path / "out")
    lines = "\n".join(describe(report))
    assert "raw: 6 pictures, 11 objects, grain 11; read as labelme" in lines
    assert re.search(r"train +4 pictures +\d+ objects  grain", lines)
    parts = [line for line in describe(report) if re.match(r"  (train|val|test) ", line)]
    assert parts[0] == "  train     4 pictures      8 objects  grain 8"
    assert sorted(line[7:] for line in parts[1:]) == [
        "     1 picture       1 object   grain 1",
        "     1 picture       2 objects  grain 2",
    ]
    assert "6 groups by likeness" in lines
    assert "1 problem: 1 too few points" in lines
    assert "micrograph_00.json, shapes[1]: too few points: expected at least 3" in lines
    assert (
        f"contact_train.png, contact_val.png, contact_test.png and report.md in {tmp_path}" in lines
    )
    loaded = describe(PreparedDataset.load(tmp_path / "out"))
    assert all(line in lines for line in loaded)


def test_preparing_twice_gives_the_same_fingerprint_and_annotations(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    one, two = (prepare(raw, tmp_path / name).data for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    for name in ("annotations.json", "dataset.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_parts_do_not_depend_on_the_order_in_which_files_were_written(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 12)
    again = tmp_path / "again"
    again.mkdir()
    for path in sorted(raw.iterdir(), key=lambda path: path.name[::-1], reverse=True):
        shutil.copy(path, again / path.name)
    one, two = prepare(raw, tmp_path / "one").data, prepare(again, tmp_path / "two").data
    assert _split_of(one) == _split_of(two)
    assert one.fingerprint == two.fingerprint
    other = prepare(raw, tmp_path / "other", PrepareOptions(seed=1)).data
    assert _split_of(other) != _split_of(one)


@pytest.mark.parametrize("change", ["pixel", "object", "class", "split"])
def test_the_fingerprint_follows_what_a_model_sees(change: str, tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    before = prepare(raw, tmp_path / "before").data.fingerprint
    options: dict[str, Any] = {}
    if change == "pixel":
        pixels = picture(0).copy()
        pixels[0, 0] ^= 1
        cv2.imwrite(str(raw / "micrograph_00.png"), pixels)
    elif change == "object":
        write_labelme(raw, "micrograph_00", [shape(square(2, 3)), shape(square(30, 20))])
    elif change == "class":
        options["classes"] = ["grain", "pore"]
    else:
        parts = {"train": [f"micrograph_0{i}" for i in range(5)], "val": ["micrograph_05"]}
        (raw / "splits.json").write_text(json.dumps(parts))
    assert prepare(raw, tmp_path / "after", PrepareOptions(**options)).data.fingerprint != before


def test_via_and_labelme_of_the_same_objects_have_the_same_parts(
    powder: PrepareReport, tmp_path: Path
) -> None:
    via = prepare(real_data("sem_powder"), tmp_path / "via", PrepareOptions(format="via")).data
    assert (powder.format, via.manifest["source_format"]) == ("LabelMe", "via")
    assert _split_of(via) == _split_of(powder.data)
    assert via.objects() == powder.data.objects()


def test_a_prepared_set_can_be_prepared_again(tmp_path: Path) -> None:
    first = prepare(labelme_set(tmp_path / "raw"), tmp_path / "first").data
    second = prepare(tmp_path / "first", tmp_path / "second").data
    assert second.classes == first.classes
    assert second.fingerprint == first.fingerprint


# --- parts


def test_given_parts_in_folders_are_kept(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "valid", "test")):
        (tmp_path / "raw" / part).mkdir(parents=True)
        for i in range(2):
            write_picture(tmp_path / "raw" / part / f"{part}{i}.png", 10 * seed + i)
            write_labelme(tmp_path / "raw" / part, f"{part}{i}", [shape(square(2, 2))])
    data = prepare(tmp_path / "raw", tmp_path / "out").data
    assert _split_of(data) == {
        "train0": "train",
        "train1": "train",
        "valid0": "val",
        "valid1": "val",
        "test0": "test",
        "test1": "test",
    }


def test_a_file_of_parts_decides_and_its_gaps_are_listed(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    rows = [f"micrograph_0{i}.png,{'train' if i < 3 else 'val'}" for i in range(5)]
    (raw / "splits.csv").write_text("\n".join(["file,split", *rows, "nobody.png,val"]) + "\n")
    report = prepare(raw, tmp_path / "out")
    assert report.data.counts() == {"train": 3, "val": 2, "test": 0}
    assert [(problem.kind, problem.file) for problem in report.problems] == [
        (Kind.NOT_IN_SPLITS, "micrograph_05.png"),
        (Kind.MISSING_IMAGE, "splits.csv"),
    ]


def test_fewer_groups_than_parts_is_for_evaluation_only_with_one_warning(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 6, "tile_r0c{}")
    report = prepare(raw, tmp_path / "out")
    assert report.data.counts() == {"train": 0, "val": 0, "test": 6}
    assert sum("evaluation" in line for line in describe(report)) == 1
    with pytest.raises(DatasetError, match=r"evaluation only: 1 group .*--group REGEX"):
        check_trainable(PreparedDataset.load(tmp_path / "out"))


def test_an_expression_of_the_users_makes_the_groups(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 9)
    data = prepare(
        raw, tmp_path / "out", PrepareOptions(group=r"micrograph_0([012]|[345]|[678])")
    ).data
    assert {image.group for split in SPLITS for image in data.images(split)} == set("012345678")
    with pytest.raises(DatasetError, match="--group: 'x' is not found in 9 of 9"):
        prepare(raw, tmp_path / "other", PrepareOptions(group="x"))
    assert not (tmp_path / "other").exists()


def _on_parts(report: PrepareReport) -> list[str]:
    """Notes on other things than the shapes of the objects, which are squares here."""
    return [note for note in report.notes if "outlines are rectangles" not in note]


def test_no_part_holds_a_copy_of_a_picture_in_another(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 20)
    labelme_set(raw, 2, "grid_r0c{}")
    for i in range(20):
        copy = 0.8 * picture(i) + 20
        cv2.imwrite(str(raw / f"copy_{i:02d}_of.png"), copy.astype(np.uint8))
        write_labelme(raw, f"copy_{i:02d}_of", [shape(square(2, 2))])
    report = prepare(raw, tmp_path / "out")
    parts = _split_of(report.data)
    assert len(parts) == 42
    assert all(parts[f"copy_{i:02d}_of"] == parts[f"micrograph_{i:02d}"] for i in range(20))
    assert _on_parts(report) == []

    names = PrepareOptions(group=r"\w+")
    notes = prepare(raw, tmp_path / "other", names).notes
    assert any("look alike and lie in different parts, as --group asks" in note for note in notes)


def test_a_series_in_several_parts_is_asked_about_and_the_option_named_keeps_it(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    for n, specimen in enumerate(("2un", "5un", "10C3", "30C3")):
        for i in range(4):
            write_picture(raw / f"{specimen}_{i}.png", seed=10 * n + i)
            write_labelme(raw, f"{specimen}_{i}", [shape(square(2, 2))])
    (note,) = _on_parts(prepare(raw, tmp_path / "out"))
    assert "look like a series" in note
    option = note.split("'")[1]
    kept = prepare(raw, tmp_path / "kept", PrepareOptions(group=option))
    assert _on_parts(kept) == []
    parts = _split_of(kept.data)
    for specimen in ("2un", "5un", "10C3", "30C3"):
        assert len({parts[f"{specimen}_{i}"] for i in range(4)}) == 1


def test_a_class_of_one_picture_is_trained_on_and_that_val_lacks_it_is_told(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", 12)
    write_labelme(raw, "micrograph_07", [shape(square(2, 2)), shape(square(30, 20), "pore")])
    for seed in range(4):
        options = PrepareOptions(seed=seed, classes=["grain", "pore", "void"])
        report = prepare(raw, tmp_path / str(seed), options)
        assert _split_of(report.data)["micrograph_07"] == "train"
        told = [line for line in describe(report) if line.startswith("warning: class")]
        assert told == [
            "warning: class pore has no object in val (train has 1): no metric that decides here "
            "is about it",
            "warning: class void has no object in train and val (test has 0)",
        ]


# --- refusals


def _broken_set(folder: Path, n: int = 100) -> Path:
    raw = labelme_set(folder, n)
    for i in range(0, n, 10):
        write_labelme(raw, f"micrograph_{i:02d}", [shape(square(2, 2)), shape([[1, 1], [2, 2]])])
    return raw


def test_strict_refuses_with_all_problems_within_2_seconds(tmp_path: Path) -> None:
    raw = _broken_set(tmp_path / "raw")
    started = time.monotonic()
    with pytest.raises(DatasetError) as error:
        prepare(raw, tmp_path / "out", PrepareOptions(strict=True))
    assert time.monotonic() - started < 2
    assert "10 problems (10 too few points), refused as --strict asks" in str(error.value)
    for i in range(0, 100, 10):
        assert f"micrograph_{i:02d}.json, shapes[1]" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_strict_refuses_a_picture_that_cannot_be_decoded(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    tifffile.imwrite(raw / "cut.tif", picture(50))
    (raw / "cut.tif").write_bytes((raw / "cut.tif").read_bytes()[:-500])
    write_labelme(raw, "cut", [shape(square(2, 2))], imagePath="cut.tif")
    with pytest.raises(DatasetError, match=r"cut\.tif: unreadable image"):
        prepare(raw, tmp_path / "out", PrepareOptions(strict=True))
    assert [problem.kind for problem in prepare(raw, tmp_path / "out").problems] == [
        Kind.UNREADABLE_IMAGE
    ]


def test_a_clean_set_is_prepared_strictly(tmp_path: Path) -> None:
    assert (
        prepare(
            labelme_set(tmp_path / "raw"), tmp_path / "out", PrepareOptions(strict=True)
        ).problems
        == ()
    )


def test_nothing_usable_is_refused_with_the_reasons(tmp_path: Path) -> None:
    write_picture(tmp_path / "raw" / "a.png", 0)
    write_labelme(tmp_path / "raw", "a", [shape([[1, 1], [2, 2]])])
    with pytest.raises(DatasetError, match=r"got none: 1 problem \(1 too few points\):\n  a\.json"):
        prepare(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "cocoo"}, "--format: expected one of .* did you mean coco"),
        ({"splits": (0.7, 0.2, 0.2)}, "--splits: expected the shares"),
        ({"group": "("}, "--group: expected a regular expression"),
        ({"classes": ["a", "a"]}, "--classes: expected different, non-empty names, got a more"),
        ({"classes": []}, "--classes: expected different"),
        ({"classes": ["pore"]}, r"--classes: .* which has grain \(\d+ objects\); got pore"),
        ({"classes": ["grian"]}, "got grian; did you mean grain"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    raw = labelme_set(tmp_path / "raw")
    with pytest.raises(DatasetError, match=words):
        prepare(raw, tmp_path / "out", PrepareOptions(**options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("Powder", "Satelite"),
            "also has Satellite (1 object); got Satelite; did you mean Satell",
        ),
        (("Powder", "satellite"), "got satellite; did you mean Satellite?"),
        (("Powder", "dust"), ""),
        (("Powder",), ""),
        (("Powder", "Satellite", "dust"), ""),
    ],
)
def test_a_misspelt_class_is_refused_and_one_without_objects_is_not(
    asked: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for seed, name in enumerate("abc"):
        write_picture(tmp_path / "raw" / f"{name}.png", seed)
        shapes = [shape(square(2, 2), "Powder")]
        shapes += [shape(square(20, 20), "Satellite")] if name == "a" else []
        write_labelme(tmp_path / "raw", name, shapes)
    options = PrepareOptions(classes=asked)
    if said:
        with pytest.raises(DatasetError, match=re.escape(said)):
            prepare(tmp_path / "raw", tmp_path / "out", options)
        assert not (tmp_path / "out").exists()
    else:
        assert prepare(tmp_path / "raw", tmp_path / "out", options).data.classes == asked


def test_classes_that_differ_in_their_numbers_alone_are_no_misspellings(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        write_picture(tmp_path / "raw" / f"{name}.png", seed)
        shapes = [shape(square(2, 2), "class_1"), shape(square(20, 20), "class_2")]
        write_labelme(tmp_path / "raw", name, shapes)
    options = PrepareOptions(classes=("class_1", "class_3"))
    assert prepare(tmp_path / "raw", tmp_path / "out", options).data.classes == options.classes


def test_classes_of_a_format_without_classes_are_refused_with_the_way_to_name_its_objects(
    tmp_path: Path,
) -> None:
    (tmp_path / "raw" / "labels").mkdir(parents=True)
    for seed, name in enumerate("abc"):
        write_picture(tmp_path / "raw" / "images" / f"{name}.png", seed)
        labels = np.zeros((48, 64), np.uint8)
        labels[3:9, 3:9], labels[20:30, 20:30] = 1, 2
        assert cv2.imwrite(str(tmp_path / "raw" / "labels" / f"{name}.png"), labels)
    said = (
        "which has object (6 objects); got nucleus, dust; masks has no classes, and a single name"
    )
    with pytest.raises(DatasetError, match=re.escape(said)):
        prepare(tmp_path / "raw", tmp_path / "out", PrepareOptions(classes=("nucleus", "dust")))
    named = PrepareOptions(classes=("nucleus",))
    assert prepare(tmp_path / "raw", tmp_path / "out", named).data.classes == ("nucleus",)


def test_the_raw_folder_is_never_written_to(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    before = _files(tmp_path)
    for out in (raw, raw / "out", raw / "a" / ".." / "out"):
        with pytest.raises(DatasetError, match="outside the raw data"):
            prepare(raw, out, force=True)
    with pytest.raises(DatasetError, match="holds the raw data"):
        prepare(raw, tmp_path, force=True)
    assert _files(tmp_path) == before


def test_a_folder_that_is_no_prepared_set_is_never_replaced(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="something else here"):
        prepare(raw, tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_prepared_set_is_replaced_only_by_force(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    before = prepare(raw, tmp_path / "out").data.fingerprint
    with pytest.raises(DatasetError, match="--force replaces it"):
        prepare(raw, tmp_path / "out", PrepareOptions(seed=1))
    assert PreparedDataset.load(tmp_path / "out").fingerprint == before
    assert (
        prepare(raw, tmp_path / "out", PrepareOptions(seed=1), force=True).data.fingerprint
        != before
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_a_failed_run_leaves_the_older_set_as_it_was(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    prepare(raw, tmp_path / "out")
    before = _files(tmp_path / "out")

    def fail(stage: str, done: int, total: int) -> None:
        if stage == "drawing contact sheets":
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        prepare(raw, tmp_path / "out", PrepareOptions(seed=1), force=True, progress=fail)
    assert _files(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_two_runs_into_one_folder_are_not_mixed(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    with locked(tmp_path / "out"), pytest.raises(FolderError, match="another process is writing"):
        prepare(raw, tmp_path / "out")
    assert prepare(raw, tmp_path / "out").problems == ()


KILLED = """
import os, signal, sys
from pathlib import Path
from trainables.datasets.preparing import prepare as module
from trainables.files import whole as publishing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

moment, raw, out = sys.argv[1:]
progress = None
if moment == "while converting":
    progress = lambda stage, done, total: die() if done == 3 else None
elif moment == "before the manifest":
    module.writing.write_manifest = die
elif moment == "between the renames":
    rename = Path.rename
    Path.rename = lambda path, to: die() if ".new-" in path.name else rename(path, to)
elif moment == "before the old one is deleted":
    rmtree = publishing.shutil.rmtree
    publishing.shutil.rmtree = lambda to, **how: die() if ".old-" in to.name else rmtree(to, **how)
options = module.PrepareOptions(seed=1)
module.prepare(Path(raw), Path(out), options, force=True, progress=progress)
"""


@pytest.mark.parametrize(
    "moment",
    [
        "while converting",
        "before the manifest",
        "between the renames",
        "before the old one is deleted",
    ],
)
def test_a_killed_run_never_loses_or_mixes_prepared_sets(moment: str, tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    old = prepare(raw, tmp_path / "out").data.fingerprint
    command = [sys.executable, "-c", KILLED, moment, str(raw), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    if moment != "between the renames":
        data = PreparedDataset.load(tmp_path / "out")
        assert (data.fingerprint == old) == (moment != "before the old one is deleted")
        assert sum(len(data.images(split)) for split in SPLITS) == 6
    with locked(tmp_path / "out"):  # what any next run does first
        mended = PreparedDataset.load(tmp_path / "out")
        assert all(data.path.is_file() for split in SPLITS for data in mended.images(split))
    assert prepare(raw, tmp_path / "out", force=True).data.fingerprint == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_progress_is_told_stage_by_stage(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prepare(
        labelme_set(tmp_path / "raw"), tmp_path / "out", progress=lambda *step: told.append(step)
    )
    assert [step for step in told if step[0] == "converting pictures"][-1][1:] == (6, 6)
    assert told[-1] == ("done", 1, 1)


def test_a_prepared_set_is_cheap_to_send_to_another_process(powder: PrepareReport) -> None:
    data = powder.data
    assert len(data.annotations(data.images("train")[0])) > 10
    sent = pickle.dumps(data)
    assert len(sent) < 10_000
    assert pickle.loads(sent).images("val") == data.images("val")
