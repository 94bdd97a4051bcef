"""VGG Image Annotator 2: one JSON file, a project or an export of annotations.

Pictures stand in `_via_img_metadata` (or at the top), each with `filename` and `regions`; a region
has `shape_attributes` (polygon, rect, circle, ellipse) and `region_attributes`, one of which is the
class. Which one is not said anywhere: taken is the one that most regions have, of those a name like
`label` or `class` first, then the one with fewer different values.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon
from trainables.datasets.raw.entries import Kind, Outline, RawSource
from trainables.datasets.raw.folder import RawFolder, split_in_name, split_of
from trainables.datasets.raw.reading import RawReading

NAME = "via"

TITLE = "VGG Image Annotator 2"

_USUAL_KEYS = ("label", "class", "class_name", "classname", "type", "category", "object", "name")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are VIA's by their keys."""
    return [file for file in folder.with_suffix(".json") if _entries(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that VIA files speak of."""
    return sum(len(_entries(folder.document(file))) for file in annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that VIA files speak of and that are here."""
    return sum(
        folder.has(str(entry["filename"]), file)
        for file in annotation_files(folder)
        for entry in _entries(folder.document(file)).values()
    )


def read(reading: RawReading) -> None:
    """Read every VIA file."""
    for file in annotation_files(reading.folder):
        entries = _entries(reading.folder.document(file))
        key = _class_key(entries)
        if key is None:
            reading.notes.append(
                f"{file}: no region has an attribute; every object is {reading.object_class!r}"
            )
        else:
            reading.notes.append(f"{file}: the region attribute {key!r} is the class")
        for name, entry in entries.items():
            source = RawSource(file, name)
            with reading.at(source):
                _read_image(reading, source, entry, key)


def _entries(document: Any) -> dict[str, Any]:
    """Pictures of a VIA file; empty if it is none."""
    if not isinstance(document, dict):
        return {}
    entries = document.get("_via_img_metadata", document)
    if not isinstance(entries, dict) or not entries:
        return {}
    fits = all(
        isinstance(entry, dict) and "filename" in entry and "regions" in entry
        for entry in entries.values()
    )
    return entries if fits else {}


def _regions(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Regions with their place; VIA 1 numbered them in a dictionary."""
    regions = entry["regions"] or ()
    pairs = regions.items() if isinstance(regions, dict) else enumerate(regions)
    for number, region in pairs:
        yield f"regions[{number}]", region


def _class_key(entries: Mapping[str, Any]) -> str | None:
    """The region attribute that holds the class, or None if there are no attributes."""
    count: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for key, value in _attributes(entries):
        label = _label(value)
        count[key] += bool(label)
        values.setdefault(key, set()).add(label)
    if not any(count.values()):
        return None
    most = max(count.values())
    return min(
        (key for key in count if count[key] >= 0.9 * most),
        key=lambda key: (key.lower() not in _USUAL_KEYS, len(values[key]), key),
    )


def _attributes(entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Attributes of all regions that are well formed."""
    for entry in entries.values():
        with contextlib.suppress(TypeError):
            for _, region in _regions(entry):
                attributes = region.get("region_attributes") if isinstance(region, dict) else None
                yield from attributes.items() if isinstance(attributes, dict) else ()


def _label(value: Any) -> str:
    """The text of an attribute; of check boxes, the one that is ticked."""
    if isinstance(value, dict):
        ticked = [key for key, on in value.items() if on]
        return ticked[0] if len(ticked) == 1 else ""
    return str(value).strip() if value is not None else ""


def _read_image(
    reading: RawReading, source: RawSource, entry: Mapping[str, Any], key: str | None
) -> None:
    regions = list(_regions(entry))
    source = replace(source, n_objects=len(regions))
    image = reading.image(str(entry["filename"]), source)
    if image is None or not reading.claim(image, source):
        return
    image.split = split_in_name(source.file.stem) or split_of(image.file) or split_of(source.file)
    for number, region in regions:
        here = source.at(f"{entry['filename']} {number}").of(image)
        with reading.at(here):
            outline = _outline(region["shape_attributes"])
            if outline is None:
                kind = region["shape_attributes"].get("name")
                reading.problem(Kind.NO_OUTLINE, here, f"a region of type {kind!r} has no area")
                continue
            attributes = region.get("region_attributes") or {}
            label = reading.object_class if key is None else _label(attributes.get(key))
            reading.add(image, label, Outline(parts=[outline]), here)


def _outline(shape: Mapping[str, Any]) -> Polygon | None:
    """The outline of a region, or None if its type has no area."""
    kind = shape.get("name")
    if kind == "polygon":
        pairs = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return geometry.polygon(list(pairs))
    if kind == "rect":
        x, y = shape["x"], shape["y"]
        return geometry.rectangle(x, y, x + shape["width"], y + shape["height"])
    if kind == "circle":
        return geometry.ellipse((shape["cx"], shape["cy"]), (shape["r"], shape["r"]))
    if kind == "ellipse":
        # VIA 2 writes the angle in radians (`theta`), from x towards y.
        degrees = math.degrees(float(shape.get("theta") or 0.0))
        return geometry.ellipse((shape["cx"], shape["cy"]), (shape["rx"], shape["ry"]), degrees)
    return None
