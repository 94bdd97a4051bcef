"""Instance-label pictures: 0 is background, every other number one object, holes and parts kept.

They have the names of their pictures and lie in a folder `labels`, `masks` or alike, the pictures
in `images` beside it. The format has no classes: every object gets the class name given by option.

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
from trainables.datasets.raw.reading import Kind, Outline, RawImage, RawReading, RawSource

NAME = "masks"

TITLE = "instance-label pictures"

BINARY_NAME = "binary-masks"

BINARY_TITLE = "binary masks, each connected region an object"

_LABEL_FOLDERS: Final = frozenset(
    {"labels", "label", "masks", "mask", "instances", "annotations", "segmentations", "gt"}
)

_IMAGE_FOLDERS: Final = ("images", "image", "imgs", "img")

_ENDINGS: Final = ("", "_label", "_labels", "_mask", "_masks", "_instances", "_seg")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Pictures in folders for labels; never JPEG, which does not keep numbers."""
    lossless = [file for file in folder.images if file.suffix.lower() not in (".jpg", ".jpeg")]
    return [file for file in lossless if _place(file) is not None]


def count_paired(folder: RawFolder) -> int:
    """Label pictures whose picture is there."""
    return sum(_picture_of(folder, file) is not None for file in annotation_files(folder))


def count_images(folder: RawFolder) -> int:
    """Label pictures, if they are instance labels: some hold more than one number."""
    files = [file for file in annotation_files(folder) if _picture_of(folder, file)]
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
    for file in annotation_files(reading.folder):
        picture = _picture_of(reading.folder, file)
        if picture is None:
            reason = f"no picture {file.stem}.* in {' or '.join(_IMAGE_FOLDERS[:1])} beside it"
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


def _place(file: PurePosixPath) -> int | None:
    """Index of the folder for labels in its path, or None."""
    places = [i for i, part in enumerate(file.parts[:-1]) if part.lower() in _LABEL_FOLDERS]
    return places[-1] if places else None


def _picture_of(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    place = _place(file)
    if place is None:
        return None
    for name in _IMAGE_FOLDERS:
        parts = [*file.parts[:place], name, *file.parts[place + 1 : -1]]
        for ending in _ENDINGS:
            stem = file.stem.removesuffix(ending) if ending else file.stem
            near = PurePosixPath(*parts)
            here = [f for f in folder.by_stem.get(stem, []) if f.parent == near]
            if here:
                return here[0]
    return None


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
