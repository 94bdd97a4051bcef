"""Pictures of any kind in, 8-bit grey or RGB out.

What is done, so that a picture looks the same to every engine:

- 8-bit grey and RGB are kept as they are (a PNG byte for byte).
- More than 8 bits: the 0.1 and 99.9 percentiles of the picture become 0 and 255, linearly, one
  scale for all channels; beyond them is cut off. Pixels that are NaN or infinite do not count
  for them, and become 0 (NaN, minus infinity) or 255.
- A picture of one grey level between these percentiles (8 bits: everywhere), or without a finite
  pixel, is refused: there is nothing to see in it.
- Transparency: blended over black, so opaque pixels do not change. A further channel of a TIFF
  that is no transparency is left out.
- Palettes and bilevel pictures: their colours.
- The orientation that a JPEG, PNG, WebP or TIFF says is applied, as annotation tools do.
- TIFF and MRC: see `tiff` and `mrc`; each page, each section is a picture.
- A JSON file stands for the picture inside it: see `embedded`.

What a file is its first bytes say, whatever its suffix.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from trainables.datasets import embedded
from trainables.datasets.tiff import (
    FIRST_SIDEWAYS,
    TURNED,
    labels_of_tiff,
    page_of_tiff,
    shape_of_tiff,
    upright,
)

SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".mrc", ".mrcs"}
)

PAGED: Final = frozenset({".mrc", ".mrcs", ".tif", ".tiff"})
"""Suffixes of files that may hold several pictures."""

LOW_PERCENT: Final = 0.1
HIGH_PERCENT: Final = 99.9
MAX_PIXELS: Final = 1 << 30
"""Pixels of the largest picture that is read; OpenCV's limit, which reads it again."""

_STARTS: Final = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"BM": "bmp",
    b"GIF8": "gif",
    b"RIFF": "webp",
}

_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}

_MRC_MARK: Final = b"MAP "

_MRC_MARK_AT: Final = 208

_KIND_OF_SUFFIX: Final = {".tif": "tiff", ".tiff": "tiff", ".mrc": "mrc", ".mrcs": "mrc"}

_ORIENTATION: Final = 0x0112
_TAIL_BYTES: Final = 1 << 16

# The pictures are the user's own, and micrographs are large: MAX_PIXELS is the limit instead.
Image.MAX_IMAGE_PIXELS = None
# Microscopes write long descriptions; by default a megabyte of text makes a PNG unreadable.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

_PNG_DEPTH_BYTE: Final = 24
_PNG_END: Final = b"IEND\xaeB`\x82"

_LEVELS: Final = 4096  # of which 256 remain

_EXACT: Final = 1 << 53
"""Whole numbers up to this one are exact as float64."""

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
        orientation: The orientation that is applied, 1 (upright) to 8, of EXIF or TIFF.
        others: Indices of further pages of another size that are no previews; nobody reads them.
    """

    width: int
    height: int
    pages: tuple[int, ...] = (0,)
    um_per_px: float | None = None
    orientation: int = 1
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded picture.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8, RGB.
        changes: Changes to its pixels, in a few words each; empty if none.
        verbatim: Whether the file itself is an 8-bit PNG that can be copied as it is.
        grey_range: The stored values that became 0 and 255, or None where nothing was scaled.
        stored: (H, W) or (H, W, 3) with the values of the file, where they were asked for.
    """

    pixels: npt.NDArray[np.uint8]
    changes: tuple[str, ...]
    verbatim: bool
    grey_range: tuple[float, float] | None = None
    stored: Pixels | None = None


