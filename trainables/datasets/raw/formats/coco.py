"""COCO: one JSON file, or one for each part, with `images`, `annotations` and `categories`.

A segmentation is a list of polygons (parts that are united; of one alone the outer list may lack),
or a run-length encoding, compressed or not. An object without one is its `bbox`: x, y, width and
height (of five numbers it is turned, and left out). Category ids are arbitrary numbers, 0 included.
`iscrowd: 1` marks a region of many objects, which is none and is left out, unless `--keep-crowds`
asks for it, or the annotation carries CVAT's `occluded` attribute: CVAT marks every mask painted
with its brush as a crowd.

An id may be written as a number here and as text there. A picture may be listed several times under
one name: all objects are its own. What cannot be linked makes no negatives: pictures that share an
id, or stand under two names, are left out, and so are pictures without annotations where objects
belong to no picture of the file.

The part a file stands for is read from its name or folder: `instances_val2017.json`,
`valid/_annotations.coco.json`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final, Generic, TypeVar

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon
from trainables.datasets.raw.boxes import add_box
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_in_name, split_of
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "coco"

TITLE = "COCO JSON"

KEYS: Final = frozenset({"images", "annotations"})

Entry = TypeVar("Entry")

_PAIR: Final = 2

_BOX_NUMBERS: Final = 4

_ORIENTED_NUMBERS: Final = 5

_XY: Final = (0, 1)

_FARTHEST: Final = 1e12

_NO: Final = ("", "0", "0.0", "false", "no")

_SAME_BOX: Final = 0.3
"""Least intersection over union of an object's box and the one beside it: tools round, and boxes
may be drawn by hand."""


@dataclass(frozen=True)
class _Listed:
    """An entry of `images`.

    Attributes:
        source: Its place.
        name: The picture's name as written.
        image: The picture, or None where it is not there or its objects cannot be used.
    """

    source: RawSource
    name: str
    image: RawImage | None


@dataclass
class _ById(Generic[Entry]):
    """Entries of a list by their ids, which an annotation may write as a number or as text."""

    exact: dict[Any, list[Entry]] = field(default_factory=dict)
    as_text: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, key: Any, entry: Entry) -> None:
        """Take in an entry."""
        self.exact.setdefault(key, []).append(entry)
        self.as_text.setdefault(_text(key), []).append(entry)

    def find(self, key: Any) -> list[Entry]:
        """All entries with this id; those that write it in the same way come first."""
        return self.exact.get(key) or self.as_text.get(_text(key), [])


def _text(key: Any) -> str:
    whole = isinstance(key, float) and key.is_integer()
    return str(int(key) if whole else key).strip()


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are COCO's by their keys."""
    return [file for file in folder.with_suffix(".json") if _is_coco(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that COCO files speak of."""
    return sum(len(folder.document(file)["images"]) for file in annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that COCO files speak of and that are here."""
    return sum(
        isinstance(entry, dict) and folder.has(str(entry.get("file_name")), file)
        for file in annotation_files(folder)
        for entry in folder.document(file)["images"]
    )


def read(reading: RawReading) -> None:
    """Read every COCO file."""
    for file in annotation_files(reading.folder):
        document = reading.folder.document(file)
        _tell_crowds(reading, file, document["annotations"])
        categories = _read_categories(reading, file, document)
        pictures = _read_images(reading, file, document)
        unlinked = _read_annotations(reading, file, document["annotations"], pictures, categories)
        if unlinked:
            _doubt_negatives(reading, file, pictures, unlinked)
            _tell_shifted(reading, file, document)
        _tell_boxes_elsewhere(reading, file, document["annotations"])


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in KEYS)


def _read_categories(
    reading: RawReading, file: PurePosixPath, document: Mapping[str, Any]
) -> _ById[str]:
    """Names by id; the order of the ids is the order of the classes."""
    names = _ById[str]()
    n_objects = _count(document["annotations"], "category_id")
    listed = document.get("categories") or []
    if not isinstance(listed, list):
        source = RawSource(file, "categories", n_objects=len(document["annotations"]))
        reading.problem(Kind.MALFORMED, source, f"expected a list, got {type(listed).__name__}")
        return names
    for number, entry in enumerate(listed):
        source = RawSource(file, f"categories[{number}]")
        with reading.at(source):
            key, name = entry["id"], str(entry["name"])
            if names.find(key) and name not in names.find(key):
                reason = f"{name} has the id {key!r} of {names.find(key)[0]}; which one is meant?"
                source = replace(source, n_objects=n_objects[_text(key)])
                reading.problem(Kind.SHARED_ID, source, reason)
            names.add(key, name)
    for key in sorted(names.exact, key=lambda key: (str(type(key)), key)):
        reading.order += [name for name in names.exact[key] if name not in reading.order]
    return names


def _read_images(
    reading: RawReading, file: PurePosixPath, document: Mapping[str, Any]
) -> _ById[_Listed]:
    """Pictures by id; one that is listed several times stands under each of its ids."""
    listed = _ById[_Listed]()
    names: dict[tuple[PurePosixPath, int], str] = {}
    n_objects = _count(document["annotations"], "image_id")
    for number, entry in enumerate(document["images"]):
        source = RawSource(file, f"images[{number}]")
        with reading.at(source):
            key, name = entry["id"], str(entry["file_name"])
            source = replace(source, n_objects=n_objects[_text(key)])
            image = _read_image(reading, source, entry, names)
            listed.add(key, _Listed(source, name, image))
    return listed


def _count(annotations: list[Any], key: str) -> Counter[str]:
    """Number of annotations by one of their ids."""
    return Counter(_text(entry.get(key)) for entry in annotations if isinstance(entry, dict))


def _read_image(
    reading: RawReading,
    source: RawSource,
    entry: Mapping[str, Any],
    names: dict[tuple[PurePosixPath, int], str],
) -> RawImage | None:
    """The picture of an entry, or None with a problem; `names` of those met before grows."""
    name = str(entry["file_name"])
    image = reading.image(name, source)
    if image is None:
        return None
    key = (image.file, image.page)
    if key not in names and not reading.claim(image, source):
        return None
    if names.setdefault(key, name) != name:
        reason = (
            f"{names[key]} and {name} would both be {image.file}; whose objects are its own is not "
            "known, and it is left out"
        )
        reading.problem(Kind.ANNOTATED_TWICE, source.of(image), reason)
        image.doubtful = True
    image.split = split_in_name(source.file.stem) or split_of(source.file) or split_of(image.file)
    size = (entry.get("width"), entry.get("height"))
    return image if reading.fits(image, size, source) else None


def _read_annotations(
    reading: RawReading,
    file: PurePosixPath,
    entries: list[Any],
    pictures: _ById[_Listed],
    categories: _ById[str],
) -> int:
    """Add the objects; the number of those that belong to no picture of the file."""
    unlinked = len(entries)
    shared: dict[str, int] = {}
    for number, entry in enumerate(entries):
        source = RawSource(file, f"annotations[{number}]")
        with reading.at(source):
            found = pictures.find(entry["image_id"])
            if not found:
                reason = f"no picture has the image_id {entry['image_id']!r}"
                reading.problem(Kind.MISSING_IMAGE, source, reason)
                continue
            unlinked -= 1
            if len({listed.name for listed in found}) > 1:
                key = _text(entry["image_id"])
                shared[key] = shared.get(key, 0) + 1
            elif (image := found[0].image) is not None and not image.doubtful:
                _read_object(reading, image, source.of(image), entry, categories)
    for key, n_objects in shared.items():
        _refuse_shared(reading, pictures.find(key), key, n_objects)
    return unlinked


def _refuse_shared(reading: RawReading, listed: list[_Listed], key: str, n_objects: int) -> None:
    """Leave out the pictures of one id: whose objects are whose is not known."""
    names = list(dict.fromkeys(entry.name for entry in listed))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    reason = (
        f"{len(names)} pictures share the id {key}: {', '.join(names[:3])}{more}; whose objects "
        f"are whose is not known, and the pictures are left out"
    )
    source = RawSource(listed[0].source.file, listed[0].source.place, n_objects=n_objects)
    reading.problem(Kind.SHARED_ID, source, reason)
    for entry in listed:
        if entry.image is not None:
            entry.image.doubtful = True


def _doubt_negatives(
    reading: RawReading, file: PurePosixPath, pictures: _ById[_Listed], unlinked: int
) -> None:
    """Leave out pictures without annotations: the objects without a picture may be theirs."""
    listed = [entry.image for entries in pictures.exact.values() for entry in entries]
    empty = [image for image in listed if image and not (image.objects or image.lost)]
    for image in empty:
        image.doubtful = True
    if empty:
        bare = counted(
            len(empty), "picture without annotations is", "pictures without annotations are"
        )
        reading.warnings.append(
            f"{file}: {bare} left out, the first is {empty[0].file}: "
            f"{counted(unlinked, 'object belongs', 'objects belong')} to no picture of the file, "
            "and may be theirs"
        )


def _tell_shifted(reading: RawReading, file: PurePosixPath, document: Mapping[str, Any]) -> None:
    """Say so where ids of pictures that are one lower or higher would link all objects."""
    entries = {name: [e for e in document[name] if isinstance(e, dict)] for name in KEYS}
    pictures = {e.get("id") for e in entries["images"] if isinstance(e.get("id"), int)}
    keys = [entry.get("image_id") for entry in entries["annotations"]]
    meant = {key for key in keys if isinstance(key, int)}
    steps = () if meant <= pictures else (1, -1)
    shift = next((step for step in steps if {key + step for key in meant} <= pictures), None)
    if shift is not None:
        reading.warnings.append(
            f"{file}: every image_id of its {counted(len(document['annotations']), 'object')} "
            f"{'plus' if shift > 0 else 'less'} 1 is the id of a picture: were the pictures "
            "numbered anew? All objects would then be on other pictures than their own; look at "
            "the contact sheets"
        )


def _tell_boxes_elsewhere(reading: RawReading, file: PurePosixPath, entries: list[Any]) -> None:
    """Say how many outlines lie elsewhere than the boxes that stand beside them."""
    boxes = {f"annotations[{n}]": e.get("bbox") for n, e in enumerate(entries) if _has_box(e)}
    found = [
        (entry.place, geometry.box(entry.rle), boxes[entry.place])
        for image in reading.images.values()
        for entry in image.objects
        if entry.file == str(file) and entry.place in boxes and entry.rle is not None
    ]
    wrong = [(place, own, box) for place, own, box in found if _overlap(own, box) < _SAME_BOX]
    if wrong:
        place, own, box = wrong[0]
        reading.warnings.append(
            f"{file}: {len(wrong)} of {counted(len(found), 'outline')} lie elsewhere than the "
            f"bbox beside them, the first is {place}: {_numbers(own)} and bbox {_numbers(box)}. "
            "Is one of them of another size of the picture? The outlines are taken"
        )


def _has_box(entry: Any) -> bool:
    box = entry.get("bbox") if isinstance(entry, dict) else None
    if not isinstance(box, list) or len(box) != _BOX_NUMBERS:
        return False
    return all(isinstance(x, int | float) and abs(x) < _FARTHEST for x in box)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    sides = [min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in _XY]
    shared = max(sides[0], 0) * max(sides[1], 0)
    return shared / max(one[2] * one[3] + other[2] * other[3] - shared, 1e-9)


def _numbers(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"


def _read_object(
    reading: RawReading,
    image: RawImage,
    source: RawSource,
    entry: Mapping[str, Any],
    categories: _ById[str],
) -> None:
    if _is_crowd(entry) and not (reading.keep_crowds or _is_brush_mask(entry)):
        reading.problem(Kind.CROWD, source, "iscrowd is 1: many objects, not one")
        return
    names = dict.fromkeys(categories.find(entry["category_id"]))
    if not names:
        pairs = [(key, names[0]) for key, names in categories.exact.items()]
        known = ", ".join(f"{key} ({name})" for key, name in pairs[:10])
        reason = f"no category has the id {entry['category_id']!r}; known: {known or 'none'}"
        reading.problem(Kind.UNKNOWN_LABEL, source, reason)
        return
    if len(names) > 1:  # told once, with the category
        image.lost += 1
        return
    segmentation = entry.get("segmentation")
    if not segmentation and entry.get("bbox"):
        _read_box(reading, image, source, next(iter(names)), entry["bbox"])
        return
    if isinstance(segmentation, Mapping):
        outline = Outline(masks=[geometry.compress(dict(segmentation))])
    else:
        outline = Outline(parts=_polygons(segmentation or []))
    reading.add(image, next(iter(names)), outline, source)


def _read_box(
    reading: RawReading, image: RawImage, source: RawSource, name: str, box: Sequence[float]
) -> None:
    if len(box) == _ORIENTED_NUMBERS:
        reason = "a bbox of five numbers is turned; boxes lie along the picture's sides here"
        reading.problem(Kind.ORIENTED_BOX, source, reason)
        return
    if len(box) != _BOX_NUMBERS:
        raise ValueError(f"expected a bbox x, y, width, height, got {len(box)} numbers")
    x, y, width, height = (float(value) for value in box)
    add_box(reading, image, name, (x, y, x + width, y + height), source)


def _polygons(segmentation: Sequence[Any]) -> list[Polygon]:
    """Polygons of a segmentation, also of one written without the outer list."""
    flat = all(isinstance(value, int | float) for value in segmentation)
    pairs = all(isinstance(value, list) and len(value) == _PAIR for value in segmentation)
    if segmentation and (flat or pairs):
        return [geometry.polygon(segmentation)]
    return [geometry.polygon(part) for part in segmentation]


def _is_crowd(entry: Mapping[str, Any]) -> bool:
    """Whether an annotation is marked as a crowd, by a number or as text."""
    marked = entry.get("iscrowd")
    return marked.strip().casefold() not in _NO if isinstance(marked, str) else bool(marked)


def _is_brush_mask(entry: Mapping[str, Any]) -> bool:
    return _is_crowd(entry) and "occluded" in (entry.get("attributes") or {})


def _tell_crowds(reading: RawReading, file: PurePosixPath, entries: list[Any]) -> None:
    """Say of regions marked as crowds whether they are taken, and how the others would be."""
    crowds = [entry for entry in entries if isinstance(entry, dict) and _is_crowd(entry)]
    n_brush = sum(_is_brush_mask(entry) for entry in crowds)
    n_others = len(crowds) - n_brush
    if n_brush:
        reading.notes.append(
            f"{file}: {counted(n_brush, 'mask', 'masks')} marked as crowds by CVAT: taken as "
            "objects"
        )
    if n_others and reading.keep_crowds:
        reading.notes.append(
            f"{file}: {counted(n_others, 'region')} marked iscrowd: taken as objects, as "
            "--keep-crowds asks"
        )
    elif n_others:
        are = "is" if n_others == 1 else "are"
        reading.warnings.append(
            f"{file}: {n_others} of {counted(len(entries), 'object')} {are} marked iscrowd (many "
            "objects, not one) and left out. Some programs mark every run-length encoding so, "
            "also that of one object with a hole: if these are objects, --keep-crowds takes them"
        )
