"""Boxes of objects whose outlines nobody drew: checked when they are read, and held together.

A box says where an object is and how large, and not which pixels are its own: it is never filled to
a mask, and has no area. The objects of a data set all have masks, or are all boxes. Where both are
there, those with boxes alone are left out, with a warning; `--boxes` takes the box of each instead.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
from scipy.spatial import cKDTree

from trainables.datasets import geometry
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Corners, Kind, RawImage, RawObject, RawSource
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

_LEAST_PX: Final = 0.5
"""A box is as wide and as high at least, or there is nothing of an object in it."""

_SAME_PX: Final = 0.5
"""Boxes of one class whose sides all lie nearer to each other are one object, listed twice."""

_FEW: Final = 3
"""Fewer boxes do not tell whether all are fractions."""

_FAR: Final = 2.0
"""Boxes that reach beyond so many sides of their picture are not fractions of it."""


def add_box(
    reading: RawReading, image: RawImage, label: Any, corners: Sequence[float], source: RawSource
) -> None:
    """Add an object by its box, cut at the picture's edges, or list why it is left out.

    Args:
        reading: Everything read so far.
        image: The picture.
        label: Name of its class, as the file has it.
        corners: x1, y1, x2, y2 in pixels.
        source: Its place.
    """
    source = source.of(image)
    with reading.at(source):
        name = reading.class_name(label, source)
        box = _inside(reading, image, corners, source) if name else None
        if name and box:
            place = str(source.file), source.place
            image.objects.append(RawObject(name, None, *place, box=box))


def why_no_fractions(boxes: Sequence[Sequence[float]]) -> str:
    """The reason why boxes cannot be fractions of the pictures' sides, or "".

    Args:
        boxes: Numbers of each box, all of them fractions where they are right.
    """
    farthest = [max(map(abs, box)) for box in boxes if len(box)]
    far = [value for value in farthest if value > _FAR]
    if not far or 2 * len(far) < len(farthest):
        return ""
    return (
        "expected boxes as fractions (0 to 1) of the pictures' sides, got numbers up to "
        f"{max(far):g} in {len(far)} of {counted(len(farthest), 'box', 'boxes')}: are they pixels? "
        "Divide x by the picture's width and y by its height, or give COCO or a table"
    )


def are_fractions(boxes: Sequence[Sequence[float]]) -> bool:
    """Whether all numbers of several boxes lie between 0 and 1, as no pixels do."""
    numbers = np.array(boxes, dtype=np.float64)
    finite = numbers[np.isfinite(numbers).all(axis=1)] if len(boxes) else numbers
    return len(finite) >= _FEW and bool((finite >= 0).all() and (finite <= 1).all())


def settle_boxes(reading: RawReading, *, asked: bool) -> None:
    """Make the objects of a folder all boxes, or leave out those that have nothing else, and tell.

    Args:
        reading: All objects, as they were read.
        asked: Whether the user wants boxes.

    Raises:
        DatasetError: Boxes are asked for of particles, or all boxes are smaller than a pixel.
    """
    objects = [entry for image in reading.images.values() for entry in image.objects]
    n_boxes = sum(entry.rle is None for entry in objects)
    if asked and any(entry.disc is not None for entry in objects):
        raise DatasetError(
            "--boxes: expected objects with boxes, outlines or masks, got particles by their "
            "centres, with a radius that was given; leave it out"
        )
    if asked and n_boxes < len(objects):
        _turn_into_boxes(reading, len(objects) - n_boxes)
    elif n_boxes < len(objects):
        _leave_boxes_out(reading, n_boxes, len(objects))
    corners = [entry.box for entry in objects if entry.box is not None]
    if n_boxes == len(objects) and are_fractions(corners):
        raise DatasetError(
            f"{objects[0].file}: expected boxes in pixels, got {len(objects)} that all lie in the "
            "first pixel: are they fractions of the pictures' sides? A table takes --unit "
            "fraction; in other formats multiply x by the picture's width and y by its height"
        )
    for image in reading.images.values():
        _keep_boxes_once(reading, image)


def _inside(
    reading: RawReading, image: RawImage, corners: Sequence[float], source: RawSource
) -> Corners | None:
    """A box cut at the picture's edges; None, with a problem, where nothing is left of it."""
    x1, y1, x2, y2 = (float(value) for value in corners)
    outline = geometry.rectangle(x1, y1, x2, y2)  # refuses what is no number
    if x2 < x1 or y2 < y1:
        raise ValueError(
            f"expected the upper left and the lower right corner, got ({x1:g}, {y1:g}) and "
            f"({x2:g}, {y2:g})"
        )
    if min(x2 - x1, y2 - y1) >= _LEAST_PX and not reading.lies_inside(image, [outline], source):
        return None
    x1, x2 = (min(max(x, 0.0), float(image.width)) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), float(image.height)) for y in (y1, y2))
    if min(x2 - x1, y2 - y1) < _LEAST_PX:
        reason = f"the box is {x2 - x1:.3g} x {y2 - y1:.3g} pixels"
        reading.problem(Kind.ZERO_SIZE, source, reason)
        return None
    return x1, y1, x2, y2


def _turn_into_boxes(reading: RawReading, n: int) -> None:
    """Take the boxes of objects that have masks."""
    for image in reading.images.values():
        image.objects = [_as_box(entry) for entry in image.objects]
    reading.rectangles.clear()
    reading.notes.append(
        f"{counted(n, 'object')} with outlines or masks: the boxes around them are taken, as "
        "--boxes asks"
    )


def _as_box(entry: RawObject) -> RawObject:
    if entry.rle is None:
        return entry
    x, y, width, height = geometry.box(entry.rle)
    return replace(entry, rle=None, box=(x, y, x + width, y + height))


def _leave_boxes_out(reading: RawReading, n: int, n_all: int) -> None:
    """Keep the objects that have masks, and say what is lost."""
    for image in reading.images.values():
        for entry in image.objects:
            if entry.rle is None:
                source = RawSource(PurePosixPath(entry.file), entry.place, image)
                reason = "it has a box, and neither outline nor mask"
                reading.problem(Kind.NO_OUTLINE, source, reason)
        image.objects = [entry for entry in image.objects if entry.rle is not None]
    reading.warnings.append(
        f"{n} of {counted(n_all, 'object')} {'has' if n == 1 else 'have'} a box alone, beside "
        "others with outlines or masks, and left out: what is in these boxes trains as "
        "background. --boxes takes the box of every object instead"
    )


def _keep_boxes_once(reading: RawReading, image: RawImage) -> None:
    """Leave out boxes that follow one of their class at the same place, and tell."""
    boxed = [(i, entry) for i, entry in enumerate(image.objects) if entry.box is not None]
    if len(boxed) < 2:
        return
    corners = np.array([entry.box for _, entry in boxed], dtype=np.float64)
    pairs = cKDTree(corners).query_pairs(_SAME_PX, p=np.inf)
    again: set[int] = set()
    for one, other in sorted(pairs):
        (_, first), (index, entry) = boxed[one], boxed[other]
        if first.label != entry.label or boxed[one][0] in again or index in again:
            continue
        place = ", ".join(filter(None, (first.file, first.place)))
        source = RawSource(PurePosixPath(entry.file), entry.place)
        reading.problem(Kind.OBJECT_TWICE, source, f"it has the class and the box of {place}")
        again.add(index)
    if again:
        image.objects = [entry for i, entry in enumerate(image.objects) if i not in again]
