"""ImageJ regions of interest: `RoiSet.zip` of the ROI manager, or single `.roi` files.

A file is about the picture of its own name (`x.zip`, `x_RoiSet.zip`, `RoiSet_x.zip`), else of its
folder's name, else the only picture beside it. In a stack a region's position says which page it
is on. Polygon, freehand and traced outlines, rectangles, ovals and compositions of them have an
area; lines and points have none.
"""

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trainables.datasets import geometry
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.naming import picture_of_name
from trainables.datasets.raw.outlines import even_odd
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "imagej"

TITLE = "ImageJ ROI files"

SUFFIXES: Final = (".zip", ".roi")

_START: Final = b"Iout"

_MAX_BYTES: Final = 1 << 26
"""Bytes of the largest region that is read: a zip file may claim to hold any number."""

_SET_WORD: Final = re.compile(r"[-_ ]?roi[-_ ]?set[-_ ]?|[-_ ]?rois?$", re.IGNORECASE)

_CLOSED: Final = ("POLYGON", "FREEHAND", "TRACED")

Regions = list[tuple[str, Any]]
"""Names and regions of one file."""


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Files of regions."""
    files = folder.with_suffix(*SUFFIXES)
    return [file for file in files if folder.parsed(file, _parse) is not None]


def count_images(folder: RawFolder) -> int:
    """Pictures that files of regions speak of."""
    found = {_picture_of(folder, file) for file in annotation_files(folder)}
    return len(found - {None})


def read(reading: RawReading) -> None:
    """Read every file of regions."""
    reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    claimed: set[tuple[PurePosixPath, int]] = set()
    for file in annotation_files(reading.folder):
        regions = reading.folder.parsed(file, _parse) or []
        picture = _picture_of(reading.folder, file)
        if picture is None:
            reason = f"no picture is called {_own_name(file)}.*, or lies alone beside it"
            source = RawSource(file, n_objects=len(regions))
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
            continue
        _warn_of_no_position(reading, file, picture, regions)
        for name, roi in regions:
            source = RawSource(file, name)
            image = _page(reading, picture, roi)
            if image is None:
                reading.problem(Kind.MISSING_IMAGE, source, f"{picture} has no such page")
            elif _claimed(reading, image, source, claimed):
                with reading.at(source.of(image)):
                    _read_region(reading, image, source.of(image), roi)


def _parse(path: Path) -> Regions | None:
    """Regions of a zip or roi file; None if it holds none.

    Raises:
        ValueError: A region cannot be read.
    """
    if path.suffix.lower() == ".roi":
        data = path.read_bytes()
        return [(path.stem, _region(path.name, data))] if data.startswith(_START) else None
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if e.filename.lower().endswith(".roi")]
            if large := [entry.filename for entry in entries if entry.file_size > _MAX_BYTES]:
                raise ValueError(f"{large[0]} says that it has more than {_MAX_BYTES} bytes")
            regions = [(e.filename, _region(e.filename, archive.read(e))) for e in entries]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from error
    return regions or None


def _region(name: str, data: bytes) -> Any:
    from roifile import ImagejRoi  # put off: few folders hold regions of ImageJ

    try:
        return ImagejRoi.frombytes(data)
    except Exception as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _own_name(file: PurePosixPath) -> str:
    return _SET_WORD.sub("", file.stem)


def _picture_of(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    names = [name for name in (file.stem, _own_name(file), file.parent.name) if name]
    for name in names:
        found = picture_of_name(folder, name, file.parent)
        if found is not None:
            return found
    beside = [picture for picture in folder.images if picture.parent == file.parent]
    return beside[0] if len(beside) == 1 else None


def _position(roi: Any) -> int:
    """Number of the page a region is on, from 1; 0 if it has none."""
    return max(int(roi.position), int(roi.z_position), int(roi.t_position), 0)


def _page(reading: RawReading, picture: PurePosixPath, roi: Any) -> RawImage | None:
    """The page a region is on: the first one if it has no position."""
    n_pages, number = reading.pages(picture), max(_position(roi), 1)
    if n_pages == 1 or number <= n_pages:
        return reading.open(picture, 0 if n_pages == 1 else number - 1)
    return None


def _warn_of_no_position(
    reading: RawReading, file: PurePosixPath, picture: PurePosixPath, regions: Regions
) -> None:
    n = sum(not _position(roi) for _, roi in regions)
    if n and (n_pages := reading.pages(picture)) > 1:
        reading.warnings.append(
            f"{file}: {counted(n, 'region has', 'regions have')} no position and "
            f"{'is' if n == 1 else 'are'} taken for the first "
            f"of the {n_pages} pages of {picture}"
        )


def _claimed(
    reading: RawReading,
    image: RawImage,
    source: RawSource,
    claimed: set[tuple[PurePosixPath, int]],
) -> bool:
    """Say once that regions annotate a picture, of which there may be several files."""
    key = (image.file, image.page)
    if key not in claimed:
        claimed.add(key)
        image.split = split_of(image.file) or split_of(source.file)
        return reading.claim(image, source)
    return True


def _read_region(reading: RawReading, image: RawImage, source: RawSource, roi: Any) -> None:
    outline = _outline(roi, image)
    if outline is None:
        kind = roi.roitype.name.lower()
        reading.problem(Kind.NO_OUTLINE, source, f"a region of type {kind} has no area")
        return
    reading.add(image, reading.object_class, outline, source)


def _outline(roi: Any, image: RawImage) -> Outline | None:
    """The shape of a region, or None if it has no area."""
    kind = roi.roitype.name
    if roi.multi_coordinates is not None:
        paths = [geometry.polygon(path) for path in roi.coordinates(multi=True)]
        return Outline([paths[0]]) if len(paths) == 1 else Outline(masks=[even_odd(image, paths)])
    if kind in _CLOSED:
        return Outline([geometry.polygon(roi.coordinates())])
    if kind not in ("RECT", "OVAL"):
        return None
    x, y, width, height = _box(roi)
    if kind == "RECT":
        return Outline([geometry.rectangle(x, y, x + width, y + height)])
    return Outline([geometry.ellipse((x + width / 2, y + height / 2), (width / 2, height / 2))])


def _box(roi: Any) -> tuple[float, float, float, float]:
    """Corner, width and height of a rectangle or oval, in parts of pixels where they are known."""
    if roi.subpixelrect:
        return float(roi.xd), float(roi.yd), float(roi.widthd), float(roi.heightd)
    return roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
