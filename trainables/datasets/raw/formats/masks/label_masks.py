"""Label pictures: 0 is background, every other number one object, holes and parts kept.

Where they lie is told in `layout`, and what their values show in `values`. The format has no
classes: every object gets the class name given by option.

Masks whose values are no objects (of two values, of classes, with grey borders) are not taken for
instance labels: they are refused with the numbers that show it, unless a format is named; see
`region_masks`. A value that covers most of a picture from edge to edge is its background, and one
of nothing but lines around others a border: neither is an object, and both are told.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

import numpy as np

from trainables.datasets import geometry
from trainables.datasets.geometry import Rle
from trainables.datasets.images import UnreadableImageError, read_labels
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_of
from trainables.datasets.raw.formats.masks.layout import IMAGE_FOLDERS, label_files
from trainables.datasets.raw.formats.masks.values import (
    Labels,
    MaskVerdict,
    Values,
    judge_masks,
    values_of,
    values_of_file,
)
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "masks"

TITLE = "instance-label pictures"

BINARY_NAME = "binary-masks"

CLASS_NAME = "class-masks"

_LOSSY: Final = (".jpg", ".jpeg")

_JUDGED: Final = 24
"""Label pictures, evenly spread over all, that show what kind they are."""

TINY_PX: Final = 3
"""Objects of so few pixels are told."""


@dataclass(frozen=True)
class Region:
    """An object of a label picture.

    Attributes:
        place: Its value or number.
        label: Its class.
        rle: Its pixels.
        why_none: Reason why it is no object, or "".
    """

    place: str
    label: str
    rle: Rle
    why_none: str = ""


Regions = Callable[[Labels], list[Region]]
"""Finds the objects of a label picture; raises ValueError where it is not like the others."""


def annotation_files(folder: RawFolder) -> dict[PurePosixPath, PurePosixPath | None]:
    """Label pictures with their pictures; JPEG, which does not keep numbers, for want of others."""
    found = label_files(folder)
    lossless = {picture for file, picture in found.items() if not _is_lossy(file)}
    return {
        file: picture
        for file, picture in found.items()
        if not _is_lossy(file) or (picture is not None and picture not in lossless)
    }


def count_paired(folder: RawFolder) -> int:
    """Label pictures whose picture is there."""
    return sum(picture is not None for picture in annotation_files(folder).values())


def count_images(folder: RawFolder) -> int:
    """Label pictures, if they are instance labels."""
    n = count_paired(folder)
    return n if n and judged(folder).kind == "instances" else 0


def count_others(folder: RawFolder) -> int:
    """Label pictures, if they are no instance labels."""
    return 0 if count_images(folder) else count_paired(folder)


def why_no_instances(folder: RawFolder) -> str:
    """The reason why label pictures are there but are no instance labels, or ""."""
    n = count_others(folder)
    verdict = judged(folder) if n else MaskVerdict("instances")
    if verdict.kind == "instances":
        return ""
    if why := _why_unreadable(folder):
        return why
    looks = {"binary": "binary masks", "grey": "binary masks with grey borders"}
    return (
        f"the {n} label pictures look like {looks.get(verdict.kind, 'class masks')}, not like "
        f"instance labels: {verdict.reason}. --format {BINARY_NAME} reads it, each connected "
        f"region an object; --format {CLASS_NAME}, each connected region of a value; --format "
        f"{NAME}, each value"
    )


def _why_unreadable(folder: RawFolder) -> str:
    """The reason why no label picture holds numbers, or "" if one does."""
    files = [file for file, picture in annotation_files(folder).items() if picture is not None]
    if judged_values(folder):
        return ""
    try:
        read_labels(folder.path(files[0]))
    except (UnreadableImageError, LeavesFolderError) as error:
        return (
            f"none of the {len(files)} label pictures holds numbers of objects, the first is "
            f"{files[0]}: {error}. Save them with one channel of whole numbers, 0 for the "
            "background; probabilities cut at a half, and colours as numbers"
        )
    return ""


def judged(folder: RawFolder) -> MaskVerdict:
    """What the label pictures of a folder hold, by some of them."""
    found = judged_values(folder)
    verdict = judge_masks(found)
    lossy = [name for name, _ in found if _is_lossy(PurePosixPath(name))]
    if lossy and verdict.kind == "instances":
        return MaskVerdict("grey", f"JPEG ({lossy[0]}) does not keep the numbers of objects")
    return verdict


def read(reading: RawReading) -> None:
    """Read label pictures in which each number is an object."""
    verdict = judged(reading.folder)
    if verdict.kind != "instances" or verdict.doubt:
        reading.warnings.append(
            f"are the label pictures instance labels? {verdict.reason or verdict.doubt}. Each "
            f"value is taken for an object; --format {BINARY_NAME} or {CLASS_NAME} takes regions"
        )
    read_regions(reading, lambda labels: _by_value(labels, reading.object_class))


def _is_lossy(file: PurePosixPath) -> bool:
    return file.suffix.lower() in _LOSSY


def judged_values(folder: RawFolder) -> list[tuple[str, Values]]:
    """Values of the label pictures by which all are judged, with their names."""
    files = [file for file, picture in annotation_files(folder).items() if picture is not None]
    chosen = files[:: max(1, len(files) // _JUDGED)]
    found = [(str(file), folder.parsed(file, values_of_file)) for file in chosen]
    return [(name, values) for name, values in found if values is not None]


def read_regions(reading: RawReading, regions_of: Regions, *, classless: bool = True) -> None:
    """Read every label picture, the objects of each found by `regions_of`."""
    if classless:
        reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    tiny: list[str] = []
    for file, picture in annotation_files(reading.folder).items():
        reading.labels.add(file)
        if picture is None:
            reason = f"no picture {file.stem}.* in {IMAGE_FOLDERS[0]} beside it"
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, RawSource(file), reason)
            continue
        for image, pages in _pages(reading, picture, file):
            source = _source(reading.folder, file, image, pages)
            if reading.claim(image, source):
                image.split = split_of(image.file) or split_of(file)
                for page in pages:
                    here = source.at(f"page {page}") if len(pages) > 1 else source
                    tiny += _read_page(reading, image, here, page, regions_of)
    if tiny:
        reading.warnings.append(
            f"{counted(len(tiny), 'object has', 'objects have')} at most {TINY_PX} pixels, "
            f"the first is {tiny[0]}: stray pixels?"
        )


def _source(
    folder: RawFolder, file: PurePosixPath, image: RawImage, pages: Sequence[int]
) -> RawSource:
    """Place of a label picture; where another was read for its picture, with what is lost."""
    source = RawSource(file, image=image)
    if not image.annotated_by:
        return source
    return replace(source, n_objects=sum(_count_objects(folder, file, page) for page in pages))


def _pages(
    reading: RawReading, picture: PurePosixPath, file: PurePosixPath
) -> Iterator[tuple[RawImage, list[int]]]:
    """Pages of a picture, each with the pages of the label picture that are about it."""
    n_pictures, pages = reading.pages(picture), list(reading.page_numbers(file))
    if n_pictures == 1 and len(pages) > 1:
        reading.notes.append(f"{file}: all its {len(pages)} pages are about the one of {picture}")
        about = [pages]
    else:
        about = [[page] for page in pages[:n_pictures]]
        if left_out := pages[n_pictures:]:
            reason = f"it has {len(pages)} pages, {picture} {n_pictures}: those beyond are not used"
            n_objects = sum(_count_objects(reading.folder, file, page) for page in left_out)
            source = RawSource(file, n_objects=n_objects)
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
    for number, its_pages in enumerate(about):
        image = reading.open(picture, number)
        if image:
            yield image, its_pages


def _count_objects(folder: RawFolder, file: PurePosixPath, page: int) -> int:
    """Number of different numbers of a page besides 0; 0 if it cannot be read."""
    try:
        return len(set(np.unique(read_labels(folder.path(file), page)).tolist()) - {0})
    except (UnreadableImageError, LeavesFolderError):
        return 0


def _read_page(
    reading: RawReading, image: RawImage, source: RawSource, page: int, regions_of: Regions
) -> list[str]:
    """Add the objects of a page; the places of those with hardly a pixel."""
    try:
        labels = read_labels(reading.folder.path(source.file), page)
        if not reading.fits(image, (labels.shape[1], labels.shape[0]), source):
            return []
        regions = regions_of(labels)
    except (UnreadableImageError, LeavesFolderError, ValueError) as error:
        reading.problem(Kind.UNREADABLE_ANNOTATION, source, str(error))
        return []
    tiny = []
    for region in regions:
        here = source.at(", ".join(filter(None, (source.place, region.place))))
        if region.why_none:
            reading.problem(Kind.NO_OBJECT, here, region.why_none)
            continue
        reading.add(image, region.label, Outline(masks=[region.rle]), here)
        if geometry.area(region.rle) <= TINY_PX:
            tiny.append(f"{here.file}, {here.place}")
    return tiny


def _by_value(labels: Labels, label: str) -> list[Region]:
    """Each value as an object, but for backgrounds and borders."""
    found = values_of(labels)
    why = dict(zip(found.numbers.tolist(), _why_none(found), strict=True))
    return [
        Region(f"value {number}", label, rle, why[number])
        for number, rle in geometry.encode_labels(labels).items()
    ]


def _why_none(found: Values) -> Iterator[str]:
    """Reasons why values are no objects, "" for those that are."""
    share = found.areas / found.n_pixels
    border = found.thin & (found.parts > 1)
    for i in range(len(found)):
        if found.numbers[i] < 0:
            yield "it is below 0, which no number of an object is: what a tool left undecided?"
        elif found.background[i] and (len(found) > 1 or found.nowhere_zero):
            yield f"it covers {share[i]:.0%} of the picture from edge to edge: its background"
        elif border[i] and not border.all():
            yield f"it is {found.parts[i]} lines around others, of at most 2 pixels: a border"
        else:
            yield ""
