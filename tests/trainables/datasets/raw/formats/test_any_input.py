"""Whatever is handed in ends in a prepared data set or in one message: no traceback, no crash."""

import base64
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roifile import ROI_TYPE, ImagejRoi

from tests.support.raw_samples import (
    picture,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from tests.support.spoiling import spoil
from trainables.datasets import geometry
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.raw.formats.registry import FORMATS
from trainables.files.errors import UserError

N_PICTURES: Final = 3

EXAMPLES: Final = 16
"""Spoilt folders a format."""

CORNERS: Final = [float(value) for point in square(4, 6) for value in point]


def _pictures(raw: Path, below: str = "") -> list[str]:
    names = [f"p{i}.png" for i in range(N_PICTURES)]
    for i, name in enumerate(names):
        write_picture(raw / below / name, seed=i)
    return names


def _coco(raw: Path) -> None:
    names = _pictures(raw)
    rle = geometry.disc(20, 20, 6, 64, 48)
    packed = {"size": [48, 64], "counts": rle["counts"].decode()}
    segmentations: list[Any] = [[CORNERS], packed, {"size": [48, 64], "counts": [100, 20, 2952]}]
    pairs = zip(range(1, N_PICTURES + 1), segmentations, strict=True)
    objects = [{"image_id": i, "category_id": 1, "segmentation": s} for i, s in pairs]
    write_coco(raw / "train.json", names, objects, {1: "grain", 2: "pore"})


def _labelme(raw: Path) -> None:
    _pictures(raw)
    patch = cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tobytes()
    mask = {"shape_type": "mask", "mask": base64.b64encode(patch).decode()}
    write_labelme(raw, "p0", [shape(square(4, 6)), shape([[20, 20], [28, 28]], **mask)])
    circle = shape([[20, 20], [26, 20]], shape_type="circle", group_id=1)
    write_labelme(raw, "p1", [circle, shape(square(30, 30), group_id=1)])
    data = base64.b64encode((raw / "p2.png").read_bytes()).decode()
    write_labelme(raw, "p2", [shape(square(4, 6))], imageData=data)
    (raw / "p2.png").unlink()
    parts = {"train": ["p0", "p1.png"], "val": ["p2"]}
    (raw / "splits.json").write_text(json.dumps(parts))


def _superannotate(raw: Path) -> None:
    ellipse: dict[str, Any] = {"type": "ellipse", "cx": 40, "cy": 20, "rx": 8, "ry": 5, "angle": 30}
    shapes: list[dict[str, Any]] = [
        {"type": "polygon", "points": CORNERS, "exclude": [[6, 8, 9, 8, 9, 11]], "groupId": 1},
        {**ellipse, "groupId": 1},
        {"type": "bbox", "points": {"x1": 40, "y1": 30, "x2": 50, "y2": 44}},
    ]
    for name in _pictures(raw):
        document = {
            "metadata": {"name": name, "width": 64, "height": 48},
            "instances": [{"className": "grain", **entry} for entry in shapes],
        }
        (raw / f"{name}___objects.json").write_text(json.dumps(document))


def _via(raw: Path) -> None:
    shapes: list[dict[str, Any]] = [
        {"name": "polygon", "all_points_x": CORNERS[::2], "all_points_y": CORNERS[1::2]},
        {"name": "rect", "x": 20, "y": 20, "width": 9, "height": 7},
        {"name": "ellipse", "cx": 45, "cy": 20, "rx": 8, "ry": 5, "theta": 0.4},
    ]
    regions = [{"shape_attributes": s, "region_attributes": {"type": "grain"}} for s in shapes]
    entries = {f"{n}1": {"filename": n, "regions": regions} for n in _pictures(raw)}
    (raw / "via.json").write_text(json.dumps({"_via_img_metadata": entries}))


def _yolo(raw: Path) -> None:
    (raw / "labels").mkdir()
    for name in _pictures(raw, "images"):
        line = "0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n"
        (raw / "labels" / name).with_suffix(".txt").write_text(line + "1 0.6 0.6 0.9 0.6 0.9 0.9\n")
    (raw / "classes.txt").write_text("grain\npore\n")
    (raw / "data.yaml").write_text("path: .\ntrain: images/p0.png\nval: [images]\nnames: [a, b]\n")


def _masks(raw: Path, values: tuple[int, int] = (1, 2)) -> None:
    for i, name in enumerate(_pictures(raw, "images")):
        labels = np.zeros((48, 64), np.uint8)
        labels[4:12, 4 + i : 14 + i], labels[20:30, 30:42] = values
        (raw / "masks").mkdir(exist_ok=True)
        assert cv2.imwrite(str(raw / "masks" / name), labels)


def _binary_masks(raw: Path) -> None:
    _masks(raw, (255, 255))


def _coordinates(raw: Path) -> None:
    points = {name: [[10, 10], [30, 20, 0.9]] for name in _pictures(raw)}
    (raw / "coordinates.json").write_text(json.dumps(points))


def _yolo_boxes(raw: Path) -> None:
    (raw / "labels").mkdir()
    for name in _pictures(raw, "images"):
        lines = "0 0.25 0.25 0.2 0.3\n1 0.6 0.6 0.2 0.2\n"
        (raw / "labels" / name).with_suffix(".txt").write_text(lines)
    (raw / "data.yaml").write_text("names: [grain, pore]\n")


def _voc(raw: Path) -> None:
    edges = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (4, 6, 30, 26), strict=True)
    )
    entry = f"<object><name>grain</name><bndbox>{edges}</bndbox></object>"
    for name in _pictures(raw, "JPEGImages"):
        file = (raw / "Annotations" / name).with_suffix(".xml")
        file.parent.mkdir(exist_ok=True)
        size = "<size><width>64</width><height>48</height></size>"
        file.write_text(f"<annotation><filename>{name}</filename>{size}{entry}</annotation>")


