"""What a raw folder shows once all of it is read, and what its user should look at again.

Nothing here leaves anything out: what is told can be read, but is probably a mistake.
"""

from typing import Final

import numpy as np

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import RawImage, RawObject, place_and_size
from trainables.datasets.raw.reading import DOUBTFUL_CLASSES, RawReading, letters
from trainables.files.words import counted

_FIRST_PART: Final = 2 / 3
"""Objects that reach no further on both sides are questioned."""

_FEW: Final = 3

_ALIGNED: Final = 0.96
"""Share of its box that a rectangle along the edges covers at the least."""

_SEVERAL_PROPORTIONS: Final = 1.2
"""Boxes of which the widest is so much wider for its height than the narrowest are unlike."""

_MANY: Final = 12
"""Fewer rectangles may be objects."""


def tell_doubts(reading: RawReading) -> None:
    """Say what paths, classes, turned pictures and outlines show.

    Raises:
        DatasetError: A class may be one, or what is not to be learnt.
    """
    _tell_of_paths(reading)
    _question_classes(reading)
    _tell_of_ignored(reading)
    _tell_of_turned(reading)
    _tell_of_outlines(reading)


def _tell_of_paths(reading: RawReading) -> None:
    """Say which pictures are found by their names, as their paths are of another machine."""
    folder = reading.folder
    if folder.by_name_alone:
        reference, file = next(iter(folder.by_name_alone.items()))
        reading.notes.append(
            f"{counted(len(folder.by_name_alone), 'path leads', 'paths lead')} out of the folder; "
            f"pictures here of the same names are taken, the first is {file} for {reference}"
        )


def _tell_of_ignored(reading: RawReading) -> None:
    for name, sources in reading.ignored.items():
        first = sources[0]
        reading.warnings.append(
            f"{counted(len(sources), 'object is', 'objects are')} called {name}, which is no "
            f"class, and left out, the first is {first.place} of {first.file}; what they mark "
            "trains as background. --classes with that name takes them"
        )


def _question_classes(reading: RawReading) -> None:
    """Ask whether a name such as `void`, beside those of other classes, is one.

    Raises:
        DatasetError: There is such a name, and the user did not say which classes there are.
    """
    found: dict[str, list[RawObject]] = {}
    for image in reading.images.values():
        for entry in image.objects:
            found.setdefault(entry.label, []).append(entry)
    asked = [name for name in found if letters(name) in DOUBTFUL_CLASSES]
    if reading.classes is not None or not asked or len(asked) == len(found):
        return
    name, first = asked[0], found[asked[0]][0]
    others = [other for other in found if other not in asked]
    raise DatasetError(
        f"{first.file}: {counted(len(found[name]), 'object is', 'objects are')} called {name}, the "
        f"first is {first.place}: is it a class to be learnt, or what is left out? Say which "
        f"classes there are: --classes {','.join(found)} or --classes {','.join(others)}"
    )


def _tell_of_turned(reading: RawReading) -> None:
    """Say which pictures are turned where nothing shows that their annotations are, too."""
    turned = [i for i in reading.images.values() if i.turned_alone and i.objects]
    if turned:
        n = sum(len(image.objects) for image in turned)
        told = counted(
            len(turned), "picture or its label picture", "pictures or their label pictures"
        )
        reading.warnings.append(
            f"{told} with {counted(n, 'object')} bear an orientation tag and are turned as it "
            f"says, the first is {turned[0].file}: not all programs do so, and nothing shows "
            "whether what annotates them was made on turned ones. Look at the contact sheets; "
            "pictures saved upright, without the tag, leave no doubt"
        )


def _tell_of_outlines(reading: RawReading) -> None:
    """Say what all objects together show: another scale, boxes, several objects in one."""
    found = [
        (image, entry)
        for image in reading.images.values()
        for entry in image.objects
        if entry.disc is None
    ]
    if not found:
        return
    boxes = np.array([place_and_size(entry) for _, entry in found])
    sides = np.array([(image.width, image.height) for image, _ in found])
    reach = geometry.reach_of_first_part((boxes[:, :2] + boxes[:, 2:]) / sides)
    if reach is not None and reach.max() <= _FIRST_PART:
        reading.warnings.append(
            f"all {len(found)} objects lie in the first {reach[0]:.2f} x {reach[1]:.2f} of the "
            "pictures' sides: were they drawn on smaller pictures, or are they in another "
            "unit? Look at the contact sheets"
        )
    if len(found) >= _MANY and len(reading.rectangles) == len(found):
        _tell_of_rectangles(reading)
    apart = [entry for image, entry in found if _is_several(image, entry)]
    if apart:
        reading.warnings.append(
            f"{counted(len(apart), 'object consists', 'objects consist')} of regions far apart "
            f"from each other, the first is {apart[0].place} of {apart[0].file}: several objects "
            "under one number, or a mask of two values among instance labels?"
        )


def _tell_of_rectangles(reading: RawReading) -> None:
    """Say that outlines are boxes: rectangles along the edges, of several proportions.

    Squares, and rectangles that are turned, may be the objects' own shapes.
    """
    sides = np.array([np.ptp(corners, axis=0) for corners in reading.rectangles])
    areas = np.array([_area(corners) for corners in reading.rectangles])
    aligned = areas > _ALIGNED * sides.prod(axis=1)
    proportions = sides[:, 0] / sides[:, 1]
    low, high = proportions.min(), proportions.max()
    if aligned.all() and high > _SEVERAL_PROPORTIONS * low:
        reading.warnings.append(
            f"all {len(sides)} outlines are rectangles along the pictures' edges, their width "
            f"{low:.2f} to {high:.2f} of their height: are they boxes? Segmentation learns that "
            "everything inside them belongs to the objects; --boxes takes them as boxes"
        )
    else:
        kind = "" if aligned.all() else f", {(~aligned).sum()} of them turned"
        reading.notes.append(
            f"all {len(sides)} outlines are rectangles{kind}: right, if the objects are. If they "
            "are boxes around objects, segmentation learns what is around these, too; --boxes "
            "takes them as boxes"
        )


def _area(corners: Polygon) -> float:
    """Area of an outline, (N, 2), by the shoelace formula."""
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _is_several(image: RawImage, entry: RawObject) -> bool:
    """Whether a mask is of several objects: what is behind others shows parts nearer together."""
    if entry.rle is None:
        return False
    alone = len(image.objects) == 1 and geometry.n_parts(entry.rle) >= _FEW
    return alone or geometry.n_parts(entry.rle, gap=1) > 1
