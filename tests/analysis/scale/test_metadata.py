"""Pixel sizes in the tags of microscopes and programs; the files are made here."""

import struct
from pathlib import Path
from typing import Any

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import pytest
import tifffile

from analysis.scale.metadata import read_metadata
from analysis.scale.scale import Source

PIXELS = np.zeros((48, 64), np.uint8)


def tiff(path: Path, tags: list[tuple[Any, ...]], pixels: Any = PIXELS, **options: Any) -> Path:
    """A TIFF with tags of a maker."""
    tifffile.imwrite(path, pixels, extratags=tags, metadata=None, **options)
    return path


def text_tag(code: int, text: str, encoding: str = "cp1252") -> tuple[Any, ...]:
    content = text.encode(encoding)
    return (code, 1, len(content), content, True)


def zeiss(path: Path, sizes: dict[str, str], stored: str = "64 * 48", **options: Any) -> Path:
    """A TIFF with a Zeiss tag, of which the named lines are pixel sizes."""
    lines = ["0"] * 19 + ["DP_IMAGE_STORE", f"Store resolution = {stored}"]
    for key, line in sizes.items():
        lines += [key, line]
    return tiff(path, [text_tag(34118, "\r\n".join(lines) + "\r\n")], **options)


DECOYS = {
    "AP_FIB_PIXEL_SIZE": "FIB Pixel Size = 765.2 nm",
    "AP_PIXEL_SIZE": "Pixel Size = 9.99 nm",
    "AP_AR_PIXEL_SIZE": "Argon Pixel Size = 2.051 µm",
}


@pytest.mark.parametrize(
    ("written", "um"),
    [("5.86 nm", 0.00586), ("2.615 µm", 2.615), ("586.2 pm", 0.0005862), ("1.2 mm", 1200.0)],
)
def test_zeiss_says_it_in_any_unit_under_one_key_alone(
    tmp_path: Path, written: str, um: float
) -> None:
    line = {"AP_IMAGE_PIXEL_SIZE": f"Image Pixel Size = {written}"}
    for sizes in (DECOYS | line, line | DECOYS):
        found = read_metadata(zeiss(tmp_path / "z.tif", sizes))
        assert found.flags == ()
        assert found.scale is not None
        assert found.scale.um_per_px_x == pytest.approx(um, rel=1e-6)
        assert found.scale.source is Source.METADATA


def test_zeiss_decoys_alone_say_nothing(tmp_path: Path) -> None:
    assert read_metadata(zeiss(tmp_path / "z.tif", DECOYS)).scale is None


def test_tescan_says_it_in_metres_and_pixels_need_not_be_square(tmp_path: Path) -> None:
    text = "\x00[MAIN]\r\nImageStripSize=9\r\nPixelSizeX=0.000000004537772\r\nPixelSizeY=5e-9\r\n"
    found = read_metadata(tiff(tmp_path / "t.tif", [text_tag(50431, text)]))
    assert found.scale is not None
    assert found.scale.um_per_px_x == pytest.approx(0.004537772, rel=1e-6)
    assert found.scale.um_per_px_y == pytest.approx(0.005, rel=1e-6)
    assert not found.scale.is_square
    assert found.strip_px == 9


def fei(path: Path, width: int, height: int, **options: Any) -> Path:
    text = (
        "[User]\r\nDate=06/13/2016\r\n[Scan]\r\nPixelWidth=3.3724e-006\r\n"
        f"PixelHeight=3.3724e-006\r\n[Image]\r\nResolutionX={width}\r\nResolutionY={height}\r\n"
        "[PrivateFei]\r\nDatabarHeight=6\r\n"
    )
    return tiff(path, [text_tag(34682, text)], **options)


@pytest.mark.parametrize("height", [48, 42])
def test_fei_says_it_with_the_size_of_the_picture_without_its_data_bar(
    tmp_path: Path, height: int
) -> None:
    found = read_metadata(fei(tmp_path / "f.tif", 64, height))
    assert found.scale is not None
    assert found.scale.um_per_px == pytest.approx(3.3724, rel=1e-6)


