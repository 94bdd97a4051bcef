import csv
import hashlib
import json
import math
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate import outlines
from trainables.datasets.simulate.dataset import TRUTH_COLUMNS, simulate
from trainables.datasets.simulate.micrograph import render
from trainables.datasets.simulate.presets import SPECS
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.datasets.simulate.writers import WRITERS, FormName

FORMS: tuple[FormName, ...] = get_args(FormName)
WITH_MASKS = tuple(form for form in FORMS if form != "coordinates")
SMALL = SPECS["mixed_forms"].model_copy(update={"images": 6, "width": 192, "height": 192})


def _digests(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[FormName, Path]:
    root = tmp_path_factory.mktemp("simulated")
    return {form: simulate(SMALL, root / form, form=form) for form in FORMS}


def test_every_form_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMS)


@pytest.mark.parametrize("form", WITH_MASKS)
def test_prepared_objects_are_the_visible_ones(
    form: FormName, sets: dict[FormName, Path], tmp_path: Path
) -> None:
    report = prepare(sets[form], tmp_path / "prepared")
    assert report.problems == ()
    found = [image for split in ("train", "val", "test") for image in report.data.images(split)]
    assert len(found) == SMALL.images
    by_name = {image.path.stem: image for image in found}
    names = tuple(item.name for item in SMALL.classes)
    assert set(report.data.classes) == ({"object"} if form == "masks" else set(names))
    for index in range(SMALL.images):
        image = render(SMALL, index)
        got = report.data.annotations(by_name[image.name])
        assert len(got) == len(image.objects)
        overlap = coco_mask.iou(
            [item.rle for item in got], [item.rle for item in image.objects], [0] * len(got)
        )
        assert (overlap.max(axis=0) == 1).all()
        labels = [report.data.classes[got[k].category] for k in overlap.argmax(axis=0)]
        wanted = [names[item.category] for item in image.objects]
        assert labels == (["object"] * len(wanted) if form == "masks" else wanted)


def test_every_simulated_image_is_a_group_of_its_own(tmp_path: Path) -> None:
    spec = SPECS["demo"].model_copy(update={"images": 12})
    report = prepare(simulate(spec, tmp_path / "raw"), tmp_path / "prepared")
    assert report.data.evaluation_only == ""
    assert len(report.grouping.members()) == 12
    assert all(report.data.counts().values())


def test_same_spec_gives_the_same_bytes(sets: dict[FormName, Path], tmp_path: Path) -> None:
    again = simulate(SMALL, tmp_path / "again", form="coco")
    assert _digests(again) == _digests(sets["coco"])


def test_more_images_leave_the_first_ones_as_they_are(
    sets: dict[FormName, Path], tmp_path: Path
) -> None:
    fewer = simulate(SMALL.model_copy(update={"images": 2}), tmp_path / "fewer", form="yolo")
    many, few = _digests(sets["yolo"]), _digests(fewer)
    same = [name for name in few if name.startswith(("images", "labels"))]
    assert len(same) == 4
    assert {name: few[name] for name in same} == {name: many[name] for name in same}


