import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mrcfile  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageOps, PngImagePlugin

from trainables.datasets.images import UnreadableImageError, probe, read_labels, read_picture

GREY = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
DEEP = (np.random.default_rng(2).integers(0, 4000, (30, 40)) + 200).astype(np.uint16)


def _save(path: Path, pixels: npt.NDArray[Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_8_bit_png_is_kept_as_it_is(tmp_path: Path) -> None:
    for pixels in (GREY, RGB):
        picture = read_picture(_save(tmp_path / "a.png", pixels))
        assert np.array_equal(picture.pixels, pixels)
        assert picture.verbatim
        assert picture.changes == ()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_between_the_percentiles(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    deep = DEEP.copy()
    deep[0, 0] = 65535  # one hot pixel must not darken the picture
    assert cv2.imwrite(str(path), deep)
    picture = read_picture(path)
    low, high = np.percentile(deep, [0.1, 99.9])
    expected = np.clip((deep - low) / (high - low) * 255, 0, 255)
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels - expected).max() < 2
    assert picture.changes == ("uint16 scaled to 8 bits",)
    assert not picture.verbatim


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_values_of_the_file_are_kept_where_they_are_asked_for(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), DEEP)
    stored = read_picture(path, keep_stored=True).stored
    assert stored is not None
    assert stored.dtype == np.uint16
    assert (stored == DEEP).all()
    assert read_picture(path).stored is None


def test_16_bit_colours_share_one_scale_and_keep_their_order(tmp_path: Path) -> None:
    deep = np.stack([DEEP, DEEP // 2, DEEP // 4], axis=2)
    cv2.imwrite(str(tmp_path / "a.png"), deep[:, :, ::-1])
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    png, tif = (read_picture(tmp_path / f"a{s}").pixels for s in (".png", ".tif"))
    assert np.array_equal(png, tif)
    assert png[..., 0].mean() > png[..., 1].mean() > png[..., 2].mean()


def test_float_pictures_are_scaled_and_nan_does_no_harm(tmp_path: Path) -> None:
    pixels = np.linspace(-1, 1, 1200, dtype=np.float32).reshape(30, 40)
    pixels[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    got = read_picture(tmp_path / "a.tif").pixels
    assert (got[0, 0], got[0, 1], got[-1, -1]) == (0, 0, 255)


def test_pixels_that_are_no_number_are_told(tmp_path: Path) -> None:
    pixels = np.linspace(-1, 1, 1200, dtype=np.float32).reshape(30, 40)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    picture = read_picture(_mrc(tmp_path / "a.mrc", pixels))
    assert picture.pixels[0, :3].tolist() == [0, 255, 0]
    assert "pixels that are NaN or infinite drawn black or white" in picture.changes


@pytest.mark.parametrize(
    ("name", "pixels", "says"),
    [
        ("a.tif", np.full((30, 40), 700, np.uint16), "percentile are all 700"),
        ("a.tif", np.full((30, 40), 7, np.uint8), "all its pixels are 7"),
        ("a.png", np.full((30, 40, 3), (1, 2, 3), np.uint8), "all its pixels are 1/2/3"),
        ("a.mrc", np.full((30, 40), -2.5, np.float32), "percentile are all -2.5"),
        ("a.mrc", np.full((30, 40), np.nan, np.float32), "all its pixels are NaN or infinite"),
        ("a.mrc", np.full((30, 40), np.inf, np.float32), "all its pixels are NaN or infinite"),
    ],
)
def test_a_picture_in_which_nothing_can_be_seen_is_refused(
    name: str, pixels: npt.NDArray[Any], says: str, tmp_path: Path
) -> None:
    writers: dict[str, Callable[[Path, npt.NDArray[Any]], object]] = {
        ".tif": tifffile.imwrite,
        ".png": _save,
        ".mrc": _mrc,
    }
    writers[Path(name).suffix](tmp_path / name, pixels)
    with pytest.raises(UnreadableImageError, match=f"there is nothing to see: .*{says}"):
        read_picture(tmp_path / name)


def test_transparency_is_blended_over_black(tmp_path: Path) -> None:
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[:, :20] = 0
    alpha[:, 20:30] = 128
    picture = read_picture(_save(tmp_path / "a.png", np.dstack([RGB, alpha])))
    assert picture.pixels.shape == (30, 40, 3)
    assert not picture.pixels[:, :20].any()
    assert np.array_equal(picture.pixels[:, 30:], RGB[:, 30:])
    assert np.abs(picture.pixels[:, 20:30] - RGB[:, 20:30] * (128 / 255)).max() <= 1
    assert picture.changes == ("transparency blended over black",)


def test_opaque_transparency_changes_no_pixel(tmp_path: Path) -> None:
    opaque = np.dstack([RGB, np.full((30, 40), 255, np.uint8)])
    assert np.array_equal(read_picture(_save(tmp_path / "a.png", opaque)).pixels, RGB)


def test_every_page_of_a_tiff_is_a_picture_but_its_preview(tmp_path: Path) -> None:
    pages = [GREY, GREY[::-1], GREY[:15, :20], GREY[:, ::-1]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, photometric="minisblack", contiguous=False)
    header = probe(tmp_path / "a.tif")
    assert (header.width, header.height, header.pages) == (40, 30, (0, 1, 3))
    for number in header.pages:
        assert np.array_equal(read_picture(tmp_path / "a.tif", number).pixels, pages[number])


def test_other_kinds_of_pictures_are_read(tmp_path: Path) -> None:
    bits = GREY > 128
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "palette.png")
    _save(tmp_path / "bits.png", bits)
    _save(tmp_path / "a.bmp", RGB)
    tifffile.imwrite(tmp_path / "white_is_0.tif", GREY, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "lzw.tif", GREY, compression="lzw")
    assert np.array_equal(read_picture(tmp_path / "bits.png").pixels, bits * np.uint8(255))
    assert np.array_equal(read_picture(tmp_path / "a.bmp").pixels, RGB)
    assert np.array_equal(read_picture(tmp_path / "white_is_0.tif").pixels, 255 - GREY)
    assert np.array_equal(read_picture(tmp_path / "lzw.tif").pixels, GREY)
    colors = np.asarray(palette.convert("RGB"))
    assert np.array_equal(read_picture(tmp_path / "palette.png").pixels, colors)


def test_orientation_of_a_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.tile(np.arange(0, 240, 6, dtype=np.uint8), (30, 1))
    path = _save(tmp_path / "a.jpg", ramp, exif=exif, quality=95)
    header = probe(path)
    picture = read_picture(path)
    assert (header.width, header.height) == (30, 40)
    assert picture.pixels.shape == (40, 30)
    assert picture.pixels[0].mean() < picture.pixels[-1].mean()
    assert picture.changes


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_that_ends_early_is_found_without_decoding(suffix: str, tmp_path: Path) -> None:
    path = _save(tmp_path / f"a{suffix}", GREY)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableImageError):
        probe(path)


def test_a_tiff_that_ends_early_is_found_when_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableImageError):
        read_picture(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_what_is_no_picture_is_said_to_be_none(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        probe(path)
    assert str(tmp_path) not in str(error.value)


def test_label_pictures_keep_their_numbers(tmp_path: Path) -> None:
    numbers = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    cv2.imwrite(str(tmp_path / "a.png"), numbers)
    tifffile.imwrite(tmp_path / "a.tif", numbers.astype(np.int32))
    tifffile.imwrite(tmp_path / "float.tif", numbers.astype(np.float32))
    palette = Image.fromarray((numbers % 7).astype(np.uint8), mode="P")
    palette.putpalette([9, 9, 9] * 256)
    palette.save(tmp_path / "palette.png")
    for name in ("a.png", "a.tif", "float.tif"):
        assert np.array_equal(read_labels(tmp_path / name), numbers)
    assert np.array_equal(read_labels(tmp_path / "palette.png"), numbers % 7)


def test_a_coloured_label_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="expected one channel of numbers, got 3"):
        read_labels(_save(tmp_path / "a.png", RGB))


# --- what a file is, and how large


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".mrc"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_the_content_says_what_a_picture_is_whatever_its_suffix(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    smooth = cv2.GaussianBlur(GREY, (0, 0), 4)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(smooth).save(path, format=kind)
    header, picture = probe(path), read_picture(path)
    assert (header.width, header.height) == (40, 30)
    assert np.abs(picture.pixels.astype(int) - smooth).max() <= (3 if kind == "JPEG" else 0)
    assert picture.verbatim == (kind == "PNG")
    if kind != "JPEG":
        assert np.array_equal(read_labels(path), smooth)


def test_an_mrc_under_another_suffix_is_one(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "a.mrc", np.stack([GREY, GREY[::-1]]).astype(np.float32))
    picture = path.rename(tmp_path / "a.tif")
    assert probe(picture).pages == (0, 1)
    assert read_picture(picture, 1).pixels.std() > 50


def test_a_picture_above_pillows_limit_is_read(tmp_path: Path) -> None:
    side = 13_500  # 182 million pixels; Pillow refuses 179
    drawn = Image.new("1", (side, side))
    drawn.paste(1, (300, 100, 500, 200))
    path = tmp_path / "a.png"
    drawn.save(path, compress_level=1)
    assert probe(path).width == side
    assert np.count_nonzero(read_picture(path).pixels) == 100 * 200


def test_a_picture_that_opencv_could_not_read_again_is_refused_by_its_header(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY)
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[tag].overwrite(40_000)  # type: ignore[union-attr]
    with pytest.raises(UnreadableImageError, match="40000 x 40000 pixels, more than 1073741824"):
        probe(path)


def test_a_long_description_does_not_make_a_picture_unreadable(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("instrument", "x" * 3_000_000, zip=True)
    path = _save(tmp_path / "a.png", GREY, pnginfo=text)
    assert probe(path).width == 40
    assert np.array_equal(read_picture(path).pixels, GREY)


# --- channels, compressions and levels of TIFF


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("n_extra", [1, 2, 4])
def test_a_second_detector_is_no_transparency(n_extra: int, planar: str, tmp_path: Path) -> None:
    channels = np.stack([GREY, *([GREY[::-1] // 2] * n_extra)])
    pixels = np.moveaxis(channels, 0, -1) if planar == "contig" else channels
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels,
        photometric="minisblack",
        planarconfig=planar,
        extrasamples=["unspecified"] * n_extra,
    )
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, GREY)
    noun = "channel is" if n_extra == 1 else "channels are"
    said = f"{n_extra} further {noun} left out (no transparency); the first one used"
    assert picture.changes == (said,)


def test_a_fourth_channel_is_transparency_only_where_the_file_says_so(tmp_path: Path) -> None:
    half = np.full((30, 40, 1), 128, np.uint8)
    four = np.dstack([RGB, half])
    dark = np.rint(RGB * (128 / 255)).astype(np.uint8)
    wanted = {"unspecified": RGB, "assocalpha": RGB, "unassalpha": dark}
    for kind, pixels in wanted.items():
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, four, photometric="rgb", extrasamples=[kind])
        got = read_picture(path)
        assert np.abs(got.pixels.astype(int) - pixels).max() <= 1, kind
        assert ("further channel" in got.changes[0]) == (kind == "unspecified")


@pytest.mark.parametrize("kind", ["jpeg2000", "zstd", "lzma", "webp", "jpegxl", "png", "lerc"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_compressions_that_pillow_lacks_are_read(
    kind: str, pixels: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    if kind == "webp" and pixels.ndim == 2:
        pytest.skip("WebP holds colours only")
    path = tmp_path / "a.tif"
    options = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}}.get(kind)
    tifffile.imwrite(path, pixels, compression=kind, compressionargs=options)
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, pixels)
    assert not picture.verbatim


def test_a_palette_that_pillow_cannot_decode_is_read_by_tifffile(tmp_path: Path) -> None:
    palette = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 9)]) * 257
    tifffile.imwrite(
        tmp_path / "b.tif",
        GREY,
        photometric="palette",
        colormap=palette.astype(np.uint16),
        compression="zstd",
    )
    colors = read_picture(tmp_path / "b.tif").pixels
    assert np.array_equal(colors, np.dstack([GREY, 255 - GREY, np.full_like(GREY, 9)]))
    assert np.array_equal(read_labels(tmp_path / "b.tif"), GREY)


@pytest.mark.parametrize(
    ("kind", "offset", "step"),
    [
        ("float64", 1e9, 0.01),
        ("float64", -3e12, 1.0),
        ("int32", 2_000_000_000, 1),
        ("uint32", 4_000_000_000, 3),
        ("float32", 0.0, 1e-41),
        ("float64", 0.0, 1e300),
    ],
)
def test_levels_far_above_their_range_are_told_apart(
    kind: str, offset: float, step: float, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, (GREY * np.float64(step) + offset).astype(kind))
    picture = read_picture(path)
    low, high = np.percentile(GREY, [0.1, 99.9])
    wanted = np.clip((GREY - low) / (high - low) * 255, 0, 255)
    assert np.abs(picture.pixels - wanted).max() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [GREY, DEEP, np.dstack([DEEP, DEEP // 2, DEEP // 3])])
def test_a_png_of_any_depth_is_turned_as_its_orientation_says(
    orientation: int, pixels: npt.NDArray[Any], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.fromarray(np.arange(1200, dtype=np.int32).reshape(30, 40))
    upright.getexif()[0x0112] = orientation
    order = np.asarray(ImageOps.exif_transpose(upright)).ravel()
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels)
    _with_exif(path, exif.tobytes().removeprefix(b"Exif\0\0"))
    plain = tmp_path / "plain.png"
    cv2.imwrite(str(plain), pixels)
    header, picture, as_stored = probe(path), read_picture(path), read_picture(plain)
    assert (header.height, header.width) == picture.pixels.shape[:2]
    flat = as_stored.pixels.reshape(1200, -1)[order]
    assert np.array_equal(picture.pixels.reshape(1200, -1), flat)
    assert (picture.changes[:1] == ("turned as its orientation says",)) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "deep", "rgb", "palette", "lzw"])
def test_a_tiff_is_turned_as_its_orientation_says_and_so_are_its_numbers(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    colours = np.dstack([GREY, GREY // 2, GREY // 3])
    kinds: dict[str, npt.NDArray[Any]] = {"deep": DEEP, "rgb": colours}
    stored = kinds.get(kind, GREY)
    picture = Image.fromarray(stored)
    if kind == "palette":
        picture.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    path = tmp_path / "a.tif"
    packed = "tiff_lzw" if kind == "lzw" else None
    picture.save(path, tiffinfo={274: orientation}, compression=packed)
    numbers = Image.fromarray(np.arange(1200, dtype=np.int32).reshape(30, 40))
    numbers.getexif()[0x0112] = orientation
    order = np.asarray(ImageOps.exif_transpose(numbers)).ravel()
    picture.save(tmp_path / "plain.tif")
    header, read = probe(path), read_picture(path)
    flat = read_picture(tmp_path / "plain.tif").pixels.reshape(1200, -1)[order]
    assert (header.height, header.width, header.orientation) == (
        *read.pixels.shape[:2],
        orientation,
    )
    assert np.array_equal(read.pixels.reshape(1200, -1), flat)
    assert ("turned as its orientation says" in read.changes) == (orientation > 1)
    if kind != "rgb":
        assert np.array_equal(read_labels(path).ravel(), stored.ravel()[order])


def test_a_palette_png_of_numbers_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(GREY)
    picture.putpalette([0, 0, 0] * 256)
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_labels(tmp_path / "a.png"), np.rot90(GREY, -1))


def _with_exif(path: Path, data: bytes) -> None:
    """Put an eXIf chunk behind the header of a PNG, as PIL does not for 16-bit colours."""
    content = path.read_bytes()
    body = b"eXIf" + data
    chunk = struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(content[:33] + chunk + content[33:])


# --- MRC


def _mrc(path: Path, data: npt.NDArray[Any], side_angstrom: float = 0.0) -> Path:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = side_angstrom
    return path


@pytest.mark.parametrize("kind", ["float32", "float16", "int16", "int8", "uint16"])
def test_mrc_of_any_depth_is_scaled_with_its_first_row_first(kind: str, tmp_path: Path) -> None:
    values = np.maximum(GREY.astype(np.int16) // 2 - 40, 0 if kind == "uint16" else -40).astype(
        kind
    )
    picture = read_picture(_mrc(tmp_path / "a.mrc", values))
    low, high = picture.grey_range or (0.0, 0.0)
    wanted = (values.astype(np.float64) - low) / (high - low) * 255
    assert picture.pixels == pytest.approx(np.clip(wanted, 0, 255), abs=0.51)
    assert picture.changes == (f"{kind} scaled to 8 bits",)


@pytest.mark.parametrize("name", ["stack.mrc", "stack.mrcs"])
def test_every_section_of_an_mrc_stack_is_a_picture(name: str, tmp_path: Path) -> None:
    stack = np.stack([GREY, GREY[::-1], GREY[:, ::-1]]).astype(np.float32)
    path = _mrc(tmp_path / name, stack)
    assert probe(path).pages == (0, 1, 2)
    first, second = (read_picture(path, page).pixels for page in (0, 1))
    assert np.array_equal(first[::-1], second)


@pytest.mark.parametrize(("side", "um"), [(1.77, 1.77e-4), (0.0, None), (1.0, None)])
def test_the_header_of_an_mrc_tells_size_and_pixel_size(
    side: float, um: float | None, tmp_path: Path
) -> None:
    header = probe(_mrc(tmp_path / "a.mrc", GREY.astype(np.float32), side))
    assert (header.width, header.height) == (40, 30)
    assert header.um_per_px == (None if um is None else pytest.approx(um))


def test_an_mrc_of_an_older_program_without_its_mark_is_read(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "a.mrc", GREY.astype(np.float32))
    content = bytearray(path.read_bytes())
    content[208:216] = bytes(8)  # "MAP " and the machine stamp
    path.write_bytes(bytes(content))
    assert probe(path).width == 40
    assert read_picture(path).pixels.std() > 50


@pytest.mark.parametrize("kept", [0, 500, 1024, 3000])
def test_an_mrc_that_ends_early_is_found_without_decoding(kept: int, tmp_path: Path) -> None:
    path = _mrc(tmp_path / "a.mrc", GREY.astype(np.float32))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableImageError):
        probe(path)


def _patched(path: Path, at: int, kind: str, *values: float) -> Path:
    """Write numbers into the header of an MRC file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{kind}", content, at, *values)
    path.write_bytes(bytes(content))
    return path


def test_bytes_of_which_nothing_says_the_sign_are_asked_about(tmp_path: Path) -> None:
    old = _patched(_mrc(tmp_path / "a.mrc", UNSIGNED), 108, "i", 0)
    for densities in ((0.0, 0.0, 0.0), (0.0, 127.0, 60.0), (0.0, -1.0, -2.0)):
        with pytest.raises(UnreadableImageError, match=r"may be -128 to 127 or 0 to 255: neither"):
            read_picture(_patched(old, 76, "fff", *densities))
    assert read_picture(_patched(old, 76, "fff", -128, 127, 0)).changes == (
        "int8 scaled to 8 bits",
    )
    assert np.array_equal(read_picture(_patched(old, 76, "fff", 0, 255, 120)).pixels, GREY)
    low = _mrc(tmp_path / "b.mrc", (GREY // 2).view(np.int8))  # the sign does not matter
    assert probe(_patched(_patched(low, 108, "i", 0), 76, "fff", 0, 0, 0)).width == 40


@pytest.mark.parametrize(
    ("mode", "said"), [(101, r"pixels have 4 bits \(mode 101\)"), (7, "its mode 7 is not read")]
)
def test_a_mode_that_is_not_read_is_named(mode: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=said):
        probe(_patched(_mrc(tmp_path / "a.mrc", GREY.astype(np.int16)), 12, "i", mode))


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".png"])
def test_a_packed_picture_is_told_to_be_packed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(_mrc(tmp_path / "b.mrc", GREY.astype(np.int16)).read_bytes()))
    with pytest.raises(UnreadableImageError, match="it is packed by gzip; unpack it"):
        probe(path)


@pytest.mark.parametrize("kind", ["int64", "uint64"])
@pytest.mark.parametrize("offset", [1 << 53, (1 << 62) + 12345, -(1 << 60)])
def test_levels_above_an_offset_that_floats_cannot_hold_are_kept(
    kind: str, offset: int, tmp_path: Path
) -> None:
    offset = offset % (1 << 64) if kind == "uint64" else offset
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY.astype(kind) + np.array(offset, dtype=kind))
    picture = read_picture(path)
    low, high = np.percentile(GREY, [0.1, 99.9])
    wanted = np.clip((GREY - low) / (high - low) * 255, 0, 255)
    assert np.abs(picture.pixels - wanted).max() < 1.5
    assert picture.changes == (f"{kind} scaled to 8 bits",)
    assert picture.grey_range == pytest.approx((offset + low, offset + high))
    flat = np.full((30, 40), offset, dtype=kind)
    tifffile.imwrite(path, flat)
    with pytest.raises(UnreadableImageError, match="percentile are all"):
        read_picture(path)


def test_numbers_that_floats_do_not_tell_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for kind, exact in (("float32", 1 << 24), ("float64", 1 << 53)):
        tifffile.imwrite(path, (GREY.astype(np.int64) + exact - 256).astype(kind))
        assert np.array_equal(read_labels(path), GREY.astype(np.int64) + exact - 256)
        tifffile.imwrite(path, (GREY.astype(np.int64) * 4 + exact).astype(kind))
        with pytest.raises(UnreadableImageError, match=f"those beyond {exact} are not told apart"):
            read_labels(path)


def test_a_transform_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="complex numbers"):
        probe(_mrc(tmp_path / "a.mrc", GREY.astype(np.complex64)))


UNSIGNED = GREY.view(np.int8)


def _with_stamp(path: Path, flags: int | None, order: str = "<") -> Path:
    """Put IMOD's stamp and flags into the header of an MRC file, or take the mark of 2014 away."""
    content = bytearray(path.read_bytes())
    if flags is None:
        content[152:160] = bytes(8)
    else:
        content[152:160] = struct.pack(f"{order}ii", 1146047817, flags)
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("flags", [0, 2, 4])
def test_bytes_that_imod_calls_unsigned_are_kept_as_they_are(flags: int, tmp_path: Path) -> None:
    path = _with_stamp(_mrc(tmp_path / "a.mrc", UNSIGNED), flags)
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, GREY)
    assert (picture.grey_range, picture.changes) == (None, ())


@pytest.mark.parametrize("flags", [1, 3])
def test_bytes_that_imod_calls_signed_are_signed(flags: int, tmp_path: Path) -> None:
    path = _with_stamp(_mrc(tmp_path / "a.mrc", UNSIGNED), flags)
    order = np.argsort(UNSIGNED.ravel(), kind="stable")
    assert (np.diff(read_picture(path).pixels.ravel()[order].astype(int)) >= 0).all()
    assert read_picture(path).changes == ("int8 scaled to 8 bits",)


def test_a_big_endian_files_stamp_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(UNSIGNED)
        file.header.mode  # noqa: B018  the header is there
    content = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(content[:1024]), mrcfile.dtypes.HEADER_DTYPE)
    content[:1024] = header.astype(mrcfile.dtypes.HEADER_DTYPE.newbyteorder(">")).tobytes()
    content[212:216] = b"\x11\x11\0\0"
    path.write_bytes(bytes(content))
    assert np.array_equal(read_picture(_with_stamp(path, 0, ">")).pixels, GREY)


@pytest.mark.parametrize(("largest", "unsigned"), [(255.0, True), (127.0, False), (0.0, False)])
def test_without_a_stamp_the_largest_density_of_the_header_decides(
    largest: float, unsigned: bool, tmp_path: Path
) -> None:
    path = _with_stamp(_mrc(tmp_path / "a.mrc", UNSIGNED), None)
    content = bytearray(path.read_bytes())
    content[76:88] = struct.pack("<fff", 0, largest, largest / 2)
    path.write_bytes(bytes(content))
    assert np.array_equal(read_picture(path).pixels, GREY) == unsigned


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.mrc"])
def test_a_file_without_a_byte_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for read in (probe, read_picture, read_labels):
        with pytest.raises(UnreadableImageError, match="the file is empty"):
            read(tmp_path / name)
