"""What is written about a picture's particles, read back by others."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from analysis.measure.geometry.runs import runs_of
from analysis.measure.outputs.coco import FoundPicture, write_coco
from analysis.measure.outputs.heading import bar_length
from analysis.measure.outputs.labelme import DrawnParticle, LabelledPage, write_labelme
from analysis.measure.outputs.labels import write_labels
from analysis.measure.outputs.overlays import NumberedPicture, overlay, write_overlay
from analysis.measure.outputs.rois import write_rois
from tests.analysis.measure.outputs.conftest import HEIGHT, WIDTH, masks
from trainables.datasets import geometry
from trainables.datasets.raw.read import read_raw
from trainables.results import Instances


def found(particles: list[DrawnParticle]) -> Instances:
    boxes = [geometry.box(dict(p.mask)) for p in particles]
    return Instances(
        np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32).reshape(-1, 4),
        np.array([p.score for p in particles], np.float32),
        np.array([0 if p.name == "disc" else 1 for p in particles], np.int64),
        [p.mask for p in particles],
    )


def test_a_label_image_has_the_row_of_each_pixels_particle(
    particles: list[DrawnParticle], tmp_path: Path
) -> None:
    path = write_labels(runs_of([p.mask for p in particles]), tmp_path / "a.tif")
    labels = tifffile.imread(path)
    assert labels.dtype == np.uint16
    disc, ring, apart, border, small = masks()
    assert ((labels == 5) == small).all(), "the small one lies on the large one"
    assert ((labels == 1) == disc & ~small).all()
    for number, mask in ((2, ring), (3, apart), (4, border)):
        assert ((labels == number) == mask).all()


def test_labels_beyond_16_bits_keep_their_numbers(tmp_path: Path) -> None:
    dot = np.zeros((300, 300), bool)
    dot[5, 7] = True
    dots = [geometry.encode_mask(dot)] * 65536
    labels = tifffile.imread(write_labels(runs_of(dots), tmp_path / "a.tif"))
    assert labels[5, 7] == 65536


@pytest.mark.parametrize("kind", ["labelme", "imagej"])
def test_corrected_files_go_back_into_prepare_pixel_by_pixel(
    particles: list[DrawnParticle], picture: Path, kind: str
) -> None:
    if kind == "labelme":
        page = LabelledPage(picture, 0, (HEIGHT, WIDTH))
        write_labelme(particles, page, picture.with_suffix(".json"))
    else:
        write_rois(particles, 0, 1, picture.parent / "RoiSet_a.zip")
    raw = read_raw(picture.parent, format_name=None, classes=None)
    assert raw.format.name == kind
    assert raw.problems == ()
    [image] = raw.images
    read = [coco_mask.decode(item.rle) for item in image.objects]
    for mask in masks():
        assert any((mask == other).all() for other in read)
    if kind == "labelme":
        assert raw.classes == ("disc", "two parts")


def test_a_region_in_a_stack_says_on_which_page_it_is(
    particles: list[DrawnParticle], tmp_path: Path
) -> None:
    from roifile import roiread

    regions = roiread(write_rois(particles, 2, 5, tmp_path / "a.zip"))
    assert isinstance(regions, list)
    assert [roi.position for roi in regions] == [3] * 5
    assert [roi.name for roi in regions][:3] == ["00001-disc", "00002-disc", "00003-two parts"]


def test_the_coco_file_opens_in_pycocotools_with_the_ids_of_the_tables(
    particles: list[DrawnParticle], tmp_path: Path
) -> None:
    instances = found(particles)

    class Pictures:
        def __iter__(self) -> Iterator[FoundPicture]:
            yield FoundPicture("a.png", WIDTH, HEIGHT, 1, instances)
            yield FoundPicture("none.png", WIDTH, HEIGHT, 6, found([]))
            yield FoundPicture("b.png", WIDTH, HEIGHT, 6, instances)

    path = write_coco(Pictures(), ["disc", "two parts"], {"model": "m"}, tmp_path / "coco.json")
    assert json.loads(path.read_text())["info"] == {"model": "m"}
    coco = COCO(str(path))
    assert sorted(coco.getImgIds()) == [1, 2, 3]
    assert coco.getAnnIds(imgIds=[3]) == [6, 7, 8, 9, 10]
    for number, mask in enumerate(masks(), start=1):
        [row] = coco.loadAnns([number])
        assert (coco.annToMask(row) == mask).all()
        assert row["area"] == mask.sum()
        assert row["score"] == pytest.approx(1 - number / 10)
        assert row["category_id"] == (2 if number == 3 else 1)


def test_an_overlay_has_outlines_a_legend_and_a_scale_bar(
    particles: list[DrawnParticle], tmp_path: Path
) -> None:
    pixels = np.full((HEIGHT, WIDTH), 90, np.uint8)
    runs = runs_of([p.mask for p in particles])
    bare = NumberedPicture("a", pixels, found(particles), runs)
    scaled = NumberedPicture("a", pixels, found(particles), runs, um_per_px=0.01)
    path = write_overlay(scaled, ["disc", "two parts"], tmp_path / "a.jpg")
    with Image.open(path) as image:
        drawn = np.asarray(image)
    assert drawn.shape[1] == WIDTH
    lines = np.ptp(drawn[-HEIGHT:].astype(int), axis=2) > 40
    assert lines[30, 44:48].any(), "the rim of the disc"
    assert not lines[5:10, 60:100].any(), "where nothing was found"
    plain = overlay(bare, ["disc", "two parts"])[:-HEIGHT]
    assert drawn[:-HEIGHT].tolist() != plain.tolist(), "the scale bar"


def test_the_heading_of_a_small_overlay_has_its_scale_bar_on_a_line_of_its_own(
    particles: list[DrawnParticle],
) -> None:
    name = "a/long/way/to/micrograph_00012.png"
    heights = {}
    for width in (WIDTH, 900):
        picture = np.full((HEIGHT, width), 90, np.uint8)
        runs = runs_of([p.mask for p in particles], (HEIGHT, WIDTH))
        drawn = NumberedPicture(name, picture, found(particles), runs, um_per_px=0.01)
        heights[width] = len(overlay(drawn, ["disc", "two parts"])) - HEIGHT
    assert heights[WIDTH] == 2 * heights[900]


@pytest.mark.parametrize(
    ("most_um", "length"),
    [
        (0.0049, (0.002, "2 nm")),
        (0.37, (0.2, "200 nm")),
        (1.0, (1.0, "1 um")),
        (7e3, (5e3, "5 mm")),
    ],
)
def test_a_scale_bar_has_a_round_length(most_um: float, length: tuple[float, str]) -> None:
    um, text = bar_length(most_um)
    assert um == pytest.approx(length[0])
    assert text == length[1]