def _jsonl(raw: Path) -> None:
    corners = ("x_min", "y_min", "x_max", "y_max")
    box = {
        f"{key}_normalized": value for key, value in zip(corners, (0.1, 0.2, 0.5, 0.6), strict=True)
    }
    boxes = [{"annotation_label": "grain", **box}]
    labels = [{"annotation_label": "sequence_1--a"}]
    lines = [
        {"image_path": f"data/{name}", "bounding_box_annotations": boxes}
        | {"classification_annotations": labels}
        for name in _pictures(raw, "data")
    ]
    (raw / "dataset.jsonl").write_text("\n".join(map(json.dumps, lines)))


def _csv_boxes(raw: Path) -> None:
    rows = "".join(f"{n},4,6,30,26,grain\n{n},40,30,50,40,pore\n" for n in _pictures(raw))
    (raw / "boxes.csv").write_text(f"image,xmin,ymin,xmax,ymax,label\n{rows}")


def _star(raw: Path) -> None:
    rows = "".join(f"{name} 10.5 12 0.5\n{name} 40 30 0.9\n" for name in _pictures(raw))
    columns = ("MicrographName", "CoordinateX", "CoordinateY", "AutopickFigureOfMerit")
    labels = "".join(f"_rln{column} #{i}\n" for i, column in enumerate(columns, start=1))
    (raw / "all.star").write_text(f"data_\n\nloop_\n{labels}{rows}\n")


def _box(raw: Path) -> None:
    for name in _pictures(raw):
        (raw / name).with_suffix(".box").write_text("4 6 10 10\n30 20 10 10\n")


def _csv(raw: Path) -> None:
    rows = "".join(f"{name},10.5,12,4\n{name},40,30,5\n" for name in _pictures(raw))
    (raw / "all.csv").write_text(f"image_name,x,y,radius\n{rows}")
    (raw / "splits.csv").write_text("picture,split\np0.png,train\np1.png,val\np2.png,test\n")


def _cvat(raw: Path) -> None:
    polygon = '<polygon label="grain" points="4,6;14,6;14,16;4,16" group_id="0"/>'
    mask = '<mask label="grain" rle="1, 2, 2, 1, 1, 3, 2" left="40" top="3" width="4" height="3"/>'
    oval = '<ellipse label="pore" cx="40" cy="30" rx="8" ry="4" rotation="20"/>'
    images = "".join(
        f'<image id="{i}" name="{name}" width="64" height="48">{polygon}{mask}{oval}</image>'
        for i, name in enumerate(_pictures(raw))
    )
    (raw / "annotations.xml").write_text(f"<annotations>{images}</annotations>")


