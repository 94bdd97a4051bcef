"""One mask an object: several label pictures for each picture (see `layout`).

In a mask everything above half of its highest value is the object, with holes and parts; what lies
between its highest value and 0, as after resizing, is counted and told. The format has no classes.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from trainables.datasets import geometry
from trainables.datasets.images import UnreadableImageError, read_labels
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_of
from trainables.datasets.raw.formats.masks.layout import IMAGE_FOLDERS, object_mask_files
from trainables.datasets.raw.formats.masks.values import values_of
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "object-masks"

TITLE = "one mask an object"


def count_images(folder: RawFolder) -> int:
    """Pictures with masks of their objects."""
    return len(object_mask_files(folder))


def read(reading: RawReading) -> None:
    """Read the masks of every picture."""
    reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    found = object_mask_files(reading.folder)
    n_grey = 0
    for picture, masks in found.items():
        reading.labels.update(masks)
        source = RawSource(masks[0], n_objects=len(masks))
        image = reading.open(picture)
        if image and reading.claim(image, source):
            image.split = split_of(image.file) or split_of(masks[0])
            n_grey += sum(_read_mask(reading, image, file) for file in masks)
    if n_grey:
        reading.warnings.append(
            f"{counted(n_grey, 'mask has', 'masks have')} more than two values, as after "
            "resizing: what is above half of the highest one is the object"
        )
    _tell_without_masks(reading, list(found))


def _read_mask(reading: RawReading, image: RawImage, file: PurePosixPath) -> bool:
    """Add the object of a mask; whether the mask has more than two values."""
    source = RawSource(file, image=image)
    try:
        values = read_labels(reading.folder.path(file))
    except (UnreadableImageError, LeavesFolderError) as error:
        reading.problem(Kind.UNREADABLE_ANNOTATION, source, str(error))
        return False
    if not reading.fits(image, (values.shape[1], values.shape[0]), source):
        return False
    highest = int(values.max())
    mask = values > highest / 2
    if values_of(mask).background.any():
        reason = f"it covers {mask.mean():.0%} of the picture from edge to edge: is it inverted?"
        reading.problem(Kind.NO_OBJECT, source, reason)
        return False
    reading.add(image, reading.object_class, Outline(masks=[geometry.encode_mask(mask)]), source)
    return bool(np.any((values != 0) & (values != highest)))


def _tell_without_masks(reading: RawReading, pictures: Sequence[PurePosixPath]) -> None:
    """Name pictures that lie in folders of their own, as the others do, and have no mask."""
    parents, known = {picture.parent for picture in pictures}, {*pictures, *reading.labels}
    if len(parents) < len(pictures):
        return  # a picture without annotations in a folder of others is told for all formats
    bare = [
        file
        for file in reading.folder.images
        if file.parent.name.lower() in IMAGE_FOLDERS and file not in known
    ]
    if bare:
        reading.notes.append(
            f"{counted(len(bare), 'picture')} left out for lack of masks, the first is {bare[0]}"
        )
