"""Pixel sizes that microscopes and programs write into a picture's file.

Only what is a length on the specimen counts: the resolution tag of a plain TIFF is of a screen or a
printer and is never read. Where a file also says for which width and height it was written, and
these are not the file's own, the picture was resampled or cropped, and what it says is not used.
Of a file of several pages a page's own tags go before those of the first one.

| file | where |
| --- | --- |
| Tescan | tag 50431, `PixelSizeX`, `PixelSizeY`, metres; `ImageStripSize`, rows of the data bar |
| Zeiss | tag 34118, "Image Pixel Size" alone; "Pixel Size", "FIB Pixel Size" and "Argon Pixel Size" are of something else |
| FEI, Thermo Fisher | tags 34680, 34682, `[Scan] PixelWidth`, `PixelHeight`, metres |
| ImageJ | resolution tags in the unit that its description names |
| OME | `PhysicalSizeX`, `PhysicalSizeY` with their units |
| TVIPS | `PixelSizeX`, `PixelSizeY`, nanometres |
| Olympus SIS | `pixelsizex`, `pixelsizey`, metres |
| MRC | cell size by number of columns |
"""  # noqa: E501  a table

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import tifffile

from analysis.scale.scale import Scale, Source
from trainables.datasets.images import UnreadableImageError, probe
from trainables.datasets.units import UM, rounding, unit_named

_TESCAN: Final = 50431

_ZEISS: Final = 34118

_FEI: Final = (34680, 34682)

_TVIPS: Final = 37706

_SIS: Final = (33471, 33560)

_SIZES: Final = re.compile(rb"(PixelSize[XY]|ImageStripSize)=([-+0-9.eE]+)")

_ZEISS_KEY: Final = "Image Pixel Size"

_ZEISS_SIZE: Final = "Store resolution"

_FEI_SECTIONS: Final = ("Scan", "EScan", "IScan")

_SINGLE: Final = 1e-7  # relative rounding of a number in single precision

_FRACTION: Final = 1e-6  # relative rounding of a resolution that is written as a fraction

_TIFF: Final = (".tif", ".tiff")

_UM_PER_M: Final = 1e6


@dataclass(frozen=True)
class Metadata:
    """What a file says about its scale.

    Attributes:
        scale: The scale, or None.
        flags: Why it is not to be trusted, in words.
        strip_px: Rows of the data bar, where the file says it.
    """

    scale: Scale | None = None
    flags: tuple[str, ...] = ()
    strip_px: int | None = None


@dataclass(frozen=True)
class _Found:
    """Sides of a pixel in micrometres, where they stand, and the size they were written for."""

    x: float
    y: float
    rounded: float
    where: str
    size: tuple[int, int] | None = None
    strip_px: int | None = None


@dataclass(frozen=True)
class _Page:
    """A page of a TIFF file: pages may have been put together that are of different scale."""

    tiff: tifffile.TiffFile
    number: int
    file: str

    def tag(self, code: int) -> Any:
        """A maker's tag of the page itself, else of the first one; None where there is none."""
        own: Any = self.tiff.pages[self.number].aspage()
        return own.tags.valueof(code, self.tiff.pages.first.tags.valueof(code))

    def said(self, *codes: int) -> dict[str, Any]:
        """What tags that hold words say together, the last one first."""
        tags = [tag for tag in map(self.tag, codes) if isinstance(tag, Mapping)]
        return {name: value for tag in tags for name, value in tag.items()}

    def is_in(self, data: ET.Element) -> bool:
        """Whether a TiffData of OME is of this page."""
        names = {found.get("FileName", self.file) for found in data.findall("{*}UUID")}
        if names - {self.file}:
            return False
        first, count = data.get("IFD"), data.get("PlaneCount")
        if first is None and count is None:
            return True  # of all pages
        return int(first or 0) <= self.number < int(first or 0) + int(count or 1)


def read_metadata(path: Path, page: int = 0) -> Metadata:
    """What a file says about its scale; nothing where it says nothing.

    Args:
        path: File of the picture.
        page: Page of the file.
    """
    if path.suffix.lower() in (".mrc", ".mrcs"):
        return _of_mrc(path)
    if path.suffix.lower() not in _TIFF:
        return Metadata()
    try:
        with tifffile.TiffFile(path) as tiff:
            leaf: Any = tiff.pages[page].aspage()
            size = (int(leaf.imagewidth), int(leaf.imagelength))
            own = _Page(tiff, page, path.name)
            found = next(filter(None, (read(own) for read in _READERS)), None)
    except Exception as error:  # noqa: BLE001  tags are the maker's own, and may hold anything
        return Metadata(flags=(f"its metadata cannot be read: {error}",))
    return _judged(found, size) if found else Metadata()


def _judged(found: _Found, size: tuple[int, int]) -> Metadata:
    """A scale, unless it was written for a picture of another size."""
    if not (0 < found.x < float("inf") and 0 < found.y < float("inf")):
        return Metadata(flags=(f"{found.where} is no length above 0",))
    scale = Scale(found.x, found.y, Source.METADATA, found.rounded, found.where)
    strip = found.strip_px or 0
    own = found.size
    if own is not None and size not in (own, (own[0], own[1] + strip)):
        flag = (
            f"the metadata are of a picture of {own[0]} x {own[1]} px and the file has {size[0]} x "
            f"{size[1]}: it was resampled or cropped, so they are not used"
        )
        return Metadata(flags=(flag,), strip_px=found.strip_px)
    return Metadata(scale, strip_px=found.strip_px)


