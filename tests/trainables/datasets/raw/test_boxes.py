"""Boxes beside outlines, boxes that are asked for, and what a data set of boxes holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.raw_samples import labelme_set, write_coco, write_picture
from trainables.datasets.facts import data_facts
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.preparing.report import describe
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import read_raw
from trainables.datasets.records import NoMaskError
from trainables.datasets.views.grey import centers_of, object_mask, radii_of

N = 6

BOX = [4.0, 6.0, 20.0, 10.0]


def _write(folder: Path, *, outlines: int) -> Path:
    """COCO with a box in each picture; the first ones have an outline beside it."""
    names = [f"m{i}.png" for i in range(N)]
    for i, name in enumerate(names):
        write_picture(folder / name, i)
    objects: list[dict[str, Any]] = [
        {"image_id": i, "category_id": 1, "bbox": BOX} for i in range(1, N + 1)
    ]
    for entry in objects[:outlines]:
        entry["segmentation"] = [[4, 6, 24, 6, 4, 16]]
    write_coco(folder / "all.json", names, objects)
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("boxes")
    return prepare(_write(folder / "raw", outlines=0), folder / "out").data


def test_objects_with_a_box_alone_among_others_are_left_out_and_told(tmp_path: Path) -> None:
    data = read_raw(_write(tmp_path, outlines=4), format_name=None, classes=None)
    assert [problem.kind for problem in data.problems] == [Kind.NO_OUTLINE] * 2
    assert len(data.images) == 4, "a picture whose object is left out is no negative"
    assert all(image.objects[0].rle for image in data.images)
    (warning,) = data.warnings
    assert "2 of 6 objects have a box alone" in warning
    assert "--boxes takes the box of every object instead" in warning


def test_asked_for_boxes_those_around_outlines_are_taken(tmp_path: Path) -> None:
    data = read_raw(_write(tmp_path, outlines=4), format_name=None, classes=None, boxes=True)
    assert data.problems == ()
    assert [image.objects[0].box for image in data.images[4:]] == [(4, 6, 24, 16)] * 2
    assert all(image.objects[0].rle is None for image in data.images)
    assert any("4 objects with outlines or masks: the boxes around" in note for note in data.notes)


def test_rectangles_are_outlines_unless_boxes_are_asked_for(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", n=7)
    squares = prepare(raw, tmp_path / "a")
    assert any("--boxes takes them as boxes" in note for note in squares.notes)
    report = prepare(raw, tmp_path / "b", PrepareOptions(boxes=True))
    assert report.data.boxes_only
    assert report.warnings == ()


def test_boxes_are_not_asked_of_particles(tmp_path: Path) -> None:
    write_picture(tmp_path / "m.png", 0)
    (tmp_path / "m.json").write_text(json.dumps({"m.png": [[10, 10], [30, 30]]}))
    size = particle_size("4px", None)
    with pytest.raises(DatasetError, match="--boxes: expected objects with boxes, outlines"):
        read_raw(tmp_path, format_name="coordinates", classes=None, sizes=size, boxes=True)


def test_a_prepared_box_has_no_mask_and_no_area(boxes: PreparedDataset) -> None:
    document = json.loads((boxes.root / "annotations.json").read_text())
    for entry in document["annotations"]:
        assert entry["bbox"] == BOX
        assert {"segmentation", "area"}.isdisjoint(entry)
    (item,) = boxes.annotations(boxes.images("train")[0])
    assert (item.rle, item.area, item.box) == (None, None, (4, 6, 24, 16))
    with pytest.raises(NoMaskError, match="boxes alone; what needs masks cannot use"):
        _ = item.mask
    assert PreparedDataset.load(boxes.root).boxes_only
    assert boxes.manifest["format_version"] == 2
    assert any("boxes without masks" in line for line in describe(boxes))


def test_an_equal_set_of_outlines_is_another_one(boxes: PreparedDataset, tmp_path: Path) -> None:
    moved = prepare(_write(tmp_path / "raw", outlines=0), tmp_path / "same").data
    assert moved.fingerprint == boxes.fingerprint
    outlined = prepare(_write(tmp_path / "more", outlines=N), tmp_path / "out").data
    assert not outlined.boxes_only
    assert outlined.manifest["format_version"] == 1
    assert outlined.fingerprint != boxes.fingerprint


def test_facts_measure_the_boxes_and_say_what_they_are(boxes: PreparedDataset) -> None:
    facts = data_facts(boxes)
    assert (facts.boxes, facts.coordinates) == (True, False)
    assert (facts.small_px, facts.median_px, facts.large_px) == (10, 20, 20)


def test_a_box_is_a_particle_by_its_middle_and_the_mean_of_its_sides(
    boxes: PreparedDataset,
) -> None:
    image = boxes.images("train")[0]
    items = boxes.annotations(image)
    assert centers_of(items).tolist() == [[14.0, 11.0]]
    assert radii_of(items) == pytest.approx([np.sqrt(200) / 2])
    drawn = object_mask(items, image)
    assert 0 < drawn.sum() < 200, "it is a disc in the box, not the box"
