"""Pictures of any kind in, 8-bit grey or RGB out.

What is done, so that a picture looks the same to every engine:

- 8-bit grey and RGB are kept as they are (a PNG byte for byte).
- More than 8 bits: the 0.1 and 99.9 percentiles of the picture become 0 and 255, linearly, one
  scale for all channels; beyond them is cut off. Pixels that are NaN or infinite do not count
  for them, and become 0 (NaN, minus infinity) or 255.
- A picture of one grey level between these percentiles (8 bits: everywhere), or without a finite
  pixel, is refused: there is nothing to see in it.
- Transparency: blended over black, so opaque pixels do not change.
- Palettes and bilevel pictures: their colours.
- The orientation a camera wrote into a JPEG or PNG is applied, as annotation tools do.
- A TIFF of several pages of one size: each page is a picture; smaller pages (previews) are not.
- MRC (.mrc, .mrcs): the rows in the order of the file, so that coordinates of RELION and EMAN fit;
  each section of a stack is a picture. The pixel size is the header's, unless that is 0 or 1 Å,
  which is what programs write that do not know it.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageOps

SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".mrc", ".mrcs"}
)

PAGED: Final = frozenset({".mrc", ".mrcs", ".tif", ".tiff"})
"""Suffixes of files that may hold several pictures."""

LOW_PERCENT: Final = 0.1

HIGH_PERCENT: Final = 99.9

_TIFF: Final = frozenset({".tif", ".tiff"})

_JPEG: Final = frozenset({".jpg", ".jpeg"})

_MRC: Final = frozenset({".mrc", ".mrcs"})

_UNKNOWN_ANGSTROM: Final = (0.0, 1.0)

_UM_PER_ANGSTROM: Final = 1e-4

_opening_mrc = threading.Lock()  # warnings are switched off for all threads at once

_ORIENTATION: Final = 0x0112

_TAIL_BYTES: Final = 1 << 16

_PLAIN_TIFF: Final = (0, 1, 2)  # min is white, min is black, RGB

_PNG_DEPTH_BYTE: Final = 24

Pixels = npt.NDArray[Any]

_T = TypeVar("_T")


class UnreadableImageError(Exception):
    """A file that is no picture, or only a part of one."""


@dataclass(frozen=True)
class Header:
    """Size and pages of a picture, known before its pixels are decoded.

    Attributes:
        width: Columns as seen, that is, after the orientation is applied.
        height: Rows as seen.
        pages: Pages of this size, in the order of the file: their indices.
        um_per_px: Side of a pixel in micrometres, or None where the file does not say it.
    """

    width: int
    height: int
    pages: tuple[int, ...] = (0,)
    um_per_px: float | None = None


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded picture.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8, RGB.
        changes: Changes to its pixels, in a few words each; empty if none.
        verbatim: Whether the file itself is an 8-bit PNG that can be copied as it is.
        grey_range: The stored values that became 0 and 255, or None where nothing was scaled.
    """

    pixels: npt.NDArray[np.uint8]
    changes: tuple[str, ...]
    verbatim: bool
    grey_range: tuple[float, float] | None = None


