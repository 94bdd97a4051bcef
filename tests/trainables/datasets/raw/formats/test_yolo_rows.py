"""YOLO's other text files: predictions with confidences are read, pose labels are refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind, place_and_size
from trainables.datasets.raw.read import RawData, read_raw

SQUARES = ((8, 12), (24, 6), (40, 30))


def _outline(x: float, y: float) -> list[float]:
    """A square of 8 px in a picture of 64 x 48."""
    corners = ((x, y), (x + 8, y), (x + 8, y + 8), (x, y + 8))
    return [value for a, b in corners for value in (a / 64, b / 48)]


def _box(x: float, y: float) -> list[float]:
    return [(x + 4) / 64, (y + 4) / 48, 8 / 64, 8 / 48]


def _points(x: float, y: float) -> list[tuple[float, float]]:
    return [((x + dx) / 64, (y + dy) / 48) for dx, dy in ((1, 1), (7, 2), (4, 6))]


def _write(folder: Path, rows: Sequence[Sequence[float]], yaml: str = "names: [grain]\n") -> Path:
    (folder / "labels").mkdir(parents=True)
    for i in range(4):
        write_picture(folder / "images" / f"m{i}.png", i)
        lines = [" ".join(f"{value:.6g}" for value in (0, *row)) for row in rows]
        (folder / "labels" / f"m{i}.txt").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(yaml)
    return folder


def _read(folder: Path, form: str | None = None) -> RawData:
    return read_raw(folder, format_name=form, classes=None)


def test_outlines_of_predictions_are_read_without_their_confidence(tmp_path: Path) -> None:
    rows = [[*_outline(x, y), 0.25 + n / 4] for n, (x, y) in enumerate(SQUARES)]
    data = _read(_write(tmp_path, rows))
    assert (data.format.name, data.problems) == ("yolo", ())
    assert any("ends in a confidence" in warning for warning in data.warnings)
    for image in data.images:
        for item, (x, y) in zip(image.objects, SQUARES, strict=True):
            expected = np.zeros((48, 64), np.uint8)
            expected[y : y + 8, x : x + 8] = 1
            assert np.array_equal(coco_mask.decode(item.rle), expected)


def test_one_line_with_a_number_too_many_is_a_problem_and_no_confidence(tmp_path: Path) -> None:
    rows = [_outline(*SQUARES[0]), [*_outline(*SQUARES[1]), 0.5]]
    data = _read(_write(tmp_path, rows))
    assert [(p.object, p.kind) for p in data.problems] == [("line 2", Kind.MALFORMED)] * 4
    assert [len(image.objects) for image in data.images] == [1] * 4
    assert data.warnings == ()


def test_boxes_of_predictions_are_boxes(tmp_path: Path) -> None:
    data = _read(_write(tmp_path, [[*_box(x, y), 0.5] for x, y in SQUARES]))
    assert data.format.name == "yolo-boxes"
    assert any("ends in a confidence" in warning for warning in data.warnings)
    for image in data.images:
        assert [item.rle for item in image.objects] == [None] * 3
        for item, (x, y) in zip(image.objects, SQUARES, strict=True):
            assert item.box == pytest.approx((x, y, x + 8, y + 8), abs=1e-3)


def _flat(points: list[tuple[float, float]], *more: float) -> list[float]:
    return [value for point in points for value in (*point, *more)]


@pytest.mark.parametrize("form", [None, "yolo"])
@pytest.mark.parametrize("said", [True, False], ids=["kpt_shape", "by its numbers"])
@pytest.mark.parametrize("visibility", [(), (2,), (1,)], ids=["x y", "x y 2", "x y 1"])
def test_pose_labels_are_refused(
    tmp_path: Path, visibility: tuple[float, ...], said: bool, form: str | None
) -> None:
    rows = [[*_box(x, y), *_flat(_points(x, y), *visibility)] for x, y in SQUARES]
    yaml = f"kpt_shape: [3, {2 + len(visibility)}]\n" if said else "names: [grain]\n"
    reason = r"data\.yaml says kpt_shape: \[3, [23]\]" if said else "each line is a box and points"
    with pytest.raises(DatasetError, match=rf"4 YOLO files are pose labels \({reason}.*outlines"):
        _read(_write(tmp_path, rows, yaml), form)


@pytest.mark.parametrize(("x", "y"), [(2, 2), (28, 20), (54, 38)])
def test_a_square_in_every_picture_is_no_pose(tmp_path: Path, x: int, y: int) -> None:
    data = _read(_write(tmp_path, [_outline(x, y)]))
    assert [len(image.objects) for image in data.images] == [1] * 4
    assert data.problems == ()


def _tracked(folder: Path, kind: str) -> RawData:
    outline = "0.1 0.1 0.4 0.1 0.45 0.3 0.4 0.5 0.1 0.5"
    for i in range(3):
        write_picture(folder / "images" / f"m{i}.png", i)
        (folder / "labels").mkdir(exist_ok=True)
        lines = [f"{kind} {outline} 0.9{track} {track}" for track in (1, 2)]
        (folder / "labels" / f"m{i}.txt").write_text("\n".join(lines), encoding="utf-8")
    return read_raw(folder, format_name=None, classes=None)


@pytest.mark.parametrize("kind", ["0", "0.0"])
def test_numbers_of_tracks_are_no_corners(kind: str, tmp_path: Path) -> None:
    data = _tracked(tmp_path, kind)
    boxes = {place_and_size(entry) for image in data.images for entry in image.objects}
    assert boxes == {(6.0, 5.0, 23.0, 19.0)}
    assert any("ends in a confidence and the number of a track" in w for w in data.warnings)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_label_files_of_other_encodings_are_read(encoding: str, tmp_path: Path) -> None:
    _write(tmp_path, [_outline(2, 2)])
    for file in tmp_path.rglob("*.txt"):
        file.write_bytes(file.read_text().encode(encoding))
    data = _read(tmp_path)
    assert [len(image.objects) for image in data.images] == [1] * 4
