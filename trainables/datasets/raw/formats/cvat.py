"""CVAT for images 1.1: one XML file with an `image` element for each picture.

Elements: polygon (`points` as "x,y;x,y"), box (`xtl`, `ytl`, `xbr`, `ybr`, `rotation` in degrees),
ellipse (`cx`, `cy`, `rx`, `ry`, `rotation`) and mask (`rle`: lengths of runs row by row inside a
box, background first). Shapes of one group and label are parts of one object. An `image` without
shapes is a negative. A file of boxes alone holds no outlines; tracks of a video are not read.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of, split_word
from trainables.datasets.raw.outlines import placed, united
from trainables.datasets.raw.reading import RawReading

NAME = "cvat"

TITLE = "CVAT for images, XML"

SUFFIXES: Final = (".xml",)

_OUTLINES: Final = ("polygon", "ellipse", "mask")

_SHAPES: Final = (*_OUTLINES, "box")

_NO_AREA: Final = ("polyline", "points", "cuboid", "skeleton")

_NO_GROUP: Final = (None, "", "0")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """XML files that are CVAT's and hold an outline."""
    return [file for file in _cvat_files(folder) if _has(folder, file, _OUTLINES)]


def count_images(folder: RawFolder) -> int:
    """Pictures that CVAT's files speak of."""
    return sum(len(_images(folder, file)) for file in annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that CVAT's files speak of and that are here."""
    return sum(
        folder.has(element.get("name", ""), file)
        for file in annotation_files(folder)
        for element in _images(folder, file)
    )


def why_no_outlines(folder: RawFolder) -> str:
    """The reason why CVAT's XML files are there but cannot be used, or ""."""
    for file in _cvat_files(folder):
        if _root(folder, file).find("track") is not None:
            return (
                f"{file} is CVAT's XML of a video, whose tracks are not read; export the task as "
                "'CVAT for images 1.1' or COCO"
            )
        if _has(folder, file, ("box",)):
            return f"{file} is CVAT's XML with boxes only; segmentation needs outlines"
        return f"{file} is CVAT's XML without a shape that has an area"
    return ""


def read(reading: RawReading) -> None:
    """Read every CVAT file."""
    for file in annotation_files(reading.folder):
        names = [
            name.text or "" for name in _root(reading.folder, file).iterfind("meta//label/name")
        ]
        reading.order += [name.strip() for name in names if name.strip() not in reading.order]
        tracks = _root(reading.folder, file).findall("track")
        if tracks:
            source = RawSource(file, "track", n_objects=len(tracks))
            reading.problem(Kind.NO_OUTLINE, source, "tracks of a video are not read")
        for element in _images(reading.folder, file):
            source = RawSource(file, str(element.get("name")))
            with reading.at(source):
                _read_image(reading, source, element)


def _parse(path: Path) -> ET.Element | None:
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    is_cvat = root.tag == "annotations" and any(child.tag in ("image", "track") for child in root)
    return root if is_cvat else None


def _cvat_files(folder: RawFolder) -> list[PurePosixPath]:
    files = folder.with_suffix(*SUFFIXES)
    return [file for file in files if folder.parsed(file, _parse) is not None]


def _root(folder: RawFolder, file: PurePosixPath) -> ET.Element:
    root = folder.parsed(file, _parse)
    assert root is not None  # only files that were parsed are asked for
    return root


def _images(folder: RawFolder, file: PurePosixPath) -> list[ET.Element]:
    return _root(folder, file).findall("image")


def _has(folder: RawFolder, file: PurePosixPath, tags: Sequence[str]) -> bool:
    return any(image.find(tag) is not None for image in _images(folder, file) for tag in tags)


def _read_image(reading: RawReading, source: RawSource, element: ET.Element) -> None:
    shapes = [child for child in element if child.tag in (*_SHAPES, *_NO_AREA)]
    whole = RawSource(source.file, source.place, n_objects=len(shapes))
    image = reading.image(element.attrib["name"], whole)
    if image is None or not reading.claim(image, whole):
        return
    subset = split_word(element.get("subset", ""))
    image.split = subset or split_of(image.file) or split_of(source.file)
    size = tuple(int(element.get(key, 0)) for key in ("width", "height"))
    if reading.fits(image, (size[0], size[1]), whole):
        _read_shapes(reading, image, source.of(image), shapes)


def _read_shapes(
    reading: RawReading, image: RawImage, source: RawSource, shapes: list[ET.Element]
) -> None:
    """Add the objects of a picture; the parts of a group become one object."""
    groups: dict[tuple[object, ...], list[tuple[str, ET.Element]]] = {}
    for number, shape in enumerate(shapes):
        group, label = shape.get("group_id"), shape.get("label")
        key = (number,) if group in _NO_GROUP else (group, label)
        groups.setdefault(key, []).append((f"{source.place}, {shape.tag} {number}", shape))
    for members in groups.values():
        outlines = []
        for place, shape in members:
            with reading.at(source.at(place)):
                outlines += _outline(reading, image, source.at(place), shape)
        if outlines:
            places = " + ".join(place for place, _ in members)
            outline = united(image, outlines)
            reading.add(image, members[0][1].get("label"), outline, source.at(places))


def _outline(
    reading: RawReading, image: RawImage, source: RawSource, shape: ET.Element
) -> list[Outline]:
    """The outline of a shape; none, with a problem, if it has no area."""
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
        return [Outline([geometry.polygon([[float(x), float(y)] for x, y in pairs])])]
    if shape.tag == "mask":
        return [Outline(masks=[_mask(shape, image)])]
    if shape.tag == "ellipse":
        x, y, width, height = _floats(shape, "cx", "cy", "rx", "ry")
        angle = float(shape.get("rotation") or 0)
        return [Outline([geometry.ellipse((x, y), (width, height), angle)])]
    if shape.tag == "box":
        return [Outline([_box(shape)])]
    reading.problem(Kind.NO_OUTLINE, source, f"a shape of type {shape.tag!r} has no area")
    return []


def _floats(shape: ET.Element, *keys: str) -> list[float]:
    return [float(shape.attrib[key]) for key in keys]


def _box(shape: ET.Element) -> Polygon:
    """A box, turned about its centre by its rotation, clockwise as seen on a screen."""
    x0, y0, x1, y1 = _floats(shape, "xtl", "ytl", "xbr", "ybr")
    angle = np.deg2rad(float(shape.get("rotation") or 0))
    center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return geometry.polygon((geometry.rectangle(x0, y0, x1, y1) - center) @ turn + center)


def _mask(shape: ET.Element, image: RawImage) -> Rle:
    """A mask at the size of the picture.

    Raises:
        ValueError: Its runs do not fill its box.
    """
    left, top, width, height = (round(v) for v in _floats(shape, "left", "top", "width", "height"))
    runs = [int(run) for run in shape.attrib["rle"].split(",")]
    if sum(runs) != width * height or min(runs) < 0:
        raise ValueError(
            f"expected runs that add up to {width} x {height} = {width * height}, got {sum(runs)}"
        )
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return placed(image, inside, left, top)
