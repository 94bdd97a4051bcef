"""Masks of regions: binary masks, and masks of classes; both are used only when named.

In `binary-masks` every connected region (also over corners) is an object, so touching objects
become one. A mask with values in between is cut at half of the highest one, and inverted masks are
turned round; both are told. In `class-masks` every connected region of a value is an object, of the
class of that value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry
from trainables.datasets.images import UnreadableImageError, read_labels
from trainables.datasets.raw.formats.masks.label_masks import (
    TINY_PX,
    Region,
    annotation_files,
    judged,
    judged_values,
    read_regions,
)
from trainables.datasets.raw.formats.masks.values import Labels, Values, values_of, values_of_file
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

BINARY_TITLE = "binary masks, each connected region an object"

CLASS_TITLE = "class masks, each connected region of a value an object"

_INVERTED: Final = 0.9
"""Share of masks with white from edge to edge from which on all are inverted."""

_MAX_CLASSES: Final = 100


def read_binary(reading: RawReading) -> None:
    """Read masks in which each connected region is an object."""
    masks = _BinaryMasks(reading)
    read_regions(reading, masks.regions)
    masks.tell()


def read_classes(reading: RawReading) -> None:
    """Read masks in which each connected region of a value is an object of that value's class."""
    names = _class_names(reading)
    read_regions(reading, lambda labels: _by_class(labels, names), classless=False)


class _BinaryMasks:
    """Masks of one folder, cut at one height, and what is to be said of them."""

    def __init__(self, reading: RawReading) -> None:
        self._reading = reading
        files = [f for f, picture in annotation_files(reading.folder).items() if picture]
        highest = [reading.folder.parsed(file, _highest_value) or 0 for file in files]
        self._highest = max(highest, default=0)
        self._verdict = judged(reading.folder)
        filled = [values for _, values in judged_values(reading.folder) if len(values)]
        white = [bool(values.background.any()) for values in filled]
        self._inverted = bool(white) and float(np.mean(white)) >= _INVERTED
        self._cut = self._verdict.kind in ("binary", "grey")
        self._n_grey = 0

    def regions(self, labels: Labels) -> list[Region]:
        """Connected regions of a mask.

        Raises:
            ValueError: It is written with lower values than the others.
        """
        mask = labels > self._level(labels)
        self._n_grey += bool(np.any((labels != 0) & (labels != self._highest)))
        regions = _numbered(~mask if self._inverted else mask)
        why = self._why_none(labels, values_of(regions), regions)
        label = self._reading.object_class
        return [
            Region(f"region {number}", label, rle, why[number - 1])
            for number, rle in geometry.encode_labels(regions).items()
        ]

    def _why_none(self, labels: Labels, found: Values, regions: npt.NDArray[np.int32]) -> list[str]:
        """Reasons why regions are no objects, "" for those that are."""
        full = np.isin(found.numbers, regions[labels == (0 if self._inverted else labels.max())])
        stray = self._cut & ~full & (found.areas <= TINY_PX)
        why = np.where(stray, "it is but stray pixels of a value of their own", "").tolist()
        for place in np.flatnonzero(found.background).tolist():
            share = found.areas[place] / found.n_pixels
            why[place] = f"it covers {share:.0%} of the picture from edge to edge: is it inverted?"
        return list(why)

    def _level(self, labels: Labels) -> float:
        """The value above which a pixel is of an object."""
        highest = int(labels.max(initial=0))
        if not self._cut or highest == 0:
            return 0
        if highest > self._highest / 2:
            return self._highest / 2
        if len(np.unique(labels)) > 2:
            raise ValueError(
                f"its highest value is {highest}, that of others {self._highest}: which pixels are "
                "objects?"
            )
        return 0

    def tell(self) -> None:
        """Say how the masks were read, where they are not of two values."""
        warnings = self._reading.warnings
        if self._inverted:
            warnings.append(
                "the masks are inverted: what is not 0 reaches from edge to edge; what is 0 is "
                "taken for the objects"
            )
        if self._cut and self._n_grey:
            warnings.append(
                f"{counted(self._n_grey, 'mask has', 'masks have')} values between 0 and "
                f"{self._highest}, as after resizing or JPEG: what is above half of it, "
                f"{self._highest / 2:g}, is an object"
            )
        if not self._cut:
            warnings.append(
                f"the masks have several values ({self._verdict.reason or 'one an object'}): "
                "whatever is not 0 is taken, and touching objects become one"
            )


def _highest_value(path: Path) -> int | None:
    """Highest value of all pages of a label picture, or None if it cannot be read."""
    try:
        return int(read_labels(path).max(initial=0))
    except UnreadableImageError:
        return None


def _class_names(reading: RawReading) -> dict[int, str]:
    """Names of the values that are classes: those given, in order, else after their numbers."""
    values: set[int] = set()
    for file, picture in annotation_files(reading.folder).items():
        found = reading.folder.parsed(file, values_of_file) if picture else None
        if found is not None:
            usable = found.large & ~found.thin & ~found.background
            values.update(found.numbers[usable].tolist())
    numbers = sorted(values)[:_MAX_CLASSES]
    given: Sequence[str] = reading.classes or ()
    if len(given) == len(numbers):
        names = dict(zip(numbers, given, strict=True))
    else:
        names = {number: f"class_{number}" for number in numbers}
    listed = ", ".join(f"{number} is {name}" for number, name in names.items())
    reading.order += list(names.values())
    reading.notes.append(f"each connected region of a value is an object: {listed}")
    return names


def _by_class(labels: Labels, names: dict[int, str]) -> list[Region]:
    """Connected regions of each value, but for backgrounds and values of no class."""
    regions: list[Region] = []
    found = values_of(labels)
    for i, number in enumerate(found.numbers.tolist()):
        mask = labels == number
        if number not in names or found.background[i]:
            why = "it covers most of the picture from edge to edge: it is the background"
            if not found.background[i]:
                why = "it is but lines or stray pixels in every picture: no class"
            regions.append(Region(f"value {number}", "", geometry.encode_mask(mask), why))
            continue
        for n, rle in geometry.encode_labels(_numbered(mask)).items():
            regions.append(Region(f"value {number}, region {n}", names[number], rle))
    return regions


def _numbered(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Connected regions of a mask, numbered from 1."""
    _, numbered = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(numbered, dtype=np.int32)
