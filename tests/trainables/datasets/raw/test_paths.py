"""Pictures that are here while their path in the annotation file is of another machine."""

import base64
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.raw_samples import (
    labelme_set,
    picture,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw
from trainables.datasets.raw.spelling import composed, spellings

Write = Callable[[Path, list[str]], None]


def _read(folder: Path, **options: Any) -> RawData:
    sizes = particle_size("4px", None)
    return read_raw(folder, **{"format_name": None, "classes": None, "sizes": sizes} | options)


def _objects(data: RawData) -> dict[str, int]:
    return {str(image.file): len(image.objects) for image in data.images if image.labelled}


# --- each format that names pictures


def _coco(raw: Path, paths: list[str]) -> None:
    corners = [value for point in square(5, 5) for value in point]
    objects = [
        {"image_id": i, "category_id": 1, "segmentation": [corners]}
        for i in range(1, len(paths) + 1)
    ]
    write_coco(raw / "all.json", paths, objects)


def _labelme(raw: Path, paths: list[str]) -> None:
    for i, path in enumerate(paths):
        write_labelme(raw, f"ann_{i}", [shape(square(5, 5))], imagePath=path)


def _superannotate(raw: Path, paths: list[str]) -> None:
    corners = [value for point in square(5, 5) for value in point]
    for i, path in enumerate(paths):
        instance = {"className": "grain", "type": "polygon", "points": corners}
        document = {"metadata": {"name": path}, "instances": [instance]}
        (raw / f"ann_{i}.json").write_text(json.dumps(document))


def _via(raw: Path, paths: list[str]) -> None:
    region = {"shape_attributes": {"name": "circle", "cx": 20, "cy": 20, "r": 6}}
    entries = {f"{path}123": {"filename": path, "regions": [region]} for path in paths}
    (raw / "via.json").write_text(json.dumps(entries))


def _coordinates(raw: Path, paths: list[str]) -> None:
    (raw / "all.json").write_text(json.dumps({path: [[20, 20]] for path in paths}))


def _csv(raw: Path, paths: list[str]) -> None:
    rows = "".join(f"{path},20,20\n" for path in paths)
    (raw / "all.csv").write_text(f"image_name,x,y\n{rows}")


def _star(raw: Path, paths: list[str]) -> None:
    rows = "".join(f"'{path}' 20 20\n" for path in paths)
    labels = "_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    (raw / "all.star").write_text(f"data_particles\n\nloop_\n{labels}{rows}\n")


WRITERS: dict[str, Write] = {
    "coco": _coco,
    "labelme": _labelme,
    "superannotate": _superannotate,
    "via": _via,
    "coordinates": _coordinates,
    "csv": _csv,
    "star": _star,
}

PATHS = {
    "a parent folder of Windows": "..\\images\\{}",
    "a drive": "C:\\Users\\me\\scans\\{}",
    "a share": "\\\\server\\lab\\scans\\{}",
    "a home": "/home/somebody/scans/{}",
    "a URL": "file:///D:/scans/{}",
    "a folder that is not here": "scans/2024/{}",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("name", WRITERS)
def test_the_name_decides_where_the_path_is_of_another_machine(
    name: str, path: str, tmp_path: Path
) -> None:
    pictures = [write_picture(tmp_path / f"p{i}.png", seed=i) for i in range(3)]
    WRITERS[name](tmp_path, [path.format(picture.name) for picture in pictures])
    data = _read(tmp_path)
    assert data.format.name == name
    assert data.problems == ()
    assert _objects(data) == {"p0.png": 1, "p1.png": 1, "p2.png": 1}


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("Größe 1.png", "Gr%C3%B6%C3%9Fe%201.png"),
        ("Größe 1.png", "Gr%F6%DFe%201.png"),
        ("Größe.png", unicodedata.normalize("NFD", "Größe.png")),
        (unicodedata.normalize("NFD", "Größe.png"), "Größe.png"),
        ("100%25.png", "100%25.png"),
    ],
    ids=["percent-encoded", "percent-encoded Latin-1", "decomposed", "composed", "as written"],
)
@pytest.mark.parametrize("name", WRITERS)
def test_one_name_in_another_spelling_is_the_picture(
    name: str, there: str, written: str, tmp_path: Path
) -> None:
    write_picture(tmp_path / there, seed=1)
    WRITERS[name](tmp_path, [written])
    data = _read(tmp_path)
    assert data.problems == ()
    assert _objects(data) == {there: 1}