def _of_mrc(path: Path) -> Metadata:
    try:
        um = probe(path).um_per_px
    except UnreadableImageError:
        return Metadata()
    return Metadata(Scale(um, um, Source.METADATA, _SINGLE, "MRC header")) if um else Metadata()


def _of_tescan(page: _Page) -> _Found | None:
    tag = page.tag(_TESCAN)
    if not isinstance(tag, bytes):
        return None
    said = {name.decode(): value.decode() for name, value in _SIZES.findall(tag)}
    if "PixelSizeX" not in said:
        return None
    x = said["PixelSizeX"]
    y = said.get("PixelSizeY", x)
    strip = said.get("ImageStripSize")
    return _Found(
        float(x) * _UM_PER_M,
        float(y) * _UM_PER_M,
        rounding(x),
        "Tescan tag 50431, PixelSizeX",
        strip_px=int(float(strip)) if strip else None,
    )


def _of_zeiss(page: _Page) -> _Found | None:
    tag = page.tag(_ZEISS)
    if not isinstance(tag, Mapping):
        return None
    said = {v[0]: v[1:] for v in tag.values() if isinstance(v, tuple) and isinstance(v[0], str)}
    if _ZEISS_KEY not in said:
        return None
    value, unit = said[_ZEISS_KEY][0], unit_named(str(said[_ZEISS_KEY][-1]))
    if unit is None:
        return None
    um = float(value) * UM[unit]
    stored = re.fullmatch(r"\s*(\d+)\s*\*\s*(\d+)\s*", str(said.get(_ZEISS_SIZE, ("",))[0]))
    size = (int(stored[1]), int(stored[2])) if stored else None
    return _Found(um, um, rounding(f"{value}"), f"Zeiss tag 34118, {_ZEISS_KEY}", size)


def _of_fei(page: _Page) -> _Found | None:
    said = page.said(*_FEI)
    for section in _FEI_SECTIONS:
        part = said.get(section)
        if isinstance(part, Mapping) and part.get("PixelWidth"):
            x = float(part["PixelWidth"])
            y = float(part.get("PixelHeight") or x)
            image = said.get("Image", {})
            size = (image.get("ResolutionX"), image.get("ResolutionY"))
            own = (int(size[0]), int(size[1])) if all(size) else None
            strip = said.get("PrivateFei", {}).get("DatabarHeight")
            where = f"FEI tag, [{section}] PixelWidth"
            return _Found(
                x * _UM_PER_M, y * _UM_PER_M, rounding(f"{x:g}"), where, own, int(strip or 0)
            )
    return None


def _of_ome(page: _Page) -> _Found | None:
    if not page.tiff.is_ome or not page.tiff.ome_metadata:
        return None
    every = ET.fromstring(page.tiff.ome_metadata).findall(".//{*}Pixels")
    own = [pixels for pixels in every if any(map(page.is_in, pixels.findall("{*}TiffData")))]
    found = dict.fromkeys(map(_of_pixels, own or every))
    if len(found) > 1:
        raise ValueError("OME has several images of different scale, and not which this one is")
    return next(iter(found), None)


def _of_pixels(pixels: ET.Element) -> _Found | None:
    """What an image of OME says of its pixels."""
    if "PhysicalSizeX" not in pixels.attrib:
        return None
    said = pixels.attrib
    sides = []
    for axis in ("X", "Y" if "PhysicalSizeY" in said else "X"):
        unit = unit_named(said.get(f"PhysicalSize{axis}Unit", "µm"))
        if unit is None:
            return None  # pixels, or a reference frame
        sides.append(float(said[f"PhysicalSize{axis}"]) * UM[unit])
    size = (int(said["SizeX"]), int(said["SizeY"]))
    where = "OME PhysicalSizeX"
    return _Found(sides[0], sides[1], rounding(said["PhysicalSizeX"]), where, size)


def _of_imagej(page: _Page) -> _Found | None:
    said = page.tiff.imagej_metadata or {}
    unit = unit_named(str(said.get("unit", "")))
    tags = page.tiff.pages.first.tags
    if unit is None or "XResolution" not in tags:
        return None
    sides = []
    for name in ("XResolution", "YResolution"):
        top, bottom = tags.valueof(name) or tags.valueof("XResolution")
        if not top:
            return None
        sides.append(bottom / top * UM[unit])
    return _Found(sides[0], sides[1], _FRACTION, f"ImageJ resolution in {unit}")


def _of_tvips(page: _Page) -> _Found | None:
    said = page.said(_TVIPS)
    x, y = float(said.get("PixelSizeX") or 0), float(said.get("PixelSizeY") or 0)
    if x <= 0:
        return None
    size = (int(said["ImageSizeX"]), int(said["ImageSizeY"])) if said.get("ImageSizeX") else None
    return _Found(x * UM["nm"], (y or x) * UM["nm"], _SINGLE, "TVIPS PixelSizeX", size)


def _of_sis(page: _Page) -> _Found | None:
    said = page.said(*_SIS)
    x, y = float(said.get("pixelsizex") or 0), float(said.get("pixelsizey") or 0)
    if x <= 0:
        return None
    return _Found(x * _UM_PER_M, (y or x) * _UM_PER_M, _SINGLE, "Olympus SIS pixelsizex")


_READERS: Final[tuple[Callable[[_Page], _Found | None], ...]] = (
    *(_of_tescan, _of_zeiss, _of_fei, _of_ome, _of_imagej, _of_tvips, _of_sis),
)