def _label_studio(raw: Path) -> None:
    shapes: dict[str, dict[str, Any]] = {
        "polygonlabels": {"points": [[12.5, 25], [50, 25], [50, 75], [12.5, 75]]},
        "rectanglelabels": {"x": 60, "y": 50, "width": 25, "height": 25, "rotation": 10},
        "ellipselabels": {"x": 70, "y": 20, "radiusX": 12, "radiusY": 9},
    }
    size = {"original_width": 64, "original_height": 48}
    regions = [
        {"id": kind, "type": kind, **size, "value": {**value, kind: ["grain"]}}
        for kind, value in shapes.items()
    ]
    tasks = [
        {"id": i, "data": {"image": f"/data/{name}"}, "annotations": [{"result": regions}]}
        for i, name in enumerate(_pictures(raw))
    ]
    (raw / "project.json").write_text(json.dumps(tasks))


def _qupath(raw: Path) -> None:
    rings = [[*square(4, 6), [4, 6]], [*square(6, 8, 3), [6, 8]]]
    shapes = [("Polygon", rings), ("MultiPolygon", [rings, [[*square(30, 20), [30, 20]]]])]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"classification": {"name": "grain"}, "objectType": "detection"},
        }
        for kind, coordinates in shapes
    ]
    for name in _pictures(raw):
        document = {"type": "FeatureCollection", "features": features}
        (raw / name).with_suffix(".geojson").write_text(json.dumps(document))


def _imagej(raw: Path) -> None:
    for name in _pictures(raw):
        with zipfile.ZipFile((raw / name).with_suffix(".zip"), "w") as archive:
            for number, points in enumerate((square(4, 6), square(30, 20))):
                region = ImagejRoi.frompoints(np.array(points, dtype=np.int32))
                region.roitype = ROI_TYPE.POLYGON
                archive.writestr(f"{number}.roi", region.tobytes())


def _cellpose(raw: Path) -> None:
    labels = np.zeros((48, 64), np.uint16)
    labels[4:12, 4:14], labels[20:30, 30:42] = 1, 2
    for name in _pictures(raw):
        content: Any = {"masks": labels, "filename": name, "est_diam": 30.0}
        np.save(raw / f"{Path(name).stem}_seg.npy", content, allow_pickle=True)


def _object_masks(raw: Path) -> None:
    for name in _pictures(raw, "images"):
        (raw / "masks" / Path(name).stem).mkdir(parents=True)
        for x in (2, 20, 40):
            mask = np.zeros((48, 64), np.uint8)
            mask[x : x + 8, x : x + 8] = 255
            assert cv2.imwrite(str(raw / "masks" / Path(name).stem / f"{x}.png"), mask)


def _class_masks(raw: Path) -> None:
    _masks(raw)


def _cryosparc(raw: Path) -> None:
    columns = [(f"location/center_{axis}_frac", np.float32) for axis in "xy"]
    table = np.zeros(2 * N_PICTURES, [*columns, ("location/micrograph_path", "S32")])
    table["location/center_x_frac"] = np.tile([0.25, 0.75], N_PICTURES)
    table["location/center_y_frac"] = 0.5
    table["location/micrograph_path"] = np.repeat(_pictures(raw), 2)
    with (raw / "picked_particles.cs").open("wb") as file:
        np.save(file, table)


SAMPLES: Final[dict[str, Callable[[Path], None]]] = {
    "coco": _coco,
    "labelme": _labelme,
    "superannotate": _superannotate,
    "via": _via,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "qupath": _qupath,
    "imagej": _imagej,
    "yolo": _yolo,
    "cellpose": _cellpose,
    "object-masks": _object_masks,
    "masks": _masks,
    "binary-masks": _binary_masks,
    "coordinates": _coordinates,
    "star": _star,
    "box": _box,
    "csv": _csv,
    "class-masks": _class_masks,
    "yolo-boxes": _yolo_boxes,
    "voc": _voc,
    "jsonl": _jsonl,
    "csv-boxes": _csv_boxes,
    "cryosparc": _cryosparc,
}
"""A writer of a folder that is right, for each format."""


def _options(name: str) -> PrepareOptions:
    entry = next(entry for entry in FORMATS if entry.name == name)
    asked = name if entry.asked_only else None
    flip_y = False if name == "box" else None  # EMAN's rows of a PNG may be either
    return PrepareOptions(format=asked, radius="4px" if entry.sized else None, flip_y=flip_y)


