"""SuperAnnotate-style JSON: one file a picture.

Keys: `metadata` with `name`, `width` and `height`, and `instances`, each with `className`, `type`
and its shape: polygon (`points` as a flat list x0 y0 x1 y1, holes as such lists in `exclude`),
ellipse (`cx`, `cy`, `rx`, `ry`, `angle` in degrees) or bbox (`points` with x1, y1, x2, y2).
Instances of one class with the same `groupId` above 0 are parts of one object.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from trainables.datasets import geometry
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.reading import Kind, Outline, RawImage, RawReading, RawSource

NAME = "superannotate"

TITLE = "SuperAnnotate-style JSON"


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are SuperAnnotate's by their keys."""
    files = folder.with_suffix(".json")
    return [file for file in files if _is_superannotate(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that SuperAnnotate files speak of."""
    return len(annotation_files(folder))


def read(reading: RawReading) -> None:
    """Read every SuperAnnotate file."""
    for file in annotation_files(reading.folder):
        document = reading.folder.document(file)
        source = RawSource(file, n_objects=len(document["instances"]))
        metadata = document["metadata"]
        image = reading.image(str(metadata.get("name") or file.name.split("___")[0]), source)
        if image is None or not reading.claim(image, source):
            continue
        image.split = split_of(image.file) or split_of(file)
        if reading.fits(image, (metadata.get("width"), metadata.get("height")), source):
            _read_instances(reading, image, source.of(image), document["instances"])


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
            reading.add(image, label, _united(image, outlines), source.at(places))


def _united(image: RawImage, outlines: Sequence[Outline]) -> Outline:
    """One object of several outlines; a hole is cut out of its own outline only."""
    if len(outlines) == 1:
        return outlines[0]
    plain = [part for outline in outlines if not outline.holes for part in outline.parts]
    holed = [
        geometry.encode_polygons(outline.parts, outline.holes, image.width, image.height)
        for outline in outlines
        if outline.holes
    ]
    return Outline(parts=plain, masks=holed)


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