def probe(path: Path) -> Header:
    """Size and pages of a picture; also finds a file that ends early, without decoding it.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    header = _guarded(_probe, path)
    if header.width * header.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"it has {header.width} x {header.height} pixels, more than {MAX_PIXELS}; cut it into "
            "tiles"
        )
    return header


def read_picture(path: Path, page: int = 0, *, keep_stored: bool = False) -> DecodedPicture:
    """Decode one page of a picture and bring it to 8 bits.

    Args:
        path: File of the picture.
        page: Index of its page.
        keep_stored: Whether the result also has the values as they are in the file.

    Raises:
        UnreadableImageError: It cannot be decoded, or there is nothing to see in it.
    """
    picture = _guarded(lambda file: _read_picture(file, page, keep_stored=keep_stored), path)
    in_json = path.suffix.lower() == embedded.SUFFIX
    return replace(picture, verbatim=picture.verbatim and not in_json)


def _read_picture(path: Path, page: int, *, keep_stored: bool) -> DecodedPicture:
    raw, changes = _decode(path, page)
    if raw.size == 0:
        raise UnreadableImageError("it has no pixels")
    opaque = _blend(raw, changes)
    offset, near = _without_offset(opaque)
    grey_range = _grey_range(near)
    _refuse_blank(near, grey_range, offset)
    pixels = _to_8_bits(near, grey_range, changes)
    if grey_range is not None:
        grey_range = grey_range[0] + offset, grey_range[1] + offset
    verbatim = not changes and _is_plain_png(path)
    stored = opaque if keep_stored else None
    return DecodedPicture(pixels, tuple(changes), verbatim, grey_range, stored)


def read_labels(path: Path, page: int = 0) -> Pixels:
    """Numbers of a label picture: (H, W) integers, palette indices where it has a palette.

    Raises:
        UnreadableImageError: It cannot be decoded, or it is not a picture of whole numbers with
            one channel.
    """
    labels = _guarded(lambda file: _decode_labels(file, page), path)
    if labels.ndim == 3 and (labels[..., :3] == labels[..., :1]).all():  # grey saved as colours
        labels = labels[:, :, 0]
    if labels.ndim != 2:
        raise UnreadableImageError(
            f"expected one channel of numbers, got {labels.shape[2]} channels"
        )
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
            raise UnreadableImageError("expected whole numbers, got fractions")
        exact, highest = 2 / float(np.finfo(labels.dtype).eps), float(np.abs(labels).max())
        if highest > exact:
            raise UnreadableImageError(
                f"its numbers reach to {highest:.17g}, and those beyond {exact:.17g} are not told "
                f"apart as {labels.dtype}; save them as whole numbers"
            )
        labels = labels.astype(np.int64)
    return labels


def _guarded(read: Callable[[Path], _T], path: Path) -> _T:
    """Translate what the image libraries raise about a bad file (they raise almost anything)."""
    try:
        if path.suffix.lower() == embedded.SUFFIX:
            with embedded.picture_in_json(path) as picture:
                return read(picture)
        return read(path)
    except UnreadableImageError:
        raise
    except Exception as error:
        text = str(error).replace(str(path), path.name)
        raise UnreadableImageError(text or type(error).__name__) from error


def _kind(path: Path) -> str:
    """Kind of a picture, as "png" or "mrc": by its first bytes, else its suffix; "" if unknown.

    Raises:
        UnreadableImageError: It is packed.
    """
    with path.open("rb") as file:
        head = file.read(_MRC_MARK_AT + len(_MRC_MARK))
    if not head:
        raise UnreadableImageError("the file is empty")
    packed = next((name for start, name in _PACKED.items() if head.startswith(start)), "")
    if packed:
        raise UnreadableImageError(f"it is packed by {packed}; unpack it")
    if head[_MRC_MARK_AT:] == _MRC_MARK:
        return "mrc"
    found = next((kind for start, kind in _STARTS.items() if head.startswith(start)), "")
    return found or _KIND_OF_SUFFIX.get(path.suffix.lower(), "")


def _probe(path: Path) -> Header:
    kind = _kind(path)
    if kind == "mrc":
        from trainables.datasets.mrc import shape_of_mrc  # put off: few pictures are MRC

        (n_pages, height, width), um_per_px = shape_of_mrc(path)
        return Header(width, height, tuple(range(n_pages)), um_per_px)
    if kind == "tiff":
        shape = shape_of_tiff(path)
        return Header(shape.width, shape.height, shape.pages, None, shape.orientation, shape.others)
    return _probe_other(path)


def _probe_other(path: Path) -> Header:
    with Image.open(path) as image:
        image.verify()  # for PNG: every chunk's checksum, and that there is an end
    with Image.open(path) as image:
        if image.format == "JPEG" and not _has_end_of_jpeg(path):
            raise UnreadableImageError("the file ends early")
        width, height = image.size
        orientation = _orientation(image)
    if orientation >= FIRST_SIDEWAYS:
        width, height = height, width
    return Header(width, height, orientation=orientation)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; of a PNG without decoding it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _has_end_of_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return b"\xff\xd9" in file.read()


def _decode(path: Path, page: int) -> tuple[Pixels, list[str]]:
    """Pixels as stored, colours as RGB(A), and what was done to them."""
    kind = _kind(path)
    if kind == "mrc":
        from trainables.datasets.mrc import section_of_mrc  # put off: few pictures are MRC

        return section_of_mrc(path, page), []
    if kind == "tiff":
        return page_of_tiff(path, page)
    with Image.open(path) as image:
        orientation = _orientation(image)
        deep = image.format == "PNG" and _is_deep_png(path)  # PIL would drop half of the bits
        pixels = _decode_deep(path) if deep else np.asarray(_plain(image))
    if orientation == 1:
        return pixels, []
    return upright(pixels, orientation), [TURNED]


def _decode_deep(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableImageError("it cannot be decoded")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.take(pixels, [2, 1, 0, 3][: pixels.shape[2]], axis=2)
    return np.asarray(pixels)


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


def _decode_labels(path: Path, page: int) -> Pixels:
    kind = _kind(path)
    if kind == "tiff":
        return labels_of_tiff(path, page)
    if kind != "mrc":
        with Image.open(path) as image:
            if image.mode == "P":
                return upright(np.asarray(image), _orientation(image))
    return _decode(path, page)[0]


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


def _without_offset(pixels: Pixels) -> tuple[int, Pixels]:
    """An offset that floating-point numbers cannot hold, and whole numbers without it."""
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize < 8:
        return 0, pixels
    low, high = int(pixels.min()), int(pixels.max())
    if max(abs(low), abs(high)) <= _EXACT or high - low >= 1 << 63:
        return 0, pixels
    return low, pixels - pixels.dtype.type(low)


def _grey_range(pixels: Pixels) -> tuple[float, float] | None:
    """The values that become 0 and 255; None for pictures of 8 bits or one."""
    return None if pixels.dtype in (np.uint8, np.bool_) else _percentiles(pixels)


def _refuse_blank(pixels: Pixels, grey_range: tuple[float, float] | None, offset: int) -> None:
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
            f"percentile are all {grey_range[0] + offset:g}"
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
    exact: type[np.floating[Any]] = np.float64 if _needs_double(pixels, low, high) else np.float32
    finite = np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)
    scaled = (finite.astype(exact) - low) * (255 / (high - low))
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)


def _needs_double(pixels: Pixels, low: float, high: float) -> bool:
    """Whether float32 cannot hold or tell apart the levels: huge, tiny, or far below an offset."""
    coarse = max(abs(low), abs(high)) * float(np.finfo(np.float32).eps)
    tiny = (high - low) < _LEVELS * float(np.finfo(np.float32).tiny)
    huge = max(abs(low), abs(high), high - low) > float(np.finfo(np.float32).max) / _LEVELS
    return pixels.dtype.itemsize >= 4 and (huge or tiny or coarse > (high - low) / _LEVELS)


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
    """Whether the file is a PNG that can be copied as it is."""
    if _kind(path) != "png" or not path.read_bytes().endswith(_PNG_END):
        return False  # Pillow makes do with an end that is cut off, others do not
    with Image.open(path) as image:
        return image.mode in ("L", "RGB") and "transparency" not in image.info
