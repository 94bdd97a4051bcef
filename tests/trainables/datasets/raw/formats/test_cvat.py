"""CVAT's XML for images: outlines, masks, groups, boxes among them; boxes alone and tracks."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import write_picture
from trainables.datasets import geometry
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

POLYGON = '<polygon label="grain" points="4,6;14,6;14,16;4,16" {more}/>'
BOX = '<box label="grain" xtl="20" ytl="10" xbr="30" ybr="14"{more}/>'


def _write(folder: Path, *pictures: str, head: str = "") -> Path:
    """One `image` element of these shapes for each picture."""
    elements = []
    for i, shapes in enumerate(pictures):
        write_picture(folder / f"m{i}.png", i)
        elements.append(f'<image id="{i}" name="m{i}.png" width="64" height="48">{shapes}</image>')
    body = f"<version>1.1</version>{head}{''.join(elements)}"
    (folder / "annotations.xml").write_text(
        f"<?xml version='1.0'?><annotations>{body}</annotations>"
    )
    return folder


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _masks(data: RawData, number: int = 0) -> list[np.ndarray]:
    return [coco_mask.decode(item.rle) for item in data.images[number].objects]


def _filled(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


def test_polygons_ellipses_and_boxes_beside_them_are_objects(tmp_path: Path) -> None:
    ellipse = '<ellipse label="pore" cx="40" cy="30" rx="8" ry="4"/>'
    data = _read(_write(tmp_path, POLYGON.format(more=""), ellipse + BOX.format(more=""), ""))
    assert (data.format.name, data.problems) == ("cvat", ())
    assert data.classes == ("grain", "pore")
    assert [len(image.objects) for image in data.images] == [1, 2, 0]
    assert np.array_equal(_masks(data)[0], _filled(4, 6, 10, 10))
    oval, box = _masks(data, 1)
    assert oval.sum() == pytest.approx(np.pi * 8 * 4, abs=3)
    assert np.array_equal(box, _filled(20, 10, 10, 4))


def test_a_mask_is_run_lengths_row_by_row_in_its_box(tmp_path: Path) -> None:
    mask = '<mask label="grain" rle="1, 2, 2, 1, 1, 3, 2" left="60" top="3" width="4" height="3"/>'
    data = _read(_write(tmp_path, mask))
    expected = np.zeros((48, 64), np.uint8)
    expected[3:6, 60:64] = [[0, 1, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]]
    assert np.array_equal(_masks(data)[0], expected)


def test_a_mask_whose_runs_do_not_fill_its_box_is_a_problem(tmp_path: Path) -> None:
    mask = '<mask label="grain" rle="1, 2" left="0" top="0" width="4" height="3"/>'
    data = _read(_write(tmp_path, POLYGON.format(more=""), mask))
    assert [(p.object, p.kind) for p in data.problems] == [("m1.png, mask 0", Kind.MALFORMED)]
    assert "expected runs that add up to 4 x 3 = 12, got 3" in data.problems[0].reason
    assert [image.stem for image in data.images] == ["m0"]  # m1 is no negative


def test_a_box_is_turned_about_its_centre_and_a_group_is_one_object(tmp_path: Path) -> None:
    turned = BOX.format(more=' rotation="90"')
    parts = POLYGON.format(more='group_id="3"') + BOX.format(more=' group_id="3"')
    data = _read(_write(tmp_path, turned + POLYGON.format(more='group_id="0"'), parts))
    assert np.array_equal(_masks(data)[0], _filled(23, 7, 4, 10))
    assert [len(image.objects) for image in data.images] == [2, 1]
    both = _filled(4, 6, 10, 10) | _filled(20, 10, 10, 4)
    assert np.array_equal(_masks(data, 1)[0], both)


def test_subsets_are_parts_and_labels_give_the_order_of_classes(tmp_path: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("pore", "grain"))
    head = f"<meta><task><labels>{labels}</labels></task></meta>"
    pore = POLYGON.format(more="").replace("grain", "pore")
    folder = _write(tmp_path, POLYGON.format(more=""), pore, head=head)
    xml = folder / "annotations.xml"
    xml.write_text(xml.read_text().replace('id="1"', 'id="1" subset="Validation"'))
    data = _read(folder)
    assert data.classes == ("pore", "grain")
    assert [image.split for image in data.images] == [None, "val"]


def test_what_has_no_area_is_a_problem(tmp_path: Path) -> None:
    line = '<polyline label="grain" points="1,1;5,5"/>'
    data = _read(_write(tmp_path, POLYGON.format(more="") + line))
    assert [(p.object, p.kind) for p in data.problems] == [("m0.png, polyline 1", Kind.NO_OUTLINE)]


@pytest.mark.parametrize(
    ("shapes", "head", "reason"),
    [
        (BOX.format(more=""), "", "annotations.xml is CVAT's XML with boxes only"),
        ("", '<track id="0" label="grain"/>', "of a video, whose tracks are not read"),
        ("", "", "without a shape that has an area"),
    ],
    ids=["boxes", "tracks", "nothing"],
)
def test_files_without_outlines_are_refused_for_what_they_are(
    tmp_path: Path, shapes: str, head: str, reason: str
) -> None:
    with pytest.raises(DatasetError, match=reason):
        _read(_write(tmp_path, shapes, head=head))


def test_a_broken_xml_file_is_named(tmp_path: Path) -> None:
    folder = _write(tmp_path, POLYGON.format(more=""))
    (folder / "annotations.xml").write_text("<annotations><image>")
    with pytest.raises(DatasetError, match=r"1 file cannot be read: annotations\.xml"):
        _read(folder)


def test_geometry_is_the_same_as_that_of_other_formats(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, POLYGON.format(more="")))
    (item,) = data.images[0].objects
    square = geometry.rectangle(4, 6, 14, 16)
    assert item.rle is not None
    assert item.rle["counts"] == geometry.encode_polygons([square], [], 64, 48)["counts"]
