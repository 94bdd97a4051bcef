"""JSON lines of boxes: fractions by hand, negatives, sequences, folders with equal names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

KEYS = tuple(f"{axis}_{end}_normalized" for end in ("min", "max") for axis in ("x", "y"))


def box(corners: Sequence[Any] = (0.25, 0.5, 0.75, 1.0), label: str = "grain") -> dict[str, Any]:
    return {"annotation_label": label, **dict(zip(KEYS, corners, strict=True))}


def line(path: str, *boxes: Mapping[str, Any], sequence: str = "") -> dict[str, Any]:
    labels = [{"annotation_label": f"sequence_{sequence}"}] if sequence else []
    return {
        "image_path": path,
        "bounding_box_annotations": list(boxes),
        "classification_annotations": [{"annotation_label": "good"}, *labels],
    }


def read(folder: Path, lines: Sequence[Any], classes: tuple[str, ...] | None = None) -> RawData:
    """Read lines; the pictures of those that are right are drawn."""
    for seed, entry in enumerate(lines):
        if isinstance(entry, dict) and "gone" not in entry["image_path"]:
            write_picture(folder / entry["image_path"], seed)
    text = [entry if isinstance(entry, str) else json.dumps(entry) for entry in lines]
    (folder / "dataset.jsonl").write_text("\n".join(text) + "\n")
    return read_raw(folder, format_name=None, classes=classes)


def test_fractions_become_pixels_and_an_empty_list_is_a_negative(tmp_path: Path) -> None:
    bare = {"image_path": "data/c.png"}
    data = read(tmp_path, [line("data/a.png", box()), line("data/b.png"), bare])
    assert (data.format.name, data.problems) == ("jsonl", ())
    assert data.images[0].objects[0].box == (16, 24, 48, 48)
    assert [len(image.objects) for image in data.images] == [1, 0, 0]
    assert any(
        "1 line has no bounding_box_annotations: taken as negatives" in n for n in data.notes
    )


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), None])
def test_classes_have_the_order_that_is_asked_for_or_that_of_their_names(
    tmp_path: Path, order: tuple[str, ...] | None
) -> None:
    boxes = [box((0.1, 0.1, 0.3, 0.3), "b"), box((0.5, 0.5, 0.9, 0.9), "a")]
    data = read(tmp_path, [line("data/m.png", *boxes)], order)
    assert data.classes == (order or ("a", "b"))
    assert [item.label for item in data.images[0].objects] == ["b", "a"]


def test_pictures_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    boxes = [box((0.1, 0.1, 0.3, 0.3)), box((0.5, 0.5, 0.9, 0.9))]
    lines = [line(f"data/{day}/m.png", b) for day, b in zip(("one", "two"), boxes, strict=True)]
    data = read(tmp_path, lines)
    assert data.problems == ()
    found = {str(image.file): image.objects[0].box for image in data.images}
    assert found["data/one/m.png"] == pytest.approx((6.4, 4.8, 19.2, 14.4))
    assert found["data/two/m.png"] == pytest.approx((32, 24, 57.6, 43.2))


def test_frames_of_a_sequence_are_never_in_two_parts(tmp_path: Path) -> None:
    lines = [line(f"data/f{i}.png", box(), sequence=f"{i % 4}--camera{i}") for i in range(12)]
    data = read(tmp_path / "raw", lines)
    assert {image.group for image in data.images} == {f"sequence_{i}" for i in range(4)}
    report = prepare(tmp_path / "raw", tmp_path / "out", PrepareOptions(splits=(0.5, 0.25, 0.25)))
    groups = report.data.manifest["groups"]
    assert set(groups) == {f"sequence_{i}" for i in range(4)}
    assert [len(parts) for parts in groups.values()] == [1] * 4
    assert report.grouping.by.startswith("the annotations' own groups")


def test_what_is_wrong_is_left_out_line_by_line_and_makes_no_negative(tmp_path: Path) -> None:
    wrong = [
        line("data/a.png", box((0.5, 0.5, 0.25, 0.75))),
        line("data/b.png", box(("x", 0, 1, 1))),
        line("data/gone.png", box()),
        line("data/d.png", box(label="")),
        '{"image_path": "data/e.png", ',
        "[1, 2]",
        {"image_path": "data/g.png", "bounding_box_annotations": {"a": 1}},
    ]
    data = read(tmp_path, [line("data/z.png", box()), *wrong])
    assert [image.stem for image in data.images] == ["z"]
    kinds = [(problem.object.split(",")[0], problem.kind) for problem in data.problems]
    assert kinds == [
        ("line 2", Kind.MALFORMED),
        ("line 3", Kind.MALFORMED),
        ("line 4", Kind.MISSING_IMAGE),
        ("line 5", Kind.UNKNOWN_LABEL),
        ("line 6", Kind.MALFORMED),
        ("line 7", Kind.MALFORMED),
        ("line 8", Kind.MALFORMED),
    ]


def test_a_picture_of_two_lines_is_left_out(tmp_path: Path) -> None:
    lines = [line("data/a.png", box()), line("data/a.png"), line("data/b.png", box())]
    data = read(tmp_path, lines)
    assert [problem.kind for problem in data.problems] == [Kind.ANNOTATED_TWICE]
    assert [image.stem for image in data.images] == ["b"]


def test_pixels_where_fractions_must_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"got numbers up to 48 in 1 of 1 box: are they pixels"):
        read(tmp_path, [line("data/a.png", box((16, 24, 48, 48)))])