def probe(path: Path) -> Header:
    """Size and pages of a picture; also finds a file that ends early, without decoding it.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    if path.suffix.lower() in _MRC:
        return _guarded(_probe_mrc, path)
    return _guarded(_probe_tiff if path.suffix.lower() in _TIFF else _probe_other, path)


def read_picture(path: Path, page: int = 0) -> DecodedPicture:
    """Decode one page of a picture and bring it to 8 bits.

    Raises:
        UnreadableImageError: It cannot be decoded, or there is nothing to see in it.
    """
    raw, oriented = _guarded(lambda file: _decode(file, page), path)
    if raw.size == 0:
        raise UnreadableImageError("it has no pixels")
    changes = ["turned as its orientation says"] if oriented else []
    opaque = _blend(raw, changes)
    grey_range = _grey_range(opaque)
    _refuse_blank(opaque, grey_range)
    pixels = _to_8_bits(opaque, grey_range, changes)
    verbatim = not changes and path.suffix.lower() not in _MRC and _is_plain_png(path)
    return DecodedPicture(pixels, tuple(changes), verbatim, grey_range)


def read_labels(path: Path, page: int = 0) -> Pixels:
    """Numbers of a label picture: (H, W) integers, palette indices where it has a palette.

    Raises:
        UnreadableImageError: It cannot be decoded, or it is not a picture of whole numbers with
            one channel.
    """
    labels = _guarded(lambda file: _decode_labels(file, page), path)
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[:, :, 0]
    if labels.ndim != 2:
        raise UnreadableImageError(
            f"expected one channel of numbers, got {labels.shape[2]} channels"
        )
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
            raise UnreadableImageError("expected whole numbers, got fractions")
        labels = labels.astype(np.int64)
    return labels


def _guarded(read: Callable[[Path], _T], path: Path) -> _T:
    """Translate what the image libraries raise about a bad file (they raise almost anything)."""
    try:
        return read(path)
    except UnreadableImageError:
        raise
    except Exception as error:
        text = str(error).replace(str(path), path.name)
        raise UnreadableImageError(text or type(error).__name__) from error


def _probe_tiff(path: Path) -> Header:
    with tifffile.TiffFile(path) as tiff:
        sizes = [(page.imagelength, page.imagewidth) for page in map(_full, tiff.pages)]
    pages = tuple(i for i, size in enumerate(sizes) if size == sizes[0])
    return Header(width=sizes[0][1], height=sizes[0][0], pages=pages)


def _full(page: Any) -> Any:
    """The page itself where tifffile hands out a light stand-in."""
    return page.aspage()


def _probe_mrc(path: Path) -> Header:
    with _opened_mrc(path) as (sections, um_per_px):
        pages, height, width = sections.shape
        return Header(width, height, tuple(range(pages)), um_per_px)


@contextmanager
def _opened_mrc(path: Path) -> Iterator[tuple[Pixels, float | None]]:
    """The sections of an MRC file, memory-mapped, (sections, H, W), and its pixel size in um."""
    import mrcfile  # type: ignore[import-untyped]  # not at the top: few pictures are MRC

    with _opening_mrc, warnings.catch_warnings():  # of header fields that we do not need
        warnings.simplefilter("ignore")
        opened = mrcfile.mmap(path, mode="r", permissive=True)
    with opened:
        if opened.data is None:
            raise UnreadableImageError("no MRC file, or it ends early")
        if opened.data.dtype.kind == "c":
            raise UnreadableImageError("expected grey levels, got complex numbers (a transform)")
        with np.errstate(all="ignore"):  # it divides the header's numbers, whatever they are
            side = round(float(opened.voxel_size.x), 6)
        known = np.isfinite(side) and side > 0 and side not in _UNKNOWN_ANGSTROM
        sections = opened.data.reshape(-1, *opened.data.shape[-2:])
        yield sections, side * _UM_PER_ANGSTROM if known else None


def _decode_mrc(path: Path, page: int) -> Pixels:
    with _opened_mrc(path) as (sections, _):
        return np.asarray(sections[page], dtype=sections.dtype.newbyteorder("="))


def _probe_other(path: Path) -> Header:
    with Image.open(path) as image:
        image.verify()  # for PNG: every chunk's checksum, and that there is an end
    if path.suffix.lower() in _JPEG and not _has_end_of_jpeg(path):
        raise UnreadableImageError("the file ends early")
    with Image.open(path) as image:
        width, height = image.size
        sideways = _orientation(image) >= 5
    return Header(height, width) if sideways else Header(width, height)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; of a PNG without decoding it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _has_end_of_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return b"\xff\xd9" in file.read()


def _decode(path: Path, page: int) -> tuple[Pixels, bool]:
    """Pixels as stored, colours as RGB(A), and whether the orientation turned them."""
    if path.suffix.lower() in _MRC:
        return _decode_mrc(path, page), False
    if path.suffix.lower() in _TIFF:
        return _decode_tiff(path, page), False
    if _is_deep_png(path):
        deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if deep is None:
            raise UnreadableImageError("it cannot be decoded")
        return _to_rgb_order(deep), False
    with Image.open(path) as image:
        if _orientation(image) == 1:
            return np.asarray(_plain(image)), False
        return np.asarray(_plain(ImageOps.exif_transpose(image))), True


def _plain(image: Image.Image) -> Image.Image:
    """Without palette, ink colours or single bits."""
    if image.mode in ("L", "RGB", "RGBA", "LA") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return image
    if "transparency" in image.info or image.mode in ("PA", "RGBa", "La"):
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P" and _palette_is_grey(image):
        return image.convert("L")
    return image.convert("RGB")


def _palette_is_grey(image: Image.Image) -> bool:
    colors = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    return bool((colors[:, :1] == colors).all())


def _decode_tiff(path: Path, page: int) -> Pixels:
    with tifffile.TiffFile(path) as tiff:
        leaf: Any = tiff.pages[page]
        if leaf.photometric not in _PLAIN_TIFF:
            return _decode_tiff_colors(path, page)
        try:
            pixels = leaf.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # A compression that tifffile leaves to an optional package.
            return _decode_tiff_elsewhere(path, page)
        if leaf.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
        if leaf.photometric == 0:
            pixels = _invert(pixels)
    return np.asarray(pixels)


def _decode_tiff_colors(path: Path, page: int) -> Pixels:
    with Image.open(path) as image:
        image.seek(page)
        return np.asarray(_plain(image))


def _decode_tiff_elsewhere(path: Path, page: int) -> Pixels:
    done, pages = cv2.imreadmulti(str(path), page, 1, flags=cv2.IMREAD_UNCHANGED)
    if not done or not pages:
        raise UnreadableImageError("its compression is not known; save it uncompressed, or as PNG")
    return _to_rgb_order(pages[0])


def _invert(pixels: Pixels) -> Pixels:
    """Pictures that store white as 0."""
    if pixels.dtype == bool:
        return np.logical_not(pixels)
    if pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return np.asarray(pixels.max() - pixels)


def _decode_labels(path: Path, page: int) -> Pixels:
    if path.suffix.lower() in _TIFF:
        with tifffile.TiffFile(path) as tiff:
            leaf: Any = tiff.pages[page]
            return np.asarray(leaf.asarray())
    with Image.open(path) as image:
        if image.mode == "P":
            return np.asarray(image)
    return _decode(path, page)[0]


def _to_rgb_order(pixels: Pixels) -> Pixels:
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.take(pixels, [2, 1, 0, 3][: pixels.shape[2]], axis=2)
    return pixels


def _blend(pixels: Pixels, changes: list[str]) -> Pixels:
    """Blend grey + alpha and RGB + alpha over black; squeeze a single channel."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        return pixels[:, :, 0]
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (2, 4):
        raise UnreadableImageError(f"expected grey, RGB or RGBA, got an array {pixels.shape}")
    changes.append("transparency blended over black")
    color, alpha = pixels[:, :, :-1], pixels[:, :, -1:]
    opaque = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    if (alpha != opaque).any():
        color = np.rint(color * (alpha / opaque)).astype(pixels.dtype)
    return color[:, :, 0] if color.shape[2] == 1 else color


