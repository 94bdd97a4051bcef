"""COCO: one JSON file, or one for each part, with `images`, `annotations` and `categories`.

A segmentation is a list of polygons (parts that are united), or a run-length encoding, compressed
or not. Category ids are arbitrary numbers, 0 included. `iscrowd: 1` marks a region of many objects,
which is none and is left out, unless the annotation carries CVAT's `occluded` attribute: CVAT marks
every mask painted with its brush as a crowd.

The part a file stands for is read from its name or folder: `instances_val2017.json`,
`valid/_annotations.coco.json`.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from trainables.datasets import geometry
from trainables.datasets.raw.folder import RawFolder, split_in_name, split_of
from trainables.datasets.raw.reading import Kind, Outline, RawImage, RawReading, RawSource

NAME = "coco"

TITLE = "COCO JSON"


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are COCO's by their keys."""
    return [file for file in folder.with_suffix(".json") if _is_coco(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that COCO files speak of."""
    return sum(len(folder.document(file)["images"]) for file in annotation_files(folder))


def read(reading: RawReading) -> None:
    """Read every COCO file."""
    for file in annotation_files(reading.folder):
        document = reading.folder.document(file)
        categories = _read_categories(reading, file, document.get("categories"))
        images = _read_images(reading, file, document["images"])
        listed = {entry.get("id") for entry in document["images"] if isinstance(entry, dict)}
        _note_brush_masks(reading, file, document["annotations"])
        for number, entry in enumerate(document["annotations"]):
            source = RawSource(file, f"annotations[{number}]")
            with reading.at(source):
                key = entry["image_id"]
                if key in images:
                    _read_object(reading, images[key], source.of(images[key]), entry, categories)
                elif key not in listed:
                    reason = f"no picture has the image_id {key!r}"
                    reading.problem(Kind.MISSING_IMAGE, source, reason)


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    )


def _read_categories(reading: RawReading, file: PurePosixPath, entries: Any) -> dict[Any, str]:
    """Names by id; the order of the ids is the order of the classes."""
    names: dict[Any, str] = {}
    for number, entry in enumerate(entries or []):
        with reading.at(RawSource(file, f"categories[{number}]")):
            names[entry["id"]] = str(entry["name"])
    for key in sorted(names, key=lambda key: (str(type(key)), key)):
        if names[key] not in reading.order:
            reading.order.append(names[key])
    return names


def _read_images(
    reading: RawReading, file: PurePosixPath, entries: list[Any]
) -> dict[Any, RawImage]:
    images: dict[Any, RawImage] = {}
    split = split_in_name(file.stem) or split_of(file)
    for number, entry in enumerate(entries):
        source = RawSource(file, f"images[{number}]")
        with reading.at(source):
            image = reading.image(str(entry["file_name"]), source)
            if image is None or not reading.claim(image, source):
                continue
            image.split = split or split_of(image.file)
            if reading.fits(image, (entry.get("width"), entry.get("height")), source):
                images[entry["id"]] = image
    return images


def _read_object(
    reading: RawReading,
    image: RawImage,
    source: RawSource,
    entry: Mapping[str, Any],
    categories: Mapping[Any, str],
) -> None:
    if entry.get("iscrowd") and not _is_brush_mask(entry):
        reading.problem(Kind.CROWD, source, "iscrowd is 1: many objects, not one")
        return
    category = entry["category_id"]
    if category not in categories:
        known = ", ".join(f"{key} ({name})" for key, name in list(categories.items())[:10])
        reason = f"no category has the id {category!r}; known: {known or 'none'}"
        reading.problem(Kind.UNKNOWN_LABEL, source, reason)
        return
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, Mapping):
        outline = Outline(masks=[geometry.compress(dict(segmentation))])
    else:
        outline = Outline(parts=[geometry.polygon(part) for part in segmentation or []])
    reading.add(image, categories[category], outline, source)


def _is_brush_mask(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("iscrowd")) and "occluded" in (entry.get("attributes") or {})


def _note_brush_masks(reading: RawReading, file: PurePosixPath, entries: list[Any]) -> None:
    n = sum(isinstance(entry, dict) and _is_brush_mask(entry) for entry in entries)
    if n:
        reading.notes.append(f"{file}: {n} masks marked as crowds by CVAT are taken as objects")
