"""Instance-label pictures: 0 is background, every other number one object, holes and parts kept.

Where they lie is told in `layout`. The format has no classes: every object gets the class name
given by option.

A picture in which only one number besides 0 occurs may be a class mask (particle or not) just as
well; if all label pictures are like that they are not taken for instance labels. `binary-masks`
asks for them: every connected region (also over corners) is then one object, so touching objects
become one.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry
from trainables.datasets.images import UnreadableImageError, read_labels
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_of
from trainables.datasets.raw.formats.masks.layout import IMAGE_FOLDERS, label_files
from trainables.datasets.raw.reading import Kind, Outline, RawImage, RawReading, RawSource

NAME = "masks"

TITLE = "instance-label pictures"

BINARY_NAME = "binary-masks"

BINARY_TITLE = "binary masks, each connected region an object"

_LOSSY: Final = (".jpg", ".jpeg")


def annotation_files(folder: RawFolder) -> dict[PurePosixPath, PurePosixPath | None]:
    """Label pictures with their pictures; never JPEG, which does not keep numbers."""
    found = label_files(folder).items()
    return {file: picture for file, picture in found if file.suffix.lower() not in _LOSSY}


def count_paired(folder: RawFolder) -> int:
    """Label pictures whose picture is there."""
    return sum(picture is not None for picture in annotation_files(folder).values())


def count_images(folder: RawFolder) -> int:
    """Label pictures, if they are instance labels: some hold more than one number."""
    files = [file for file, picture in annotation_files(folder).items() if picture]
    return len(files) if any(_has_several(folder, file) for file in files) else 0


def count_binary(folder: RawFolder) -> int:
    """Label pictures, if none holds more than one number besides 0."""
    return 0 if count_images(folder) else count_paired(folder)


def read(reading: RawReading) -> None:
    """Read label pictures in which each number is an object."""
    _read(reading, connected=False)


def read_binary(reading: RawReading) -> None:
    """Read masks in which each connected region is an object."""
    _read(reading, connected=True)


def _read(reading: RawReading, *, connected: bool) -> None:
    reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    for file, picture in annotation_files(reading.folder).items():
        reading.labels.add(file)
        if picture is None:
            reason = f"no picture {file.stem}.* in {IMAGE_FOLDERS[0]} beside it"
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, RawSource(file), reason)
            continue
        for image, pages in _pages(reading, picture, file):
            source = RawSource(file, image=image)
            if reading.claim(image, source):
                image.split = split_of(image.file) or split_of(file)
                for page in pages:
                    here = source.at(f"page {page}") if len(pages) > 1 else source
                    _read_page(reading, image, here, page, connected=connected)


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


def _has_several(folder: RawFolder, file: PurePosixPath) -> bool:
    """Whether a label picture holds two numbers besides 0."""
    try:
        labels = read_labels(folder.path(file))
    except (UnreadableImageError, LeavesFolderError):
        return False
    objects = labels[labels != 0]
    return bool((objects[1:] != objects[:-1]).any())


def _read_page(
    reading: RawReading, image: RawImage, source: RawSource, page: int, *, connected: bool
) -> None:
    try:
        labels = read_labels(reading.folder.path(source.file), page)
    except (UnreadableImageError, LeavesFolderError) as error:
        reading.problem(Kind.UNREADABLE_ANNOTATION, source, str(error))
        return
    if not reading.fits(image, (labels.shape[1], labels.shape[0]), source):
        return
    if connected:
        labels = _regions(labels)
    for number, rle in geometry.encode_labels(labels).items():
        place = f"region {number}" if connected else f"value {number}"
        here = source.at(", ".join(filter(None, (source.place, place))))
        reading.add(image, reading.object_class, Outline(masks=[rle]), here)


def _regions(mask: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Number the connected regions of what is not 0."""
    _, numbered = cv2.connectedComponents((mask != 0).astype(np.uint8), connectivity=8)
    return np.asarray(numbered, dtype=np.int32)