def _grey_range(pixels: Pixels) -> tuple[float, float] | None:
    """The values that become 0 and 255; None for pictures of 8 bits or one."""
    return None if pixels.dtype in (np.uint8, np.bool_) else _percentiles(pixels)


def _refuse_blank(pixels: Pixels, grey_range: tuple[float, float] | None) -> None:
    """Refuse a picture in which there is nothing to see.

    Raises:
        UnreadableImageError: It has one grey level (or colour) only, or no finite pixel.
    """
    if grey_range is None:
        if (pixels == pixels[:1, :1]).all():
            level = "/".join(map(str, np.atleast_1d(pixels[0, 0]).tolist()))
            raise UnreadableImageError(f"there is nothing to see: all its pixels are {level}")
    elif grey_range[0] >= grey_range[1]:
        if not np.isfinite(pixels).any():
            raise UnreadableImageError(
                "there is nothing to see: all its pixels are NaN or infinite"
            )
        raise UnreadableImageError(
            f"there is nothing to see: its pixels from the {LOW_PERCENT} to the {HIGH_PERCENT} "
            f"percentile are all {grey_range[0]:g}"
        )


def _to_8_bits(
    pixels: Pixels, grey_range: tuple[float, float] | None, changes: list[str]
) -> npt.NDArray[np.uint8]:
    if grey_range is None:
        bits = pixels * np.uint8(255) if pixels.dtype == bool else pixels
        return np.ascontiguousarray(bits, dtype=np.uint8)
    changes.append(f"{pixels.dtype} scaled to 8 bits")
    low, high = grey_range
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        changes.append("pixels that are NaN or infinite drawn black or white")
    finite = np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)
    scaled = (finite.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)


def _percentiles(pixels: Pixels) -> tuple[float, float]:
    """The values that become 0 and 255."""
    if pixels.dtype == np.uint16:  # counting is many times faster than sorting
        cumulated = np.cumsum(np.bincount(pixels.ravel()))
        share = np.array([LOW_PERCENT, HIGH_PERCENT]) / 100 * cumulated[-1]
        low, high = np.searchsorted(cumulated, share)
        return float(low), float(high)
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(finite, [LOW_PERCENT, HIGH_PERCENT])
    return float(low), float(high)


def _is_deep_png(path: Path) -> bool:
    """Whether a PNG has 16 bits a channel (of which PIL would drop half)."""
    with path.open("rb") as file:
        head = file.read(_PNG_DEPTH_BYTE + 1)
    return head.startswith(b"\x89PNG") and len(head) > _PNG_DEPTH_BYTE and head[-1] == 16


def _is_plain_png(path: Path) -> bool:
    with Image.open(path) as image:
        return (
            image.format == "PNG"
            and image.mode in ("L", "RGB")
            and "transparency" not in image.info
        )