def test_a_halved_picture_with_its_old_tag_is_flagged_and_not_believed(tmp_path: Path) -> None:
    half = PIXELS[::2, ::2]
    sizes = {"AP_IMAGE_PIXEL_SIZE": "Image Pixel Size = 5.86 nm"}
    for path in (
        zeiss(tmp_path / "z.tif", sizes, pixels=half),
        fei(tmp_path / "f.tif", 64, 42, pixels=half),
    ):
        found = read_metadata(path)
        assert found.scale is None
        assert len(found.flags) == 1
        assert "the file has 32 x 24: it was resampled or cropped" in found.flags[0]


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("nm", 1e-3), ("micron", 1.0), ("\\u00B5m", 1.0), ("mm", 1e3), ("pm", 1e-6)],
)
def test_imagej_says_it_in_its_own_unit(tmp_path: Path, unit: str, factor: float) -> None:
    path = tmp_path / "i.tif"
    options: dict[str, Any] = {"resolution": (4.0, 5.0), "metadata": {"unit": unit}}
    tifffile.imwrite(path, PIXELS, imagej=True, **options)
    found = read_metadata(path)
    assert found.scale is not None
    assert found.scale.um_per_px_x == pytest.approx(0.25 * factor, rel=1e-6)
    assert found.scale.um_per_px_y == pytest.approx(0.2 * factor, rel=1e-6)


def test_imagej_in_pixels_and_a_printers_resolution_say_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "p.tif", PIXELS, imagej=True, resolution=(1.0, 1.0), metadata={"unit": "pixel"}
    )
    tifffile.imwrite(tmp_path / "d.tif", PIXELS, resolution=(300, 300), resolutionunit="INCH")
    tifffile.imwrite(tmp_path / "c.tif", PIXELS, resolution=(64, 64), resolutionunit="CENTIMETER")
    for name in ("p.tif", "d.tif", "c.tif"):
        found = read_metadata(tmp_path / name)
        assert (found.scale, found.flags) == (None, ())


@pytest.mark.parametrize(
    ("unit", "factor"), [("nm", 1e-3), ("µm", 1.0), ("Å", 1e-4), ("pm", 1e-6), (None, 1.0)]
)
def test_ome_says_it_with_its_unit_or_in_micrometres(
    tmp_path: Path, unit: str | None, factor: float
) -> None:
    sizes = {"PhysicalSizeX": 1.7, "PhysicalSizeY": 1.8}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit} if unit else {}
    path = tmp_path / "o.ome.tif"
    tifffile.imwrite(path, PIXELS, ome=True, metadata={"axes": "YX", **sizes, **units})
    found = read_metadata(path)
    assert found.scale is not None
    assert found.scale.um_per_px_x == pytest.approx(1.7 * factor, rel=1e-6)
    assert found.scale.um_per_px_y == pytest.approx(1.8 * factor, rel=1e-6)


def test_pages_that_were_put_together_have_each_their_own_scale(tmp_path: Path) -> None:
    lines = "PixelSizeX={0}e-9\r\nPixelSizeY={0}e-9\r\n"
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for tags in ([5], [20], []):
            given = [text_tag(50431, lines.format(nm)) for nm in tags]
            writer.write(PIXELS, extratags=given, metadata=None)
    found = [read_metadata(path, page).scale for page in range(3)]
    assert [scale and round(scale.um_per_px, 9) for scale in found] == [0.005, 0.02, 0.005]


def test_images_of_one_ome_file_have_each_their_own_scale(tmp_path: Path) -> None:
    path = tmp_path / "several.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for nm in (5, 20):
            said = {"PhysicalSizeX": nm, "PhysicalSizeXUnit": "nm", "axes": "ZYX"}
            writer.write(np.zeros((2, 48, 64), np.uint8), photometric="minisblack", metadata=said)
    scales = [read_metadata(path, page).scale for page in range(4)]
    assert [scale and scale.um_per_px for scale in scales] == [0.005, 0.005, 0.02, 0.02]
    words = str(tifffile.tiffcomment(path)).replace(" IFD=", " NOT=")
    tifffile.tiffcomment(path, words.replace("PlaneCount=", "NONE="))
    found = read_metadata(path, 2)
    assert found.scale is None
    assert "OME has several images of different scale" in found.flags[0]


def test_an_mrc_says_it_in_its_header(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "m.mrc") as mrc:
        mrc.set_data(np.zeros((8, 9), np.float32))
        mrc.voxel_size = 1.77
    found = read_metadata(tmp_path / "m.mrc")
    assert found.scale is not None
    assert found.scale.um_per_px == pytest.approx(1.77e-4, rel=1e-6)


def test_a_tag_that_makes_no_sense_is_a_flag_and_no_scale(tmp_path: Path) -> None:
    zero = text_tag(50431, "PixelSizeX=0\r\nPixelSizeY=0\r\n")
    found = read_metadata(tiff(tmp_path / "t.tif", [zero]))
    assert found.scale is None
    assert found.flags == ("Tescan tag 50431, PixelSizeX is no length above 0",)
    (tmp_path / "b.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 4096))
    assert "cannot be read" in read_metadata(tmp_path / "b.tif").flags[0]
