"""TIFF files: their pages, channels and compressions. What cannot be read raises a ValueError.

Pages of the first one's size are pictures; others are left out, and told of if they are no
previews. The photometric tag says how many channels are colour; of the others only those are
transparency that the ExtraSamples tag calls so. What else is there, a second detector for instance,
is left out, and said.

The Orientation tag is applied, as OpenCV, Pillow and viewers do and tifffile does not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

_N_COLORS: Final = {0: 1, 1: 1, 2: 3}
"""Number of colours of the plain photometrics: white is 0, black is 0, RGB."""

_PALETTE: Final = 3

_YCBCR: Final = 6

_BLENDED: Final = 1  # alpha the colours were multiplied with already

_ALPHA: Final = 2

_ORIENTATION: Final = 274

_SUBFILE_TYPE: Final = 254

_REDUCED: Final = 1

_UPRIGHT: Final = 1

FIRST_SIDEWAYS: Final = 5
"""Orientations from this one on have rows for columns."""

TURNED: Final = "turned as its orientation says"

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class TiffShape:
    """The pages of a TIFF file.

    Attributes:
        pages: Indices of the pages of the first one's size.
        height: Its rows as seen, that is, after the orientation is applied.
        width: Its columns as seen.
        orientation: Its orientation, 1 (upright) to 8.
        others: Indices of pages of another size that are no previews.
    """

    pages: tuple[int, ...]
    height: int
    width: int
    orientation: int
    others: tuple[int, ...] = ()


def shape_of_tiff(path: Path) -> TiffShape:
    """The pages of a TIFF file; of the pixels nothing is decoded."""
    with tifffile.TiffFile(path) as tiff:
        # tifffile hands out light stand-ins of later pages
        leaves = [page.aspage() for page in tiff.pages]
        orientation = _orientation(leaves[0])
        sizes = [_size(leaf) for leaf in leaves]
        previews = [_is_preview(leaf, sizes[0]) for leaf in leaves]
    pages = tuple(i for i, size in enumerate(sizes) if size == sizes[0])
    others = tuple(i for i in range(len(sizes)) if i not in pages and not previews[i])
    return TiffShape(pages, *sizes[0], orientation, others)


def _is_preview(leaf: Any, first: tuple[int, int]) -> bool:
    """Whether a page is called a reduced picture, or has at most half the first one's sides."""
    called = int(leaf.tags.valueof(_SUBFILE_TYPE, 0)) & _REDUCED
    return bool(called) or all(
        2 * own <= side for own, side in zip(_size(leaf), first, strict=True)
    )


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels turned as an orientation says, 1 (upright) to 8, of EXIF or TIFF."""
    if orientation == _UPRIGHT:
        return pixels
    turned = np.swapaxes(pixels, 0, 1) if orientation >= FIRST_SIDEWAYS else pixels
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return np.ascontiguousarray(turned[rows, columns])


def _orientation(leaf: Any) -> int:
    """The Orientation tag of a page; upright where it is none of the eight."""
    tag = leaf.tags.get(_ORIENTATION)
    value = int(tag.value) if tag is not None else _UPRIGHT
    return value if value in range(1, 9) else _UPRIGHT


def _size(leaf: Any) -> tuple[int, int]:
    """Rows and columns of a page as they are seen."""
    size = (leaf.imagelength, leaf.imagewidth)
    return size[::-1] if _orientation(leaf) >= FIRST_SIDEWAYS else size


def page_of_tiff(path: Path, page: int) -> tuple[Pixels, list[str]]:
    """Pixels of a page, upright, grey or RGB, with alpha if there is any, and what was done."""
    with tifffile.TiffFile(path) as tiff:
        leaf: Any = tiff.pages[page].aspage()
        turned = [TURNED] if _orientation(leaf) != _UPRIGHT else []
        if leaf.photometric not in _N_COLORS:
            return _other_colors(path, page, leaf), turned
        try:
            pixels = upright(_channels_last(leaf), _orientation(leaf))
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # A compression that tifffile leaves to an optional package.
            pixels = _by_opencv(path, page)
        if leaf.photometric == 0:
            pixels = _inverted(pixels)
        extra = [int(kind) for kind in leaf.extrasamples]
        pixels, changes = _without_extra(pixels, _N_COLORS[leaf.photometric], extra)
        return pixels, turned + changes


def labels_of_tiff(path: Path, page: int) -> Pixels:
    """Numbers of a page, upright, as they are stored: palette indices, white not inverted."""
    with tifffile.TiffFile(path) as tiff:
        leaf: Any = tiff.pages[page].aspage()
        return upright(_channels_last(leaf), _orientation(leaf))


def _channels_last(leaf: Any) -> Pixels:
    pixels = np.asarray(leaf.asarray())
    return np.moveaxis(pixels, 0, -1) if leaf.axes.startswith("S") else pixels


def _without_extra(pixels: Pixels, n_colors: int, extra: list[int]) -> tuple[Pixels, list[str]]:
    """Colours, and alpha where the first further channel is one."""
    if pixels.ndim == 2 or pixels.shape[2] <= n_colors:
        return pixels, []
    n_extra = pixels.shape[2] - n_colors
    colors = pixels[:, :, :n_colors]
    if extra[:1] == [_ALPHA] and n_extra == 1:
        return pixels, []
    if extra[:1] == [_BLENDED] and n_extra == 1:
        return colors, ["transparency blended over black"]
    noun = "channel is" if n_extra == 1 else "channels are"
    used = "the first one" if n_colors == 1 else "the colours"
    return colors, [f"{n_extra} further {noun} left out (no transparency); {used} used"]


def _other_colors(path: Path, page: int, leaf: Any) -> Pixels:
    """Palettes, inks and luminance as RGB, upright: by Pillow, which turns them, or tifffile."""
    try:
        # Of a path it would map the file into memory, and mix up rows of sideways ones.
        with path.open("rb") as file, Image.open(file) as image:
            image.seek(page)
            colors = np.asarray(image.convert("RGB"))
    except Exception:  # noqa: BLE001  Pillow raises almost anything
        colors = upright(_colors_by_tifffile(leaf), _orientation(leaf))
    grey = leaf.photometric == _PALETTE and bool((colors == colors[..., :1]).all())
    return colors[..., 0] if grey else colors


def _colors_by_tifffile(leaf: Any) -> Pixels:
    pixels = _channels_last(leaf)
    if leaf.photometric == _PALETTE and leaf.colormap is not None:
        return np.moveaxis(np.asarray(leaf.colormap)[:, pixels] >> 8, 0, -1).astype(np.uint8)
    if leaf.photometric == _YCBCR and pixels.ndim == 3:
        return pixels  # its JPEG decoder gives RGB
    raise ValueError(f"its colours ({leaf.photometric!s}) are not known; save it as RGB or grey")


def _by_opencv(path: Path, page: int) -> Pixels:
    """Pixels of a page as OpenCV decodes it, which turns it upright."""
    done, pages = cv2.imreadmulti(str(path), page, 1, flags=cv2.IMREAD_UNCHANGED)
    if not done or not pages:
        raise ValueError("its compression is not known; save it uncompressed, or as PNG")
    pixels = pages[0]
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return np.take(pixels, [2, 1, 0, 3][: pixels.shape[2]], axis=2)
    return pixels


def _inverted(pixels: Pixels) -> Pixels:
    """Pictures that store white as 0."""
    if pixels.dtype == bool:
        return np.logical_not(pixels)
    if pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return np.asarray(pixels.max() - pixels)
