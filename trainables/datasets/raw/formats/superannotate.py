"""SuperAnnotate-style JSON: one file a picture.

Keys: `metadata` with `name`, `width` and `height`, and `instances`, each with `className`, `type`
and its shape: polygon (`points` as a flat list x0 y0 x1 y1, holes as such lists in `exclude`),
ellipse (`cx`, `cy`, `rx`, `ry`, `angle` in degrees) or bbox (`points` with x1, y1, x2, y2).
Instances of one class with the same `groupId` above 0 are parts of one object.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from trainables.datasets import geometry
from trainables.datasets.images import SUFFIXES
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.outlines import united
from trainables.datasets.raw.own_picture import OneFile, reference_of, tell_renumbered
from trainables.datasets.raw.reading import RawReading

NAME = "superannotate"

TITLE = "SuperAnnotate-style JSON"

KEYS: Final = frozenset({"metadata", "instances"})


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are SuperAnnotate's by their keys."""
    files = folder.with_suffix(".json")
    return [file for file in files if _is_superannotate(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that SuperAnnotate files speak of."""
    return len(annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that SuperAnnotate files speak of and that are here."""
    files = annotation_files(folder)
    return sum(_one(folder, file).picture(folder) is not None for file in files)


def read(reading: RawReading) -> None:
    """Read every SuperAnnotate file."""
    renumbered: list[OneFile] = []
    for file in annotation_files(reading.folder):
        one, document = _one(reading.folder, file), reading.folder.document(file)
        source = RawSource(file, n_objects=one.n_objects)
        image = reading.image(reference_of(reading, one, renumbered), source)
        if image is None or not reading.claim(image, source):
            continue
        image.split = split_of(image.file) or split_of(file)
        if reading.fits(image, one.size, source):
            _read_instances(reading, image, source.of(image), document["instances"])
    if renumbered:
        tell_renumbered(reading, renumbered)


def _one(folder: RawFolder, file: PurePosixPath) -> OneFile:
    """A file `m1.png___objects.json`, `m1.png.json` or `m1.json` about the picture `m1.png`."""
    document = folder.document(file)
    metadata = document["metadata"]
    name = PurePosixPath(file.name.split("___")[0].removesuffix(".json"))
    stem = name.stem if name.suffix.lower() in SUFFIXES else name.name
    reference = str(metadata.get("name") or (name if stem != name.name else ""))
    size = (metadata.get("width"), metadata.get("height"))
    return OneFile(file, stem, reference, size, len(document["instances"]))


def _is_superannotate(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("instances"), list)
        and isinstance(document.get("metadata"), dict)
    )


def _read_instances(
    reading: RawReading, image: RawImage, source: RawSource, instances: list[Any]
) -> None:
    """Add the objects of a file; the parts of a group become one object."""
    groups: dict[tuple[Any, ...], list[tuple[str, Mapping[str, Any]]]] = {}
    for number, instance in enumerate(instances):
        place = f"instances[{number}]"
        with reading.at(source.at(place)):
            group = instance.get("groupId") or 0
            key = (str(group), str(instance.get("className"))) if group else (number,)
            groups.setdefault(key, []).append((place, instance))
    for members in groups.values():
        outlines = [_outline(reading, source.at(place), instance) for place, instance in members]
        outlines = [outline for outline in outlines if outline.parts]
        if outlines:
            places = " + ".join(place for place, _ in members)
            label = members[0][1].get("className")
            reading.add(image, label, united(image, outlines), source.at(places))


def _outline(reading: RawReading, source: RawSource, instance: Mapping[str, Any]) -> Outline:
    """The shape of an instance; empty, with a problem, if it has no area."""
    with reading.at(source):
        kind = instance.get("type")
        if kind == "polygon":
            holes = [geometry.polygon(hole) for hole in instance.get("exclude") or []]
            return Outline([geometry.polygon(instance["points"])], holes)
        if kind == "ellipse":
            center, radii = (instance["cx"], instance["cy"]), (instance["rx"], instance["ry"])
            angle = float(instance.get("angle") or 0.0)
            return Outline([geometry.ellipse(center, radii, angle)])
        if kind == "bbox":
            x0, y0, x1, y1 = (instance["points"][key] for key in ("x1", "y1", "x2", "y2"))
            return Outline([geometry.rectangle(x0, y0, x1, y1)])
        reason = f"an instance of type {kind!r} has no area; expected polygon, ellipse or bbox"
        reading.problem(Kind.NO_OUTLINE, source, reason)
    return Outline()