def test_every_format_has_a_sample() -> None:
    assert {entry.name for entry in FORMATS} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_whole_as_its_format(name: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    SAMPLES[name](raw)
    report = prepare(raw, tmp_path / "out", _options(name))
    assert report.problems == ()
    assert report.data.manifest["source_format"] == name
    assert sum(report.data.counts().values()) == N_PICTURES


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_what_is_spoilt_ends_in_a_data_set_or_in_a_message(name: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        raw, out = Path(place) / "raw", Path(place) / "out"
        raw.mkdir()
        SAMPLES[name](raw)
        spoil(raw, Random(seed))
        message = _refused(raw, out, name)
        if message is not None:
            assert message.strip()
            assert not out.exists()
        else:
            _check_objects(out)


def _refused(raw: Path, out: Path, name: str) -> str | None:
    """The message that ends a preparation, or None where there is a data set."""
    try:
        prepare(raw, out, _options(name))
    except UserError as error:
        return str(error)
    return None


def _check_objects(out: Path) -> None:
    """Every object has pixels, of its picture and none outside, or is a box in it."""
    document = json.loads((out / "annotations.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    for image in document["images"]:
        pixels = cv2.imread(str(out / image["file_name"]), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert pixels.shape[:2] == sizes[image["id"]]
    assert document["annotations"]
    for entry in document["annotations"]:
        height, width = sizes[entry["image_id"]]
        x, y, w, h = entry["bbox"]
        if "segmentation" in entry:
            assert tuple(entry["segmentation"]["size"]) == (height, width)
            assert entry["area"] >= 1
        else:
            assert "area" not in entry
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


# --- what was met


@pytest.mark.parametrize("far", [1e8, 3e9])
def test_a_vertex_far_outside_is_clipped(far: float, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    _pictures(raw)
    for i in range(N_PICTURES):
        write_labelme(raw, f"p{i}", [shape([[4, 6], [far, 6], [far, 16], [4, 16]])])
    report = prepare(raw, tmp_path / "out")
    assert [problem.action for problem in report.problems] == ["clipped"] * N_PICTURES
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert {tuple(entry["bbox"]) for entry in document["annotations"]} == {(4, 6, 60, 10)}


@pytest.mark.parametrize("name", ["classes.txt", "data.yaml", "splits.csv"])
@pytest.mark.parametrize("how", ["latin-1", "utf-16", "link out", "link to nothing", "folder"])
def test_lists_beside_yolo_labels_end_in_a_message(name: str, how: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    _yolo(raw)
    (raw / "data.yaml").unlink()
    (raw / "classes.txt").unlink()
    texts = {
        "classes.txt": "Körner\nPoren\n",
        "data.yaml": "names: [Körner, Poren]\n",
        "splits.csv": "Größe,split\np0,train\np1,train\np2,val\n",
    }
    (raw / "classes.txt").write_text("a\nb\n")
    file = raw / name
    file.unlink(missing_ok=True)
    if how == "folder":
        file.mkdir()
    elif how.startswith("link"):
        (tmp_path / "secret").write_text(texts[name])
        file.symlink_to(tmp_path / ("secret" if how == "link out" else "nothing"))
    else:
        file.write_bytes(texts[name].encode(how))
    message = _refused(raw, tmp_path / "out", "yolo")
    if message is None:
        report = (tmp_path / "out" / "report.md").read_text()
        understood = how in ("utf-16", "folder")
        assert (f"| {name} |" not in report.replace("\\", "")) == understood
    else:
        assert f"{name}: the file of parts cannot be read: " in message
        assert name == "splits.csv"


def test_a_name_that_is_no_text_and_a_pipe_are_passed_by(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    _csv(raw)
    write_picture(raw / "q.png", seed=9).rename(os.fsdecode(os.fsencode(raw) + b"/Gr\xf6\xdfe.png"))
    os.mkfifo(raw / "p9.png")
    report = prepare(raw, tmp_path / "out", _options("csv"))
    (problem,) = report.problems
    assert problem.file == "Gr\\xf6\\xdfe.png"
    assert problem.reason == "its name is no text in UTF-8; rename it"


def test_half_a_letter_in_a_name_is_written_as_a_mark(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    _pictures(raw)
    for i in range(N_PICTURES):
        write_labelme(raw, f"p{i}", [shape(square(4, 6), "gr\ud800in")])
    assert prepare(raw, tmp_path / "out").data.classes == ("gr?in",)


def test_a_png_whose_end_is_cut_off_is_written_anew(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    _csv(raw)
    whole = (raw / "p0.png").read_bytes()
    (raw / "p0.png").write_bytes(whole[:-4])
    prepare(raw, tmp_path / "out", _options("csv"))
    found = cv2.imread(str(tmp_path / "out" / "images" / "p0.png"), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.array_equal(found, picture(0))
