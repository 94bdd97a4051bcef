"""Pascal VOC: corners by hand, pictures of files that were renamed, lists of parts, a real set."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.raw_samples import real_data, write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

EDGES = ("xmin", "ymin", "xmax", "ymax")

BOX = (4.0, 6.0, 30.0, 26.0)


def entry(box: tuple[float, ...], label: str = "grain", tag: str = "bndbox", more: str = "") -> str:
    edges = "".join(f"<{name}>{value:g}</{name}>" for name, value in zip(EDGES, box, strict=True))
    return f"<object><name>{label}</name>{more}<{tag}>{edges}</{tag}></object>"


def write(folder: Path, stem: str, objects: str, filename: str = "", size: str = "64 48") -> None:
    """Write an XML file into `Annotations`; `filename` is the picture's name by default."""
    width, height = size.split()
    file = folder / "Annotations" / f"{stem}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f"<annotation><filename>{filename or stem + '.png'}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>1</depth></size>{objects}</annotation>"
    )


def read(folder: Path, n: int = 2) -> RawData:
    for i in range(n):
        write_picture(folder / "JPEGImages" / f"m{i}.png", i)
    return read_raw(folder, format_name=None, classes=None)


def test_corners_are_the_edges_of_a_box_and_no_mask_is_made_of_it(tmp_path: Path) -> None:
    write(tmp_path, "m0", entry(BOX) + entry((40, 10, 52.5, 20), "pore"))
    write(tmp_path, "m1", "")
    data = read(tmp_path)
    assert (data.format.name, data.problems, data.classes) == ("voc", (), ("grain", "pore"))
    first, negative = data.images
    assert [item.box for item in first.objects] == [BOX, (40, 10, 52.5, 20)]
    assert [item.rle for item in first.objects] == [None, None]
    assert (negative.objects, negative.labelled) == ([], True)


@pytest.mark.parametrize(
    ("objects", "kind", "reason"),
    [
        (entry((30, 6, 4, 26)), Kind.MALFORMED, r"upper left.*got \(30, 6\) and \(4, 26\)"),
        (entry((0, 0, 0, 0)), Kind.ZERO_SIZE, "the box is 0 x 0 pixels"),
        (entry((70, 6, 90, 26)), Kind.OUTSIDE, "wholly outside the picture of 64 x 48"),
        (entry((50, 6, 90, 26)), Kind.PARTLY_OUTSIDE, "reaches 26 pixels beyond"),
        (entry(BOX, tag="robndbox"), Kind.ORIENTED_BOX, "a robndbox is turned"),
        ("<object><name>grain</name></object>", Kind.MALFORMED, "no bndbox"),
        (entry(BOX).replace("<ymax>26", "<ymax>"), Kind.MALFORMED, "its bndbox has no ymax"),
        (entry(BOX).replace(">26<", ">many<"), Kind.MALFORMED, "could not convert"),
        (entry(BOX).replace(">26<", ">inf<"), Kind.MALFORMED, "NaN or infinity"),
        (entry(BOX, label=""), Kind.UNKNOWN_LABEL, "expected a class name"),
        (entry(BOX) * 2, Kind.OBJECT_TWICE, r"the class and the box of .*object\[1\]"),
    ],
)
def test_what_is_no_box_is_a_problem(tmp_path: Path, objects: str, kind: Kind, reason: str) -> None:
    write(tmp_path, "m0", entry((1, 1, 9, 9)) + objects)
    data = read(tmp_path, 1)
    (problem,) = data.problems
    assert problem.kind is kind
    with pytest.raises(ValueError, match=reason):
        raise ValueError(problem.reason)
    last = data.images[0].objects[-1].box
    assert last == {Kind.PARTLY_OUTSIDE: (50, 6, 64, 26), Kind.OBJECT_TWICE: BOX}.get(
        kind, (1, 1, 9, 9)
    )


def test_only_turned_boxes_are_refused_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "m0", entry(BOX, tag="robndbox"))
    with pytest.raises(DatasetError, match="oriented box: a robndbox is turned; boxes lie along"):
        read(tmp_path)


def test_a_file_is_about_the_picture_of_its_own_name_and_a_renamed_one_is_told(
    tmp_path: Path,
) -> None:
    write(tmp_path, "m0", entry(BOX), filename="m1.png")
    write(tmp_path, "m1", entry((2, 2, 9, 9)), filename="BloodImage_7.jpg")
    data = read(tmp_path)
    assert [image.objects[0].box for image in data.images] == [BOX, (2, 2, 9, 9)]
    (warning,) = data.warnings
    assert "1 file names another picture that is here, too, the first is" in warning


def test_pictures_of_one_name_lie_in_folders_as_their_files_do(tmp_path: Path) -> None:
    for seed, day in enumerate(("one", "two")):
        write_picture(tmp_path / "JPEGImages" / day / "m.png", seed)
        write(tmp_path, f"{day}/m", entry((seed, 1, 9, 9)), filename="m.png")
    data = read_raw(tmp_path, format_name=None, classes=None)
    found = {str(image.file): image.objects[0].box for image in data.images}
    assert found == {"JPEGImages/one/m.png": (0, 1, 9, 9), "JPEGImages/two/m.png": (1, 1, 9, 9)}


def test_a_picture_of_another_size_or_that_is_missing_loses_its_boxes(tmp_path: Path) -> None:
    write(tmp_path, "m0", entry(BOX), size="640 480")
    write(tmp_path, "m1", entry(BOX), size="0 0")
    write(tmp_path, "gone", entry(BOX) * 2)
    data = read(tmp_path)
    assert Counter(p.kind for p in data.problems) == {Kind.SIZE_DIFFERS: 1, Kind.MISSING_IMAGE: 1}
    assert {p.n_objects for p in data.problems} == {1, 2}
    assert [image.stem for image in data.images] == ["m1"]


def test_lists_of_parts_are_the_parts(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path, f"m{i}", entry(BOX))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    parts = {"train": "m0\nm1\n", "val": "m2\n", "test": "m3\n", "grain_train": "m0 1\nm1 -1\n"}
    for name, text in parts.items():
        (lists / f"{name}.txt").write_text(text)
    data = read(tmp_path, 4)
    assert [image.split for image in data.images] == ["train", "train", "val", "test"]


@pytest.mark.slow
def test_blood_cells_are_prepared_whole(tmp_path: Path) -> None:
    report = prepare(real_data("bccd"), tmp_path / "out")
    total = Counter[str]()
    for objects in report.data.objects().values():
        total.update(objects)
    assert total == {"RBC": 2093, "WBC": 187, "Platelets": 179}
    assert sum(report.data.counts().values()) == 182
    (problem,) = report.problems  # the box of zero size that its README tells of
    assert (problem.file, problem.kind) == ("Annotations/BloodImage_00343.xml", Kind.ZERO_SIZE)
    assert report.data.boxes_only
