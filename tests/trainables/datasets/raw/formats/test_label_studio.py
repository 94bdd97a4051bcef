"""Label Studio's exports: shapes in per cent, brush masks, cancelled and missing annotations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

POINTS: list[list[float]] = [
    [12.5, 25],
    [50, 25],
    [50, 75],
    [12.5, 75],
]


def _region(kind: str, **value: Any) -> dict[str, Any]:
    shape = {**value, kind: ["grain"]}
    return {"id": kind, "type": kind, "original_width": 64, "original_height": 48, "value": shape}


def _task(number: int, *annotations: list[Any], name: str = "") -> dict[str, Any]:
    return {
        "id": number,
        "data": {"image": name or f"/data/upload/1/3f2a1b9c-m{number}.png"},
        "annotations": [{"result": result, "was_cancelled": False} for result in annotations],
    }


def _write(folder: Path, *tasks: Any, n: int = 3) -> Path:
    for i in range(n):
        write_picture(folder / f"m{i}.png", i)
    (folder / "project.json").write_text(json.dumps(tasks))
    return folder


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _mask(data: RawData, number: int = 0) -> Any:
    return coco_mask.decode(data.images[0].objects[number].rle)


def _filled(x: int, y: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    mask = np.zeros((48, 64), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


def test_outlines_are_per_cent_of_the_picture(tmp_path: Path) -> None:
    polygon = _region("polygonlabels", points=POINTS)
    box = _region("rectanglelabels", x=50, y=50, width=25, height=25)
    oval = _region("ellipselabels", x=50, y=50, radiusX=25, radiusY=12.5)
    data = _read(_write(tmp_path, _task(0, [polygon, box, oval]), _task(1, [])))
    assert (data.format.name, data.problems, data.classes) == ("label-studio", (), ("grain",))
    assert [len(image.objects) for image in data.images] == [3, 0]
    assert np.array_equal(_mask(data), _filled(8, 12, 24, 24))
    assert np.array_equal(_mask(data, 1), _filled(32, 24, 16, 12))
    assert _mask(data, 2).sum() == pytest.approx(np.pi * 16 * 6, abs=4)


def test_a_rectangle_is_turned_about_its_corner(tmp_path: Path) -> None:
    box = _region("rectanglelabels", x=50, y=25, width=25, height=25, rotation=90)
    data = _read(_write(tmp_path, _task(0, [box, _region("polygonlabels", points=POINTS)])))
    assert np.array_equal(_mask(data), _filled(20, 12, 12, 16))


def _packed(mask: npt.NDArray[np.uint8]) -> list[int]:
    """A mask as Label Studio packs it: RGBA, each run of equal numbers with its length in 8 bits.

    Written from its description and not from our reader: 32 bits, 5, four of 4, then the runs.
    """
    numbers = np.repeat(mask.ravel() * 255, 4)
    bits = f"{len(numbers):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        for first in range(start, end, 256):
            bits += f"1{2:02b}{min(256, end - first) - 1:08b}{numbers[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_a_brush_mask_is_read_pixel_by_pixel(tmp_path: Path) -> None:
    mask = (np.random.default_rng(0).random((48, 64)) > 0.7).astype(np.uint8)
    data = _read(
        _write(tmp_path, _task(0, [_region("brushlabels", format="rle", rle=_packed(mask))]))
    )
    assert np.array_equal(_mask(data), mask)


def test_a_brush_mask_that_ends_early_is_a_problem(tmp_path: Path) -> None:
    rle = _packed(np.ones((48, 64), np.uint8))[:-9]
    brush = _region("brushlabels", format="rle", rle=rle)
    data = _read(_write(tmp_path, _task(0, [brush, _region("polygonlabels", points=POINTS)])))
    assert [(p.kind, p.reason) for p in data.problems] == [
        (Kind.MALFORMED, "the run lengths end early")
    ]


def test_the_class_may_stand_in_a_region_of_the_same_id(tmp_path: Path) -> None:
    shape = _region("polygon", points=POINTS) | {"id": "a"}
    label = {"id": "a", "type": "labels", "value": {"labels": ["pore"], "points": POINTS}}
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    data = _read(_write(tmp_path, _task(0, [shape, label, choice])))
    assert [item.label for item in data.images[0].objects] == ["pore"]
    assert data.problems == ()


def test_a_task_nobody_annotated_is_no_negative_and_the_last_annotation_counts(
    tmp_path: Path,
) -> None:
    polygon = _region("polygonlabels", points=POINTS)
    twice = _task(1, [polygon], [polygon, _region("rectanglelabels", x=0, y=0, width=9, height=9)])
    cancelled = _task(2, [polygon])
    cancelled["annotations"][0]["was_cancelled"] = True
    data = _read(_write(tmp_path, _task(0), twice, cancelled))
    assert [(image.stem, len(image.objects)) for image in data.images] == [("m1", 2)]
    assert any("2 tasks have no annotation" in note for note in data.notes)
    assert any("1 task has several annotations, the first is task 1" in w for w in data.warnings)


def test_the_flat_export_is_read_too(tmp_path: Path) -> None:
    tasks: list[Any] = [
        {
            "id": i,
            "annotator": 1,
            "image": f"/data/local-files/?d=pictures%2Fm{i}.png",
            "label": [
                {"points": POINTS, "polygonlabels": [name], "original_width": 64}
                for name in ("grain", "pore")[: i + 1]
            ],
        }
        for i in range(2)
    ]
    half = [[x / 2, y] for x, y in POINTS]
    tasks[1]["label"][1]["points"] = half
    data = _read(_write(tmp_path, *tasks))
    assert data.problems == ()
    labels = [[item.label for item in image.objects] for image in data.images]
    assert labels == [["grain"], ["grain", "pore"]]
    assert np.array_equal(_mask(data), _filled(8, 12, 24, 24))


def test_a_project_of_boxes_or_points_is_refused(tmp_path: Path) -> None:
    regions = [
        _region("rectanglelabels", x=0, y=0, width=9, height=9),
        _region("keypointlabels", x=5, y=5, width=0.3),
    ]
    with pytest.raises(DatasetError, match="is Label Studio's, with boxes or points"):
        _read(_write(tmp_path, _task(0, regions)))


def test_a_point_among_outlines_is_a_problem(tmp_path: Path) -> None:
    point = _region("keypointlabels", x=5, y=5, width=0.3)
    data = _read(_write(tmp_path, _task(0, [_region("polygonlabels", points=POINTS), point])))
    assert [(p.object, p.kind) for p in data.problems] == [("task 0, region 1", Kind.NO_OUTLINE)]
