"""What is written about a picture, beside the pixels that are known to be its grains."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi, roiread

from analysis.finding.windows import Window
from analysis.measure.job.stages import (
    PictureReader,
    ReadPicture,
    analysed_px,
    analysed_rectangle,
)
from analysis.measure.tables import DonePictures, values_of
from analysis.pictures.micrographs import Micrograph
from tests.support.samples.measured_grains import (
    CUT,
    CUT_LEVEL,
    HEIGHT,
    LARGE,
    LARGE_LEVELS,
    SMALL,
    SMALL_LEVEL,
    WIDTH,
    empty_picture,
    grains_picture,
    mask_of,
    measured_here,
    planned,
    write_model,
    write_picture,
)
from trainables.files.errors import UserError

pytestmark = pytest.mark.usefixtures("threshold")


@pytest.fixture(scope="module")
def done(threshold: None, tmp_path_factory: pytest.TempPathFactory) -> DonePictures:
    """A stack of two pages, and a picture without grains, measured at 2 nm a pixel."""
    folder = tmp_path_factory.mktemp("stages")
    other = grains_picture()
    other[mask_of(CUT)] = 1_000
    pictures = [
        write_picture(folder / "stack.tif", np.stack([grains_picture(), other])),
        write_picture(folder / "none.tif", empty_picture()),
    ]
    plan = planned(pictures, write_model(folder), folder / "out", scale={"pixel_size": "2nm"})
    return measured_here(plan)


def picture_of(done: DonePictures, stem: str) -> Micrograph:
    return next(picture for picture in done.records if picture.stem == stem)


def regions_of(done: DonePictures, picture: Micrograph) -> list[ImagejRoi]:
    read = roiread(done.folder.file("rois", picture))
    return read if isinstance(read, list) else [read]


def test_each_page_and_a_picture_without_grains_have_a_record(done: DonePictures) -> None:
    counts = {p.stem: record.row["particles"] for p, record in done.records.items()}
    assert counts == {"stack": 3, "stack_p1": 2, "none": 0}
    for record in done.records.values():
        assert record.classes == ["grain"]
        assert record.row["um_per_px"] == pytest.approx(0.002)
        assert record.row["scale_source"] == "given"
        assert record.row["flags"] == ""


def test_areas_and_diameters_are_those_of_the_pixels(done: DonePictures) -> None:
    part = done.folder.part(picture_of(done, "stack"))
    areas = [int(mask_of(grain).sum()) for grain in (LARGE, CUT, SMALL)]
    assert values_of(part, "area").tolist() == areas, "the brightest comes first"
    diameters = np.sqrt(4 * np.array(areas) / np.pi)
    np.testing.assert_allclose(values_of(part, "equivalent_diameter"), diameters, rtol=1e-12)
    assert diameters[0] == pytest.approx(30, rel=0.01)
    assert values_of(part, "touches_border").tolist() == [0, 1, 0]


def test_grey_values_are_those_of_the_file_and_not_what_the_model_saw(done: DonePictures) -> None:
    part = done.folder.part(picture_of(done, "stack"))
    large = grains_picture()[mask_of(LARGE)].astype(float)
    assert values_of(part, "intensity_min").tolist() == [LARGE_LEVELS[0], CUT_LEVEL, SMALL_LEVEL]
    assert values_of(part, "intensity_max").tolist() == [LARGE_LEVELS[1], CUT_LEVEL, SMALL_LEVEL]
    assert values_of(part, "intensity_mean")[0] == pytest.approx(large.mean(), rel=1e-12)
    assert values_of(part, "contrast_d90")[0] == pytest.approx(np.percentile(large, 90))


def test_a_particle_has_one_number_in_table_labels_outlines_and_regions(
    done: DonePictures,
) -> None:
    picture = picture_of(done, "stack")
    part = done.folder.part(picture)
    labels = tifffile.imread(done.folder.file("labels", picture))
    outlines = json.loads(done.folder.file("labelme", picture).read_text())["shapes"]
    regions = regions_of(done, picture)
    assert labels.dtype == np.uint16
    numbers = part["particle"].to_pylist()
    assert numbers == [1, 2, 3]
    for number, grain in zip(numbers, (LARGE, CUT, SMALL), strict=True):
        np.testing.assert_array_equal(labels == number, mask_of(grain))
        ys, xs = np.nonzero(mask_of(grain))
        [outline] = [s for s in outlines if s["description"].startswith(f"{number},")]
        corners = np.array(outline["points"])
        assert [*corners.min(axis=0), *corners.max(axis=0)] == pytest.approx(
            [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], abs=1
        )
        [region] = [r for r in regions if r.name == f"{number:05d}-grain"]
        assert [region.left, region.top, region.right, region.bottom] == [
            xs.min(),
            ys.min(),
            xs.max() + 1,
            ys.max() + 1,
        ]


def test_a_region_of_a_stack_lies_on_its_page(done: DonePictures) -> None:
    regions = regions_of(done, picture_of(done, "stack_p1"))
    assert {region.position for region in regions} == {2}


def test_a_picture_without_grains_has_its_files_too(done: DonePictures) -> None:
    picture = picture_of(done, "none")
    assert len(done.folder.part(picture)) == 0
    assert not tifffile.imread(done.folder.file("labels", picture)).any()
    assert json.loads(done.folder.file("labelme", picture).read_text())["shapes"] == []
    assert done.folder.file("overlays", picture).stat().st_size > 0


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a.tif", grains_picture())
    done = measured_here(
        planned([picture], write_model(tmp_path), tmp_path / "out", write=["labels"])
    )
    assert {path.name for path in done.folder.out.iterdir()} == {"done", "labels", "parts"}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(b"no picture"), "not a TIFF file"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9_000]), "broken|truncated|ends|read"),
    ],
)
def test_a_picture_that_cannot_be_read_has_its_reason(
    tmp_path: Path, spoil: object, why: str
) -> None:
    path = write_picture(tmp_path / "a.tif", grains_picture())
    reader = PictureReader([Micrograph(path, 0, "a.tif", "a")], None)
    assert callable(spoil)
    spoil(path)
    with pytest.raises(UserError, match=why):
        reader(0)


def test_pages_of_another_size_are_said_where_they_are_no_previews(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    grains = grains_picture()
    with tifffile.TiffWriter(path) as writer:
        for pixels, kind in (
            (grains, 0),
            (grains[:-9], 0),
            (grains[:-9], 1),
            (grains[::2, ::2], 0),
            (grains, 0),
        ):
            writer.write(pixels, subfiletype=kind)
    pictures = [Micrograph(path, page, f"pages_p{page}.tif", f"pages_p{page}") for page in (0, 4)]
    first, last = (PictureReader(pictures, None)(number) for number in (0, 1))
    assert first.flags == ("pages of another size than the first are left out (from 0: 1)",)
    assert (first.n_pages, last.flags) == (2, ())


def test_scales_that_differ_by_more_than_3_percent_are_flagged_and_none_holds(
    tmp_path: Path,
) -> None:
    picture = write_picture(tmp_path / "a.tif", grains_picture(), nm_per_px=2.1)
    plan = planned([picture], write_model(tmp_path), tmp_path / "out", scale={"pixel_size": "2nm"})
    [record] = measured_here(plan).records.values()
    assert record.row["um_per_px"] is None
    assert "contradict" in record.row["flags"]


def test_scales_that_differ_by_less_hold(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a.tif", grains_picture(), nm_per_px=2.04)
    plan = planned([picture], write_model(tmp_path), tmp_path / "out", scale={"pixel_size": "2nm"})
    [record] = measured_here(plan).records.values()
    assert record.row["um_per_px"] == pytest.approx(0.002)


def test_strips_along_the_borders_narrow_what_is_analysed_and_a_box_inside_lessens_its_area() -> (
    None
):
    bar = Window(0, HEIGHT - 20, WIDTH, HEIGHT)
    box = Window(10, 10, 30, 20)
    read = ReadPicture((1, 1), WIDTH, HEIGHT, left_out=(bar, box))
    assert analysed_rectangle(read) == (0, 0, WIDTH, HEIGHT - 20)
    assert analysed_px(read) == WIDTH * (HEIGHT - 20) - 20 * 10
