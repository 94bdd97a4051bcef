"""Scale bars and metadata of real pictures, against the truth that was measured by hand."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile

from analysis.pictures.micrographs import Micrograph
from analysis.scale.bar.ocr import ocr_is_installed
from analysis.scale.reading import ScaleWishes, read_scale
from analysis.scale.scale import ScaleReading, Source
from tests.support.places import DATA

FOLDERS = ("sem_scalebar", "sem_agglomerates")
HALF_BAR_PX = 50
ONLY_BAR, ONLY_METADATA = ScaleWishes(Source.BAR), ScaleWishes(Source.METADATA)
AUTO = ScaleWishes()

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"there are no real pictures in {DATA}"),
    pytest.mark.skipif(not ocr_is_installed(), reason="rapidocr and onnxruntime are not installed"),
]


def rows() -> list[tuple[str, dict[str, str]]]:
    """Pictures of the data, with what was measured of each."""
    tables = [name for name in FOLDERS if (DATA / name / "scale.csv").is_file()]
    return [
        (name, row)
        for name in tables
        for row in csv.DictReader((DATA / name / "scale.csv").read_text().splitlines())
    ]


ROWS = rows()
WITH_BAR = [(name, row) for name, row in ROWS if row["bar_px"]]
WITHOUT_BAR = [(name, row) for name, row in ROWS if not row["bar_px"]]
WITH_TAG = [(n, r) for n, r in ROWS if "TIFF tag" in r["um_per_px_from"]]


def named(values: object) -> str:
    return values["file"] if isinstance(values, dict) else str(values)


@cache
def reading(folder: str, file: str, wishes: ScaleWishes) -> ScaleReading:
    path = DATA / folder / file
    return read_scale(Micrograph(path, 0, file, path.stem), wishes).reading


@pytest.mark.parametrize(("folder", "row"), WITH_BAR, ids=named)
def test_the_bar_is_found_and_read(folder: str, row: dict[str, str]) -> None:
    found = reading(folder, row["file"], ONLY_BAR)
    bar, scale = found.bar, found.scale
    assert bar is not None, found.reason
    assert scale is not None
    assert bar.text.replace(" ", "") == row["bar_text"].replace(" ", "")
    true_px, um = int(row["bar_px"]), float(row["bar_um"])
    assert abs(bar.length_px - true_px) <= max(1, 0.02 * true_px)
    limit = 0.03 if true_px < HALF_BAR_PX else 0.02
    assert scale.um_per_px == pytest.approx(um / true_px, rel=limit)
    assert scale.rel_uncertainty == pytest.approx(1 / bar.length_px)
    assert (scale.source, found.flags) == (Source.BAR, ())


@pytest.mark.parametrize(("folder", "row"), WITHOUT_BAR, ids=named)
def test_a_picture_without_a_bar_stays_empty(folder: str, row: dict[str, str]) -> None:
    for wishes in (ONLY_BAR, AUTO):
        found = reading(folder, row["file"], wishes)
        assert (found.scale, found.bar) == (None, None)
        assert found.reason


@pytest.mark.parametrize(("folder", "row"), WITH_TAG, ids=named)
def test_the_tag_of_the_microscope_is_exact(folder: str, row: dict[str, str]) -> None:
    if not row["file"].endswith(".tif"):
        pytest.skip("the tag is that of another file, of which this picture was made")
    found = reading(folder, row["file"], ONLY_METADATA)
    assert found.scale is not None
    assert found.scale.um_per_px_x == pytest.approx(float(row["um_per_px"]), rel=1e-6)
    assert found.flags == ()


@pytest.mark.parametrize(("folder", "row"), WITH_BAR, ids=named)
def test_bar_and_metadata_agree_where_both_are_there(folder: str, row: dict[str, str]) -> None:
    found = reading(folder, row["file"], AUTO)
    assert found.flags == ()  # none of these pictures contradicts itself
    assert found.scale is not None
    assert found.scale.um_per_px == pytest.approx(float(row["um_per_px"]), rel=0.03)


@pytest.mark.parametrize(("folder", "row"), ROWS, ids=named)
def test_the_data_bar_is_not_analysed(folder: str, row: dict[str, str]) -> None:
    found = reading(folder, row["file"], AUTO)
    rows_left = sum(area.pixels for area in found.analysed)
    if not row["bar_px"]:
        assert rows_left == 1280 * 960
    elif row["file"].endswith((".jpg", ".tif")):
        assert all(area.y + area.height <= int(row["bar_y"]) for area in found.analysed)
    assert rows_left > 0


@pytest.mark.parametrize("name", ["zeiss_1.tif", "fei_helios_8bit.tif"])
def test_a_halved_picture_with_its_old_tag_is_flagged(name: str, tmp_path: Path) -> None:
    original = DATA / "sem_scalebar" / "images" / name
    if not original.is_file():
        pytest.skip(f"there is no {original}")
    with tifffile.TiffFile(original) as tiff:
        page = tiff.pages.first
        code = 34118 if tiff.is_sem else 34682
        tag = page.tags[code]
        tiff.filehandle.seek(tag.valueoffset)
        content = tiff.filehandle.read(tag.count)
        pixels = page.asarray()
    half = np.ascontiguousarray(pixels[::2, ::2])
    tags = [(code, 1, len(content), content, True)]
    tifffile.imwrite(tmp_path / name, half, extratags=tags, metadata=None)
    found = read_scale(Micrograph(tmp_path / name, 0, name, "half"), ONLY_METADATA).reading
    assert found.scale is None
    assert "resampled or cropped" in found.flags[0]


def test_both_sets_of_real_pictures_are_whole() -> None:
    if len({name for name, _ in ROWS}) < len(FOLDERS):
        pytest.skip("not all sets of pictures are here")
    assert (len(WITH_BAR), len(WITHOUT_BAR)) == (28, 3)
