"""LabelMe: one JSON file a picture.

Keys: `imagePath` (relative to the JSON file), `imageData` (the picture itself, taken out where no
file is here), `imageHeight`, `imageWidth`, and `shapes`, each with `label`, `shape_type`, `points`
and `group_id`. Shapes with the same group number and label are
parts of one object. Types: polygon and oriented_rectangle (corners), rectangle and ellipse (two
opposite corners of the box), circle (centre and a point on the rim), mask (a base64 PNG inside a
box whose integer corners both belong to it).
"""

import base64
import contextlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np

from trainables.datasets import embedded, geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.outlines import placed
from trainables.datasets.raw.own_picture import OneFile, reference_of, tell_renumbered
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "labelme"

TITLE = "LabelMe"

KEYS: Final = frozenset({"shapes"})

_THREADS: Final = 4


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are LabelMe's by their keys."""
    return [file for file in folder.with_suffix(".json") if _is_labelme(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that LabelMe files speak of."""
    return len(annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that LabelMe files speak of and that are here, beside the file or in it."""
    ones = {file: _one(folder, file) for file in annotation_files(folder)}
    return sum(
        one.picture(folder) is not None or bool(folder.document(file).get(embedded.KEY))
        for file, one in ones.items()
    )


def read(reading: RawReading) -> None:
    """Read every LabelMe file."""
    renumbered: list[OneFile] = []
    images: dict[PurePosixPath, RawImage] = {}
    for file in annotation_files(reading.folder):
        one, document = _one(reading.folder, file), reading.folder.document(file)
        source = RawSource(file, n_objects=one.n_objects)
        image = _image(reading, one, source, renumbered)
        if image is None or not reading.claim(image, source):
            continue
        images[file] = image
        image.split = split_of(image.file) or split_of(file)
        if reading.fits(image, one.size, source):
            _read_shapes(reading, image, source.of(image), document["shapes"])
    if renumbered:
        tell_renumbered(reading, renumbered)
    _tell_of_embedded(reading, images)


def _image(
    reading: RawReading, one: OneFile, source: RawSource, renumbered: list[OneFile]
) -> RawImage | None:
    """The picture of a file, or the one in it; `renumbered` grows where it says another."""
    folder = reading.folder
    if folder.lies_beside(one.reference, one.file):
        return reading.image(one.reference, source)
    if one.picture(folder) is None and folder.document(one.file).get(embedded.KEY):
        return reading.open(one.file)
    return reading.image(reference_of(reading, one, renumbered), source)


def _tell_of_embedded(reading: RawReading, images: Mapping[PurePosixPath, RawImage]) -> None:
    """Say which pictures are taken out of their files, and which are not those of their files."""
    filled = [file for file in images if reading.folder.document(file).get(embedded.KEY)]
    taken_out = [file for file in filled if images[file].file == file]
    if taken_out:
        reading.notes.append(
            f"{counted(len(taken_out), 'picture is', 'pictures are')} taken out of the LabelMe "
            f"files ({embedded.KEY}), as not here otherwise, the first is that of {taken_out[0]}"
        )
    beside = [file for file in filled if images[file].file != file]
    if beside:
        _tell_of_others(reading, [(file, images[file]) for file in beside])


def _tell_of_others(
    reading: RawReading, with_picture: Sequence[tuple[PurePosixPath, RawImage]]
) -> None:
    """Say which files hold another picture than the one that is here under its name."""
    with ThreadPoolExecutor(_THREADS) as pool:
        paths = [(reading.folder.path(file), image.path) for file, image in with_picture]
        differs = list(pool.map(lambda pair: embedded.is_another(*pair), paths))
    others = [pair for pair, other in zip(with_picture, differs, strict=True) if other]
    if others:
        file, image = others[0]
        n = sum(len(image.objects) for _, image in others)
        reading.warnings.append(
            f"{counted(len(others), 'LabelMe file holds', 'LabelMe files hold')} another picture "
            f"({embedded.KEY}) than the one that is here, the first is {file}: its picture is not "
            f"{image.file}. The pictures that are here are taken with their "
            f"{counted(n, 'object')}; were they renamed or changed? Look at the contact sheets"
        )


def _one(folder: RawFolder, file: PurePosixPath) -> OneFile:
    document = folder.document(file)
    size = (document.get("imageWidth"), document.get("imageHeight"))
    reference = str(document.get("imagePath") or "")
    return OneFile(file, file.stem, reference, size, len(document["shapes"]))


def _is_labelme(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("shapes"), list)
        and ("imagePath" in document or "imageData" in document)
    )


def _read_shapes(
    reading: RawReading, image: RawImage, source: RawSource, shapes: list[Any]
) -> None:
    """Add the objects of a file; the parts of a group become one object."""
    groups: dict[tuple[Any, ...], list[tuple[str, Mapping[str, Any]]]] = {}
    for number, shape in enumerate(shapes):
        place = f"shapes[{number}]"
        with reading.at(source.at(place)):
            group = shape.get("group_id")
            key = (number,) if group is None else (str(group), str(shape.get("label")))
            groups.setdefault(key, []).append((place, shape))
    for members in groups.values():
        outline = _outline(reading, image, source, members)
        if outline:
            places = " + ".join(place for place, _ in members)
            reading.add(image, members[0][1].get("label"), outline, source.at(places))


def _outline(
    reading: RawReading,
    image: RawImage,
    source: RawSource,
    members: list[tuple[str, Mapping[str, Any]]],
) -> Outline | None:
    parts: list[Polygon] = []
    masks: list[Rle] = []
    for place, shape in members:
        with reading.at(source.at(place)):
            kind = shape.get("shape_type") or "polygon"
            if kind == "mask":
                masks.append(_mask(shape, image))
            elif kind in _SHAPES:
                parts.append(_SHAPES[kind](geometry.polygon(shape["points"])))
            else:
                reason = f"a shape of type {kind!r} has no area; expected {', '.join(_TYPES)}"
                reading.problem(Kind.NO_OUTLINE, source.at(place), reason)
    return Outline(parts=parts, masks=masks) if parts or masks else None


def _corners(points: Polygon) -> tuple[float, float, float, float]:
    if len(points) != 2:
        raise ValueError(f"expected 2 points, got {len(points)}")
    (x0, y0), (x1, y1) = points.tolist()
    return x0, y0, x1, y1


def _rectangle(points: Polygon) -> Polygon:
    if len(points) == 4:  # all four corners, as newer versions and forks write it
        return points
    return geometry.rectangle(*_corners(points))


def _circle(points: Polygon) -> Polygon:
    x, y, rim_x, rim_y = _corners(points)
    radius = math.hypot(rim_x - x, rim_y - y)
    return geometry.ellipse((x, y), (radius, radius))


def _ellipse(points: Polygon) -> Polygon:
    x0, y0, x1, y1 = _corners(points)
    return geometry.ellipse(((x0 + x1) / 2, (y0 + y1) / 2), (abs(x1 - x0) / 2, abs(y1 - y0) / 2))


_SHAPES = {
    "polygon": lambda points: points,
    "oriented_rectangle": lambda points: points,
    "rotation": lambda points: points,
    "rectangle": _rectangle,
    "circle": _circle,
    "ellipse": _ellipse,
}

_TYPES = ("polygon", "rectangle", "circle", "ellipse", "mask")


def _mask(shape: Mapping[str, Any], image: RawImage) -> Rle:
    """A mask shape at the size of the picture.

    Raises:
        ValueError: The mask is no picture.
    """
    data = np.frombuffer(base64.b64decode(shape["mask"]), dtype=np.uint8)
    picture = None
    with contextlib.suppress(cv2.error):
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if picture is None:
        raise ValueError("expected a base64 PNG as mask")
    patch = picture != 0 if picture.ndim == 2 else (picture != 0).any(axis=2)
    left, top = (round(value) for value in _corners(geometry.polygon(shape["points"]))[:2])
    return placed(image, patch, left, top)
