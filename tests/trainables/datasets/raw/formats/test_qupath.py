"""QuPath's GeoJSON: holes, several parts, classes, regions that were searched."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import square, write_picture
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

OUTER = [*square(4, 6), [4, 6]]
HOLE = [*square(6, 8, 3), [6, 8]]


def _feature(kind: str, coordinates: Any, name: str = "grain", **properties: Any) -> dict[str, Any]:
    classification = {"name": name, "color": [1, 2, 3]} if name else None
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"classification": classification, **properties},
    }


def _write(folder: Path, *features: Any, name: str = "m0.geojson", n: int = 3) -> Path:
    for i in range(n):
        write_picture(folder / f"m{i}.png", i)
    document = {"type": "FeatureCollection", "features": features}
    (folder / name).write_text(json.dumps(document))
    return folder


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _mask(data: RawData, number: int = 0) -> Any:
    return coco_mask.decode(data.images[0].objects[number].rle)


def test_rings_are_an_outline_and_its_holes(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, _feature("Polygon", [OUTER, HOLE])))
    assert (data.format.name, data.problems, data.classes) == ("qupath", (), ("grain",))
    expected = np.zeros((48, 64), np.uint8)
    expected[6:16, 4:14] = 1
    expected[8:11, 6:9] = 0
    assert np.array_equal(_mask(data), expected)
    assert [image.stem for image in data.images] == ["m0"]
    assert any("2 pictures are named by no annotation file" in note for note in data.notes)


def test_an_object_in_the_hole_of_its_own_ring_is_kept(tmp_path: Path) -> None:
    inner = [*square(7, 9, 1), [7, 9]]
    data = _read(_write(tmp_path, _feature("MultiPolygon", [[OUTER, HOLE], [inner]])))
    assert (_mask(data)[6:16, 4:14].sum(), _mask(data)[9, 7]) == (92, 1)


def test_a_list_of_features_in_a_json_file_is_read_too(tmp_path: Path) -> None:
    folder = _write(tmp_path, name="m0.json")
    (folder / "m0.json").write_text(json.dumps([_feature("Polygon", [OUTER])]))
    assert [len(image.objects) for image in _read(folder).images] == [1]


def test_a_file_that_was_named_after_the_whole_file_name_finds_its_picture(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, _feature("Polygon", [OUTER]), name="m1.png.geojson"))
    assert [image.stem for image in data.images] == ["m1"]


def test_regions_that_were_searched_and_ignored_classes_are_no_objects(tmp_path: Path) -> None:
    whole = [[[0, 0], [64, 0], [64, 48], [0, 48], [0, 0]]]
    data = _read(
        _write(
            tmp_path,
            _feature("Polygon", whole, "", objectType="annotation"),
            _feature("Polygon", [OUTER], "", objectType="detection"),
            _feature("Polygon", [HOLE], "Ignore*", objectType="detection"),
        )
    )
    assert [item.label for item in data.images[0].objects] == ["object"]
    assert any("1 annotation beside 2 detections" in warning for warning in data.warnings)
    assert [(p.object, p.kind) for p in data.problems] == [("features[2]", Kind.UNKNOWN_LABEL)]
    assert any("1 object has no class" in note for note in data.notes)


@pytest.mark.parametrize("kind", ["Point", "LineString"])
def test_a_geometry_without_an_area_is_a_problem(tmp_path: Path, kind: str) -> None:
    data = _read(_write(tmp_path, _feature("Polygon", [OUTER]), _feature(kind, [1, 2])))
    assert [(p.kind, p.reason) for p in data.problems] == [
        (Kind.NO_OUTLINE, f"a {kind} has no area")
    ]


def test_a_file_without_its_picture_is_told_with_the_number_of_its_objects(tmp_path: Path) -> None:
    folder = _write(tmp_path, _feature("Polygon", [OUTER]))
    collection = {"type": "FeatureCollection", "features": [_feature("Polygon", [OUTER])] * 3}
    (folder / "other.geojson").write_text(json.dumps(collection))
    (problem,) = _read(folder).problems
    assert (problem.kind, problem.n_objects) == (Kind.LABEL_WITHOUT_IMAGE, 3)