def test_label_files_and_masks_find_pictures_of_the_same_letters(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Größe")
    write_picture(tmp_path / "images" / f"{name}.png", seed=1)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / f"{composed(name)}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    assert _objects(_read(tmp_path)) == {f"images/{name}.png": 1}


def test_lists_of_parts_name_pictures_by_paths_of_another_machine(tmp_path: Path) -> None:
    for i in range(2):
        write_picture(tmp_path / f"p{i}.png", seed=i)
        (tmp_path / f"p{i}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (tmp_path / "train.txt").write_text("C:\\data\\p0.png\n")
    (tmp_path / "val.txt").write_text("../x/p1.png\n")
    data = _read(tmp_path)
    assert data.problems == ()
    assert {image.stem: image.split for image in data.images} == {"p0": "train", "p1": "val"}


@pytest.mark.parametrize("name", ["D:\\set\\p0.png", "/mnt/set/p0.png", "p0.png", "P%C3%B6.png"])
def test_a_file_of_parts_names_pictures_in_any_spelling(name: str, tmp_path: Path) -> None:
    file = "Pö.png" if "%" in name else "p0.png"
    for i, name_of_one in enumerate([file, "b.png"]):
        write_picture(tmp_path / name_of_one, seed=i)
        write_labelme(tmp_path, Path(name_of_one).stem, [shape(square(5, 5))])
    rows = f"Picture;Split\r\n{name};train\r\nb.png;val\r\n"
    (tmp_path / "splits.csv").write_text(rows, encoding="utf-8-sig", newline="")
    data = _read(tmp_path)
    assert data.problems == ()
    assert {image.file.name: image.split for image in data.images} == {
        file: "train",
        "b.png": "val",
    }


def test_a_picture_in_two_parts_of_the_users_file_is_refused(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    parts = {"train": ["micrograph_00", "micrograph_01"], "val": ["micrograph_01"]}
    (tmp_path / "splits.json").write_text(json.dumps(parts))
    with pytest.raises(DatasetError, match=r"got micrograph_01 in train and in val"):
        _read(tmp_path)


def test_the_note_says_which_paths_lead_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "p0.png", seed=0)
    write_labelme(tmp_path, "p0", [shape(square(5, 5))], imagePath="..\\images\\p0.png")
    note = next(note for note in _read(tmp_path).notes if "leads out" in note)
    assert note.startswith("1 path leads out of the folder")
    assert "p0.png for ..\\images\\p0.png" in note


def test_of_several_pictures_of_a_name_the_one_beside_its_own_file_is_meant(tmp_path: Path) -> None:
    for i, part in enumerate(["a", "b"]):
        write_picture(tmp_path / part / "p0.png", seed=i)
        shapes = [shape(square(5 + 3 * k, 5)) for k in range(i + 1)]
        write_labelme(tmp_path / part, "p0", shapes, imagePath="..\\..\\images\\p0.png")
    assert _objects(_read(tmp_path)) == {"a/p0.png": 1, "b/p0.png": 2}


def test_a_name_that_several_pictures_have_is_not_guessed(tmp_path: Path) -> None:
    for i, part in enumerate(["a", "b"]):
        write_picture(tmp_path / part / "p0.png", seed=i)
    write_picture(tmp_path / "q.png", seed=3)
    _coco(tmp_path, ["C:\\scans\\p0.png", "q.png"])
    data = _read(tmp_path)
    assert _objects(data) == {"q.png": 1}
    assert [problem.kind for problem in data.problems] == [Kind.LEAVES_FOLDER]


def test_the_last_folders_of_a_path_tell_pictures_of_one_name_apart(tmp_path: Path) -> None:
    for i, part in enumerate(["a", "b"]):
        write_picture(tmp_path / part / "p0.png", seed=i)
    _coco(tmp_path, ["C:\\scans\\a\\p0.png", "C:\\scans\\b\\p0.png"])
    assert _objects(_read(tmp_path)) == {"a/p0.png": 1, "b/p0.png": 1}


@pytest.mark.parametrize("name", ["coco", "labelme", "via", "coordinates", "csv", "star"])
def test_two_paths_that_lead_out_to_one_name_are_not_mixed(name: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "p0.png", seed=0)
    write_picture(tmp_path / "p1.png", seed=1)
    WRITERS[name](tmp_path, ["C:\\a\\p0.png", "C:\\b\\p0.png", "p1.png"])
    data = _read(tmp_path)
    assert _objects(data) == {"p1.png": 1}
    assert [problem.kind for problem in data.problems] == [Kind.ANNOTATED_TWICE]


def test_spellings_are_what_is_written_first() -> None:
    assert spellings("a%20b.png") == ["a%20b.png", "a b.png"]
    assert spellings("http://host:8080/data/a.png?x=1")[1] == "/data/a.png"


# --- the format is chosen by the pictures that are here


def test_a_foreign_coco_file_does_not_win_against_pictures_that_are_here(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=3)
    _coco(tmp_path, [f"elsewhere_{i}.png" for i in range(30)])
    data = _read(tmp_path)
    assert (data.format.name, data.problems) == ("labelme", ())
    assert "not read: coco (30 pictures, of which none is here)" in data.notes[0]


def test_a_foreign_cvat_file_does_not_win_either(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=3)
    outline = '<polygon label="grain" points="4,6;14,6;14,16;4,16"/>'
    images = "".join(f'<image name="x{i}.png">{outline}</image>' for i in range(30))
    (tmp_path / "job.xml").write_text(f"<annotations>{images}</annotations>")
    data = _read(tmp_path)
    assert (data.format.name, data.problems) == ("labelme", ())
    assert "not read: cvat (30 pictures, of which none is here)" in data.notes[0]


def test_a_foreign_label_studio_file_does_not_win_either(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=3)
    value = {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["grain"]}
    result = [{"type": "polygonlabels", "value": value}]
    tasks = [
        {"id": i, "data": {"image": f"/data/x{i}.png"}, "annotations": [{"result": result}]}
        for i in range(30)
    ]
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    assert _read(tmp_path).format.name == "labelme"


def test_of_two_formats_about_the_same_pictures_the_one_without_strangers_is_read(
    tmp_path: Path,
) -> None:
    labelme_set(tmp_path, n=3)
    _coco(tmp_path, [f"micrograph_0{i}.png" for i in range(9)])
    assert _read(tmp_path).format.name == "labelme"


# --- LabelMe


def _renumbered(raw: Path, n: int = 4) -> None:
    """Each file says the name that its picture had before the first one was deleted."""
    for i in range(n):
        write_picture(raw / f"m{i}.png", seed=i)
        shapes = [shape(square(2 + 12 * k, 2)) for k in range(i + 1)]
        write_labelme(raw, f"m{i}", shapes, imagePath=f"m{i + 1}.png")


def test_renumbered_labelme_files_are_about_the_pictures_of_their_own_names(tmp_path: Path) -> None:
    _renumbered(tmp_path)
    data = _read(tmp_path)
    assert data.problems == ()
    assert _objects(data) == {"m0.png": 1, "m1.png": 2, "m2.png": 3, "m3.png": 4}
    (warning,) = data.warnings
    assert warning.startswith("4 annotation files name another picture than the one whose name")
    assert "the first is m0.json: it says m1.png" in warning
    assert "Their 10 objects" in warning


def test_the_size_in_a_file_tells_which_of_two_pictures_it_is_about(tmp_path: Path) -> None:
    write_picture(tmp_path / "m0.png", seed=0, width=80)
    write_picture(tmp_path / "m1.png", seed=1)
    write_labelme(tmp_path, "m0", [shape(square(5, 5))], imagePath="m1.png")
    data = _read(tmp_path)
    assert _objects(data) == {"m1.png": 1}
    assert data.warnings == ()


def test_renumbered_files_apart_from_their_pictures_are_seen_too(tmp_path: Path) -> None:
    for i in range(2):
        write_picture(tmp_path / "images" / f"m{i}.png", seed=i)
    (tmp_path / "json").mkdir()
    shapes = [shape(square(5, 5))]
    write_labelme(tmp_path / "json", "m0", shapes, imagePath="../images/m1.png")
    data = _read(tmp_path)
    assert _objects(data) == {"images/m0.png": 1}
    assert "m0.json: it says ../images/m1.png" in data.warnings[0]


def test_renumbered_superannotate_files_are_seen_too(tmp_path: Path) -> None:
    for i in range(2):
        write_picture(tmp_path / f"m{i}.png", seed=i)
    _superannotate(tmp_path, ["m1.png"])
    (tmp_path / "ann_0.json").rename(tmp_path / "m0.png___objects.json")
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1}
    assert "m0.png___objects.json: it says m1.png" in data.warnings[0]


def test_a_name_with_something_behind_it_is_no_renumbering(tmp_path: Path) -> None:
    write_picture(tmp_path / "m0.png", seed=0)
    write_picture(tmp_path / "m0_raw.png", seed=1)
    write_labelme(tmp_path, "m0", [shape(square(5, 5))], imagePath="m0_raw.png")
    data = _read(tmp_path)
    assert _objects(data) == {"m0_raw.png": 1}
    assert data.warnings == ()


@pytest.mark.parametrize(
    "label",
    [
        *("__ignore__", "_background_", "ignore", "Ignored", "_ignore_", "ignore_region"),
        *("dontcare", "Don't care", "DO-NOT-CARE", "__void__"),
    ],
)
def test_what_labelme_wants_ignored_is_no_class(label: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "m0.png", seed=0)
    write_labelme(tmp_path, "m0", [shape(square(2, 2)), shape(square(30, 20), label)])
    data = _read(tmp_path)
    assert data.classes == ("grain",)
    assert _objects(data) == {"m0.png": 1}
    assert f"1 object is called {label}, which is no class" in data.warnings[0]
    assert "the first is shapes[1] of m0.json" in data.warnings[0]
    assert _read(tmp_path, classes=("grain", label)).classes == ("grain", label)


@pytest.mark.parametrize("label", ["void", "Background", "unlabeled"])
def test_a_name_that_may_be_no_class_is_asked_about(label: str, tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    write_picture(tmp_path / "m0.png", seed=9)
    write_labelme(tmp_path, "m0", [shape(square(2, 2)), shape(square(30, 20), label)])
    said = (
        f"m0.json: 1 object is called {label}, the first is shapes\\[1\\]: is it a class .* "
        f"--classes grain,{label} or --classes grain$"
    )
    with pytest.raises(DatasetError, match=said):
        _read(tmp_path)
    assert _read(tmp_path, classes=("grain", label)).classes == ("grain", label)
    without = _read(tmp_path, classes=("grain",))
    assert [problem.kind for problem in without.problems] == [Kind.UNKNOWN_LABEL]


def test_voids_alone_are_a_class_and_ignored_regions_alone_are_none(tmp_path: Path) -> None:
    write_picture(tmp_path / "m0.png", seed=0)
    write_labelme(tmp_path, "m0", [shape(square(2, 2), "void")])
    assert _read(tmp_path).classes == ("void",)
    write_labelme(tmp_path, "m0", [shape(square(2, 2), "ignore")])
    with pytest.raises(DatasetError, match=r"got none: what there is is called ignore \(1\), whi"):
        _read(tmp_path)


def test_a_picture_with_ignored_regions_alone_is_no_negative(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    write_picture(tmp_path / "m0.png", seed=9)
    write_labelme(tmp_path, "m0", [shape(square(2, 2), "__ignore__")])
    assert "m0.png" not in _objects(_read(tmp_path))


def _embed(raw: Path, i: int, head: str = "") -> bytes:
    picture = write_picture(raw / f"m{i}.png", seed=i)
    data = picture.read_bytes()
    text = head + base64.b64encode(data).decode()
    write_labelme(raw, f"m{i}", [shape(square(5, 5))], imageData=text)
    picture.unlink()
    return data


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_embedded_pictures_are_taken_out_of_labelme_files(head: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    pictures = {}
    for i in range(4):
        pictures[f"m{i}"] = _embed(raw, i, head)
    report = prepare(raw, tmp_path / "out")
    assert report.problems == ()
    assert any("4 pictures are taken out of the LabelMe files" in n for n in report.notes)
    assert not list(raw.glob("*.png"))
    for stem, data in pictures.items():
        expected = tmp_path / f"{stem}.png"
        expected.write_bytes(data)
        found = next((tmp_path / "out").glob(f"**/{stem}.png"))
        with Image.open(expected) as there, Image.open(found) as here:
            assert here.tobytes() == there.tobytes()


def test_a_picture_that_is_here_goes_before_the_embedded_one(tmp_path: Path) -> None:
    _embed(tmp_path, 0)
    write_picture(tmp_path / "m0.png", seed=5)
    data = _read(tmp_path)
    assert _objects(data) == {"m0.png": 1}
    (warning,) = data.warnings
    assert warning.startswith(
        "1 LabelMe file holds another picture (imageData) than the one that is here, the first is "
        "m0.json: its picture is not m0.png. The pictures that are here are taken with their 1 obj"
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_an_embedded_picture_of_another_contrast_or_compression_is_the_same(
    suffix: str, tmp_path: Path
) -> None:
    for seed in range(3):
        _embed(tmp_path, seed)
        light = np.linspace(0, 90, 64)[None]
        pixels = np.clip(picture(seed) * 0.5 + light, 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(tmp_path / f"m{seed}{suffix}"), pixels)
    data = _read(tmp_path)
    assert len(data.images) == 3
    assert data.warnings == ()


def test_what_is_embedded_and_no_picture_is_a_problem(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    write_labelme(tmp_path, "m0", [shape(square(5, 5))], imageData="AAAA")
    data = _read(tmp_path)
    assert [(p.file, p.kind) for p in data.problems] == [("m0.json", Kind.UNREADABLE_IMAGE)]


def test_a_picture_whose_name_differs_in_case_is_named(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", seed=0)
    _coco(tmp_path, ["A.PNG"])
    with pytest.raises(DatasetError, match=r"is a\.png, which differs in case or suffix"):
        _read(tmp_path)


@pytest.mark.parametrize("folder", ["labels", "masks"])
def test_labels_whose_names_differ_in_case_are_told(folder: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "a.png", seed=0)
    (tmp_path / folder).mkdir()
    if folder == "labels":
        (tmp_path / "labels" / "A.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
        said = r"the name of images/a\.png differs in case \(1 object left out\)"
    else:
        assert cv2.imwrite(str(tmp_path / "masks" / "A.png"), np.eye(48, 64))
        said = r"masks/A\.png and images/a\.png differ in case, so they are no pair: rename one"
    with pytest.raises(DatasetError, match=said):
        _read(tmp_path)


@pytest.mark.parametrize("beside", ["labels/m0.txt", "annotations.json", "masks/m0.png"])
def test_pictures_without_labels_point_to_the_folder_that_holds_both(
    beside: str, tmp_path: Path
) -> None:
    write_picture(tmp_path / "images" / "m0.png", seed=0)
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).touch()
    name = beside.partition("/")[0]
    said = f"1 picture and nothing else; beside it lies {name}: give the folder .*, {tmp_path}$"
    with pytest.raises(DatasetError, match=said):
        _read(tmp_path / "images")


def test_a_picture_of_a_kind_that_is_not_read_is_said_to_be_there(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    write_labelme(tmp_path, "m0", [shape(square(5, 5))], imagePath="m0.jp2")
    (tmp_path / "m0.jp2").write_bytes(b"picture")
    (problem,) = _read(tmp_path).problems
    assert problem.reason == "m0.jp2 is there, but .jp2 is not read as a picture"
    assert problem.n_objects == 1


def test_a_picture_that_is_there_but_packed_is_named(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=2)
    (tmp_path / "micrograph_01.png").rename(tmp_path / "micrograph_01.png.gz")
    (problem,) = _read(tmp_path).problems
    assert problem.reason == (
        "micrograph_01.png is not there, but packed: unpack micrograph_01.png.gz"
    )
    assert problem.n_objects == 2


# --- what spreadsheets and other users leave


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_of_a_spreadsheet_is_read_with_its_decimal_commas(
    separator: str, encoding: str, tmp_path: Path
) -> None:
    write_picture(tmp_path / "p0.png", seed=0)
    rows = [["Micrograph", "X", "Y"], ["C:\\lab\\p0.png", "12,5", "20,25"]]
    text = "".join(f"{separator.join(row)}\r\n" for row in rows)
    (tmp_path / "picks.csv").write_bytes(text.encode(encoding))
    data = _read(tmp_path)
    (disc,) = [item.disc for item in data.images[0].objects]
    assert disc is not None
    assert (disc.x, disc.y) == (12.5, 20.25)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_what_may_not_be_opened_is_told(tmp_path: Path) -> None:
    labelme_set(tmp_path, n=3)
    (tmp_path / "more").mkdir()
    (tmp_path / "more").chmod(0)
    (tmp_path / "micrograph_01.json").chmod(0)
    problems = {problem.file: problem.reason for problem in _read(tmp_path).problems}
    assert problems["more"] == "the folder cannot be opened: Permission denied"
    assert "Permission denied" in problems["micrograph_01.json"]
