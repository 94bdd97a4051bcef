"""The scale of one picture, from all that is known about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np

from analysis.pictures.micrographs import Micrograph
from analysis.scale.bar.finding import BarSearch, ScaleBar, find_scale_bar
from analysis.scale.bar.ocr import HOW_TO_INSTALL, ocr_is_installed
from analysis.scale.bar.strokes import Grey
from analysis.scale.metadata import Metadata, read_metadata
from analysis.scale.region import Region, analysed_region
from analysis.scale.roi import Roi
from analysis.scale.scale import (
    Area,
    BarRecord,
    Scale,
    ScaleReading,
    Source,
    contradictions,
)
from analysis.scale.table import ScaleTable
from trainables.datasets.images import UnreadableImageError, read_picture
from trainables.datasets.particle_size import Length
from trainables.datasets.units import rounding

_STRIP_OFF: Final = 0.05
"""Relative difference of a data bar's height from its metadata's that JPEG and lines explain."""


@dataclass(frozen=True)
class ScaleWishes:
    """How scales are to be read.

    Attributes:
        source: The only source that counts, or None for all, checked against each other.
        pixel_size: Side of a pixel of every picture, or None.
        table: Pixel sizes by picture, or None.
        roi: Part of every picture in which the scale bar is looked for, or None for all of it.
    """

    source: Source | None = None
    pixel_size: Length | None = None
    table: ScaleTable | None = None
    roi: Roi | None = None

    @property
    def looks_for_bars(self) -> bool:
        """Whether burnt-in scale bars are looked for."""
        return self.source is Source.BAR or (self.source is None and ocr_is_installed())

    def among(self, pictures: Sequence[Micrograph]) -> "ScaleWishes":
        """The wishes for these pictures, of which several may have one name in the table."""
        if self.table is None:
            return self
        return replace(self, table=self.table.among([picture.file for picture in pictures]))


@dataclass(frozen=True)
class PictureScale:
    """The scale of a picture, and what was looked at for it.

    Attributes:
        reading: What is known.
        grey: (H, W) uint8, the picture as it was searched, or None where it could not be read.
        search: The search for its scale bar, or None where none was made.
        region: What of it shows the specimen.
    """

    reading: ScaleReading
    grey: Grey | None = field(default=None, repr=False)
    search: BarSearch | None = None
    region: Region | None = None


def read_scale(micrograph: Micrograph, wishes: ScaleWishes) -> PictureScale:
    """Read the scale of a picture; whatever is wrong with it stands in the reading.

    Raises:
        ScaleError: Bars are to be read and the packages for it are not installed.
    """
    try:
        pixels = read_picture(micrograph.path, micrograph.page).pixels
        return scale_of_pixels(micrograph, grey_of(pixels), wishes)
    except UnreadableImageError as error:
        return PictureScale(_reading(micrograph, None, failure=str(error)))
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
        return PictureScale(_reading(micrograph, None, failure=why))


def scale_of_pixels(micrograph: Micrograph, grey: Grey, wishes: ScaleWishes) -> PictureScale:
    """Read the scale of a picture whose pixels are in memory.

    Args:
        micrograph: The picture.
        grey: (H, W) uint8.
        wishes: How it is to be read.

    Raises:
        ScaleError: Bars are to be read and the packages for it are not installed.
    """
    search, why_no_search = _search(grey, wishes)
    bar = search.bar if search else None
    region = analysed_region(grey, bar)
    metadata = _checked(read_metadata(micrograph.path, micrograph.page), region)
    found = _found(micrograph, metadata, bar, wishes)
    flags = list(metadata.flags) if wishes.source in (None, Source.METADATA) else []
    scale, reason = _decided(found, wishes, flags)
    if scale is None and not reason:
        reason = _reason(wishes, metadata, search, why_no_search)
    reading = _reading(micrograph, scale, flags=flags, sources=found, reason=reason)
    reading = replace(reading, analysed=region.areas, bar=_record(bar) if bar else None)
    return PictureScale(reading, grey, search, region)


def grey_of(pixels: Grey) -> Grey:
    """Grey levels (H, W) of a picture (H, W) or (H, W, 3), as they are seen."""
    if pixels.ndim == 2:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def _reading(
    micrograph: Micrograph,
    scale: Scale | None,
    *,
    flags: Sequence[str] = (),
    sources: Sequence[Scale] = (),
    failure: str = "",
    reason: str = "",
) -> ScaleReading:
    return ScaleReading(
        path=micrograph.file,
        page=micrograph.page,
        name=micrograph.name,
        scale=scale,
        flags=tuple(flags),
        sources=tuple(sources),
        failure=failure,
        reason=failure or reason,
    )


def _search(grey: Grey, wishes: ScaleWishes) -> tuple[BarSearch | None, str]:
    """Look for the scale bar where it is asked for; else the reason why not."""
    if not wishes.looks_for_bars:
        return None, HOW_TO_INSTALL if wishes.source is None else ""
    if wishes.roi is None:
        return find_scale_bar(grey), ""
    height, width = grey.shape
    box = wishes.roi.within((height, width))
    if box is None:
        return None, f"--roi {wishes.roi.text} lies outside of its {width} x {height} px"
    part = grey[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1]
    return find_scale_bar(np.ascontiguousarray(part)).moved(box.x0, box.y0), ""


def _checked(metadata: Metadata, region: Region) -> Metadata:
    """Metadata, unless the data bar is not as tall as they say."""
    told, strip = metadata.strip_px, region.strip
    if metadata.scale is None or not told or strip is None:
        return metadata
    if abs(strip.height - told) <= max(3, _STRIP_OFF * told):
        return metadata
    flag = (
        f"the metadata are of a data bar of {told} rows and the picture's has {strip.height}: it "
        "was resampled, so they are not used"
    )
    return Metadata(None, (*metadata.flags, flag), told)


def _found(
    micrograph: Micrograph, metadata: Metadata, bar: ScaleBar | None, wishes: ScaleWishes
) -> list[Scale]:
    """All scales that are known, the one that wins first."""
    given = wishes.pixel_size
    table = wishes.table.of(micrograph.file, micrograph.page) if wishes.table else None
    scales = [
        _given(given) if given else None,
        table,
        metadata.scale,
        _of_bar(bar) if bar else None,
    ]
    return [scale for scale in scales if scale is not None]


def _given(length: Length) -> Scale:
    uncertainty = rounding(length.text)
    return Scale(length.um, length.um, Source.GIVEN, uncertainty, f"given, {length.text}")


def _of_bar(bar: ScaleBar) -> Scale:
    px = bar.stroke.length_px
    um = bar.um_per_px
    return Scale(um, um, Source.BAR, bar.rel_uncertainty, f"bar, {bar.text.text} over {px} px")


def _record(bar: ScaleBar) -> BarRecord:
    box = bar.stroke.box
    return BarRecord(bar.text.text, bar.text.um, box.x0, box.x1, (box.y0 + box.y1) // 2)


def _decided(
    found: Sequence[Scale], wishes: ScaleWishes, flags: list[str]
) -> tuple[Scale | None, str]:
    """The scale that holds, and why none does where sources contradict each other."""
    if wishes.source is not None:
        return next((scale for scale in found if scale.source is wishes.source), None), ""
    contradicting = contradictions(found)
    if contradicting:
        flags += contradicting
        return None, f"sources contradict each other ({'; '.join(contradicting)}): give --source"
    return (found[0], "") if found else (None, "")


def _reason(
    wishes: ScaleWishes, metadata: Metadata, search: BarSearch | None, why_no_search: str
) -> str:
    """Why no source says a scale."""
    reasons = []
    if wishes.source in (None, Source.TABLE) and wishes.table is not None:
        reasons.append(f"{wishes.table.path.name} has no pixel size of it")
    if wishes.source in (None, Source.METADATA):
        reasons += metadata.flags or ("its metadata say no pixel size",)
    if search is not None:
        reasons.append(search.reason)
    elif why_no_search:
        reasons.append(why_no_search)
    return "; ".join(reasons)


def region_of(pixels: Grey) -> tuple[Area, ...]:
    """Rectangles of a picture that show the specimen: no data bar, scale-bar box or frame.

    Scale bars that lie on the picture are only found where the packages that read them are there.

    Args:
        pixels: (H, W) or (H, W, 3) uint8, RGB.
    """
    grey = grey_of(pixels)
    bar = find_scale_bar(grey).bar if ocr_is_installed() else None
    return analysed_region(grey, bar).areas
