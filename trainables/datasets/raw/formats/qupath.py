"""QuPath's GeoJSON: one file a picture, bearing the picture's name.

A feature is an object: its geometry a Polygon (the first ring is the outline, the others are holes)
or a MultiPolygon, in pixels of the whole picture; its class is the name of its classification.
Classes that end in `*`, as `Ignore*`, are none in QuPath, and their regions are left out. In a file
with detections or cells the annotations are regions that were searched, and are left out too.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from trainables.datasets import geometry
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.naming import picture_named_like
from trainables.datasets.raw.outlines import united
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "qupath"

TITLE = "QuPath GeoJSON"

SUFFIXES: Final = (".geojson", ".json")

KEYS: Final = frozenset({"type"})

_ANNOTATION: Final = "annotation"

_FOUND: Final = ("detection", "cell")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Files that are GeoJSON by their keys."""
    files = folder.with_suffix(*SUFFIXES)
    return [file for file in files if _features(folder.document(file)) is not None]


def count_images(folder: RawFolder) -> int:
    """Pictures that GeoJSON files speak of."""
    return len(annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that GeoJSON files speak of and that are here."""
    return sum(picture_named_like(folder, file) is not None for file in annotation_files(folder))


def read(reading: RawReading) -> None:
    """Read every GeoJSON file."""
    for file in annotation_files(reading.folder):
        features = _features(reading.folder.document(file)) or []
        source = RawSource(file, n_objects=len(features))
        picture = picture_named_like(reading.folder, file)
        if picture is None:
            reason = f"no picture is called {file.stem}.*, or as the beginning of that"
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
            continue
        image = reading.open(picture)
        if image and reading.claim(image, source):
            image.split = split_of(image.file) or split_of(file)
            _read_features(reading, image, source.of(image), features)


def _features(document: Any) -> list[Any] | None:
    """Features of a GeoJSON file; None if it is none."""
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        features = document.get("features")
        return features if isinstance(features, list) else None
    features = [document] if isinstance(document, dict) else document
    if not isinstance(features, list) or not features:
        return None
    fits = all(isinstance(entry, dict) and entry.get("type") == "Feature" for entry in features)
    return features if fits else None


def _read_features(
    reading: RawReading, image: RawImage, source: RawSource, features: list[Any]
) -> None:
    kinds = [_kind(feature) for feature in features]
    searched = any(kind in _FOUND for kind in kinds)
    if searched and (n := kinds.count(_ANNOTATION)):
        reading.warnings.append(
            f"{source.file}: {counted(n, 'annotation')} beside "
            f"{counted(len(kinds) - n, 'detection')} taken for regions that were searched, and "
            "left out"
        )
    n_plain = 0
    for number, feature in enumerate(features):
        here = source.at(f"features[{number}]")
        if searched and kinds[number] == _ANNOTATION:
            continue
        with reading.at(here):
            label = _label(feature)
            n_plain += not label
            _read_feature(reading, image, here, feature, label or reading.object_class)
    if n_plain:
        reading.notes.append(
            f"{source.file}: {counted(n_plain, 'object has', 'objects have')} no class and "
            f"{'is' if n_plain == 1 else 'are'} called {reading.object_class!r}"
        )


def _kind(feature: Any) -> str:
    """Kind of an object: "annotation", "detection", "cell" or another."""
    if not isinstance(feature, Mapping):
        return ""
    properties = feature.get("properties")
    kind = properties.get("objectType") if isinstance(properties, Mapping) else None
    kind = str(kind or feature.get("id") or "")
    return kind.removeprefix("Path").removesuffix("Object").lower()


def _label(feature: Mapping[str, Any]) -> str:
    found = (feature.get("properties") or {}).get("classification")
    name = found.get("name") if isinstance(found, Mapping) else found
    return str(name or "").strip()


def _read_feature(
    reading: RawReading, image: RawImage, source: RawSource, feature: Mapping[str, Any], label: str
) -> None:
    if label.endswith("*"):
        reading.problem(Kind.UNKNOWN_LABEL, source, f"{label} is no class: QuPath ignores it")
        return
    shape = feature["geometry"]
    if shape["type"] == "Polygon":
        polygons = [shape["coordinates"]]
    elif shape["type"] == "MultiPolygon":
        polygons = shape["coordinates"]
    else:
        reading.problem(Kind.NO_OUTLINE, source, f"a {shape['type']} has no area")
        return
    outlines = [
        Outline([geometry.polygon(rings[0])], [geometry.polygon(hole) for hole in rings[1:]])
        for rings in polygons
    ]
    reading.add(image, label, united(image, outlines), source)