def test_pictures_are_those_that_are_rendered(sets: dict[FormName, Path]) -> None:
    image = render(SMALL, 4)
    stored = cv2.imread(str(sets["masks"] / "images" / f"{image.name}.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert np.array_equal(stored, image.image)


def test_label_pictures_number_objects_as_the_truth_does(sets: dict[FormName, Path]) -> None:
    image = render(SMALL, 2)
    labels = cv2.imread(str(sets["masks"] / "labels" / f"{image.name}.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert labels.dtype == np.uint16
    rows = [row for row in _table(sets["masks"] / "truth.csv") if image.name in row["file"]]
    assert len(rows) == len(image.objects)
    for row in rows:
        rle = {"size": list(labels.shape), "counts": row["visible_rle"].encode()}
        assert np.array_equal(labels == int(row["label"]), coco_mask.decode(rle) == 1)


def test_truth_table_has_the_shapes_in_pixels_and_micrometres(sets: dict[FormName, Path]) -> None:
    rows = _table(sets["via"] / "truth.csv")
    assert tuple(rows[0]) == tuple(TRUTH_COLUMNS)
    objects = [item for index in range(SMALL.images) for item in render(SMALL, index).objects]
    assert len(rows) == len(objects) > 30
    for row, item in zip(rows, objects, strict=True):
        um = float(row["um_per_px"])
        assert float(row["area_px2"]) == pytest.approx(item.shape.area_px2)
        assert float(row["area_um2"]) == pytest.approx(item.shape.area_px2 * um**2)
        diameter = float(row["equivalent_diameter_um"])
        assert math.pi / 4 * diameter**2 == pytest.approx(float(row["area_um2"]))
        assert float(row["feret_um"]) == pytest.approx(float(row["feret_px"]) * um)
        assert float(row["minor_px"]) <= float(row["feret_px"]) + 1e-9
        assert 0 <= float(row["angle_deg"]) < 180
        assert int(row["visible_px"]) == item.visible_px
        if row["cut"] == "0" and row["hidden_px"] == "0":
            assert item.visible_px == pytest.approx(float(row["area_px2"]), rel=0.1)
    assert {row["form"] for row in rows} == {"faceted", "agglomerate", "ring", "pair"}


def test_scale_table_gives_bar_and_pixel_size_of_every_image(sets: dict[FormName, Path]) -> None:
    rows = _table(sets["labelme"] / "scale.csv")
    assert len(rows) == SMALL.images
    for index, row in enumerate(rows):
        image = render(SMALL, index)
        assert row["file"] == f"images/{image.name}.png"
        assert row["bar_text"] in {"200 nm", "500 nm", "1 um"}
        assert float(row["bar_um"]) / float(row["bar_px"]) == pytest.approx(image.um_per_px)
        assert float(row["bar_x1"]) - float(row["bar_x0"]) + 1 == pytest.approx(
            float(row["bar_px"])
        )
        stored = cv2.imread(str(sets["labelme"] / row["file"]), cv2.IMREAD_GRAYSCALE)
        assert stored is not None
        assert np.count_nonzero(stored[int(row["bar_y"])]) == math.ceil(float(row["bar_px"]))


def test_without_a_data_bar_only_the_pixel_size_is_known(tmp_path: Path) -> None:
    folder = simulate(SMALL.model_copy(update={"bar": None, "images": 1}), tmp_path / "bare")
    (row,) = _table(folder / "scale.csv")
    assert row["um_per_px"] == str(render(SMALL, 0).um_per_px)
    assert row["bar_text"] == row["bar_um"] == row["bar_px"] == ""


def test_16_bit_images_are_tiff_files_that_prepare_reads(tmp_path: Path) -> None:
    spec = SMALL.model_copy(update={"bits": 16, "images": 4})
    folder = simulate(spec, tmp_path / "raw", form="labelme")
    pages = [tifffile.imread(file) for file in sorted((folder / "images").iterdir())]
    assert [page.dtype for page in pages] == [np.uint16] * 4
    assert np.array_equal(pages[3], render(spec, 3).image)
    report = prepare(folder, tmp_path / "prepared")
    assert report.problems == ()
    assert sum(report.data.counts().values()) == 4


def test_spec_is_kept_beside_the_set(sets: dict[FormName, Path]) -> None:
    origin = json.loads((sets["coco"] / "simulation.json").read_text())
    assert SimulationSpec.model_validate(origin["spec"]) == SMALL
    assert origin["form"] == "coco"


def test_progress_counts_images(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    spec = SMALL.model_copy(update={"images": 3})
    simulate(spec, tmp_path / "a", progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_set_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    spec = SMALL.model_copy(update={"images": 1})
    folder = simulate(spec, tmp_path / "a")
    before = (folder / "truth.csv").read_text()
    with pytest.raises(DatasetError, match="there is a simulated set here; --force replaces it"):
        simulate(spec.model_copy(update={"seed": 7}), folder)
    assert (folder / "truth.csv").read_text() == before
    simulate(spec.model_copy(update={"seed": 7}), folder, force=True)
    assert (folder / "truth.csv").read_text() != before
    assert list(tmp_path.iterdir()) == [folder]


def test_interrupted_set_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(SMALL, tmp_path / "a", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("force", [False, True])
def test_folder_with_something_else_is_refused_and_kept(tmp_path: Path, force: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="new or empty, got one with other files"):
        simulate(SMALL, tmp_path / "a", force=force)
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"


def test_unknown_form_is_refused_with_the_nearest(tmp_path: Path) -> None:
    form: Any = "labelm"
    with pytest.raises(DatasetError, match=r"got 'labelm'; did you mean labelme\?"):
        simulate(SMALL, tmp_path / "a", form=form)
    assert list(tmp_path.iterdir()) == []


MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any)


def _filled(loop: outlines.Loop, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre is inside, by the even-odd rule, worked out edge by edge."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(loop, loop[1:] + loop[:1], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


@given(mask=MASKS)
def test_outlines_give_back_any_mask(mask: np.ndarray) -> None:
    result = np.zeros(mask.shape, bool)
    for outer, holes in outlines.parts(mask):
        piece = _filled(outer, mask.shape)
        for hole in holes:
            inner = _filled(hole, mask.shape)
            assert not (inner & ~piece).any()
            piece &= ~inner
        assert not (result & piece).any()
        result |= piece
    assert np.array_equal(result, mask)


@given(mask=MASKS)
def test_joined_outlines_enclose_as_many_pixels_as_the_mask_has(mask: np.ndarray) -> None:
    loop = outlines.joined(outlines.parts(mask))
    x, y = np.array(loop).T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2 == mask.sum()
    assert np.array_equal(_filled(loop, mask.shape), mask)


def test_outlines_lie_where_the_mask_lies() -> None:
    (part,) = outlines.parts(np.ones((2, 3), bool), left=10, top=20)
    assert sorted(part.outer) == [(10, 20), (10, 22), (13, 20), (13, 22)]
    assert part.holes == []
