"""Layouts of label pictures: which picture each is about.

They have the name of their picture, with or without an ending such as `_masks`, and lie in a folder
`labels`, `masks` or alike beside the folder `images` or below the pictures; or they lie beside
their pictures, and the ending tells them apart: `x.tif` and `x_masks.tif` (or `x_cp_masks.png`, as
cellpose writes), `x_img.png` and `x_masks.png`.

One mask an object lies in a folder for each picture: `x/masks/*.png` beside `x/images/x.png` (as in
the Data Science Bowl 2018) or `masks/x/*.png`, or begins with the picture's name:
`masks/x_1.png`, `masks/x_2.png`.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from trainables.datasets.raw.folder import RawFolder

IMAGE_FOLDERS: Final = ("images", "image", "imgs", "img")

LABEL_FOLDERS: Final = frozenset(
    {
        *("labels", "label", "masks", "mask", "instances", "annotations", "gt", "ground_truth"),
        *("groundtruth", "seg", "segmentation", "segmentations", "instance_masks", "label_masks"),
    }
)

_ENDING: Final = re.compile(
    r"[-_. ](?:cp[-_])?(?:masks?|labels?|instances?|seg|segmentations?|gt)$", re.IGNORECASE
)

_IMAGE_ENDINGS: Final = ("", "_img", "_image", "-img", "-image")

_SEPARATORS: Final = "_-. "


def label_files(folder: RawFolder) -> dict[PurePosixPath, PurePosixPath | None]:
    """Label pictures, each with its picture, or None where that is not there."""
    found: dict[PurePosixPath, PurePosixPath | None] = {}
    for file in folder.images:
        if label_place(file) is not None:
            found[file] = _picture_of(folder, file)
        elif (picture := _picture_beside(folder, file)) is not None:
            found[file] = picture
    return found


def object_mask_files(folder: RawFolder) -> dict[PurePosixPath, list[PurePosixPath]]:
    """Pictures with their masks, one an object; empty if no picture has several."""
    found: dict[PurePosixPath, list[PurePosixPath]] = {}
    for file in folder.images:
        if label_place(file) is not None and _picture_of(folder, file) is None:
            picture = _picture_of_one(folder, file)
            if picture is not None:
                found.setdefault(picture, []).append(file)
    return found if any(len(files) > 1 for files in found.values()) else {}


def without_ending(stem: str) -> str:
    """A name without an ending such as `_masks` or `_seg`."""
    return _ENDING.sub("", stem)


def label_place(file: PurePosixPath) -> int | None:
    """Index of the folder for labels in a path, or None."""
    places = [i for i, part in enumerate(file.parts[:-1]) if part.lower() in LABEL_FOLDERS]
    return places[-1] if places else None


def picture_called(folder: RawFolder, stem: str, near: PurePosixPath) -> PurePosixPath | None:
    """The picture of this name in a folder, also with an ending such as `_img`."""
    for ending in _IMAGE_ENDINGS:
        here = [f for f in folder.by_stem.get(stem + ending, []) if f.parent == near]
        if here:
            return here[0]
    return None


def _picture_of(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture that a file in a folder for labels is named after."""
    for near in _picture_folders(file):
        for stem in dict.fromkeys((file.stem, without_ending(file.stem))):
            if (picture := picture_called(folder, stem, near)) is not None:
                return picture
    return None


def _picture_folders(file: PurePosixPath) -> Iterator[PurePosixPath]:
    """Folders that may hold the picture of a file in a folder for labels."""
    place = label_place(file)
    assert place is not None  # only such files are asked for
    for name in (*IMAGE_FOLDERS, ""):
        yield PurePosixPath(*file.parts[:place], name, *file.parts[place + 1 : -1])


def _picture_beside(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture beside a label picture, which an ending tells apart."""
    stem = without_ending(file.stem)
    picture = picture_called(folder, stem, file.parent) if stem != file.stem else None
    return None if picture == file else picture


def _picture_of_one(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture of which a mask shows one object."""
    place = label_place(file)
    assert place is not None  # only such files are asked for
    above, below = PurePosixPath(*file.parts[:place]), file.parts[place + 1 : -1]
    for name in (*IMAGE_FOLDERS, ""):
        near = above / name
        named = below[-1:] or _beginnings(file.stem)
        for stem in named:
            if (picture := picture_called(folder, stem, near)) is not None:
                return picture
        if not below and name and len(alone := _pictures_in(folder, near)) == 1:
            return alone[0]
    return None


def _beginnings(stem: str) -> list[str]:
    """Beginnings of a name at a word's end, the longest first."""
    return [stem[:end] for end in range(len(stem) - 1, 0, -1) if stem[end] in _SEPARATORS]


def _pictures_in(folder: RawFolder, near: PurePosixPath) -> list[PurePosixPath]:
    return [picture for picture in folder.images if picture.parent == near]
