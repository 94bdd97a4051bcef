"""Label Studio: one JSON file, a list of tasks with their annotations (JSON), or flat (JSON-MIN).

Coordinates are per cent of the picture's sides. Regions: polygon, rectangle (`x`, `y`, `width`,
`height`, turned about its corner by `rotation` in degrees), ellipse (`x`, `y`, `radiusX`,
`radiusY`, `rotation`) and brush (Label Studio's own run lengths). A task without an annotation was
not looked at: it is no negative, and left out; a submitted annotation without regions is one. Of
several annotations of a task the last one that was not cancelled counts, and a warning says so.

An uploaded picture has eight characters before its name: `3f2a1b9c-m0.png` is `m0.png`.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.images import SUFFIXES as PICTURES
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted

NAME = "label-studio"

TITLE = "Label Studio JSON"

_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(.+)")

_CHANNELS: Final = 4  # a brush mask is written as RGBA; the last one is the mask

Regions = list[Mapping[str, Any]]
"""Regions of one annotation."""

_POINT: Final = "keypoint"

_KEYS: Final = {
    "points": "polygon",
    "rle": "brush",
    "radiusX": "ellipse",
    "height": "rectangle",
    "width": _POINT,
}
"""Kind of a shape by a key that it has; of several, the first."""

_TYPES: Final = ("polygon", "brush", "ellipse", "rectangle")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """JSON files that are Label Studio's by their keys, and hold an outline."""
    files = [file for file in folder.with_suffix(".json") if _is_export(folder.document(file))]
    return [file for file in files if _has_outline(folder.document(file))]


def count_images(folder: RawFolder) -> int:
    """Pictures that Label Studio's files speak of."""
    return sum(len(folder.document(file)) for file in annotation_files(folder))


def count_here(folder: RawFolder) -> int:
    """Pictures that Label Studio's files speak of and that are here."""
    return sum(
        folder.has(_here(folder, _picture_name(task.get("data", task))), file)
        for file in annotation_files(folder)
        for task in folder.document(file)
    )


def why_no_outlines(folder: RawFolder) -> str:
    """The reason why Label Studio's files are there but cannot be used, or ""."""
    files = [file for file in folder.with_suffix(".json") if _is_export(folder.document(file))]
    if not files:
        return ""
    return f"{files[0]} is Label Studio's, with boxes or points only; segmentation needs outlines"


def read(reading: RawReading) -> None:
    """Read every export of Label Studio."""
    for file in annotation_files(reading.folder):
        several: list[str] = []
        n_open = 0
        for number, task in enumerate(reading.folder.document(file)):
            source = RawSource(file, f"task {task.get('id', number)}")
            with reading.at(source):
                given = _all_regions(task)
                n_open += not given
                several += [source.place] if len(given) > 1 else []
                if given:
                    _read_task(reading, source, task, given[-1])
        _tell(reading, file, n_open, several)


def _tell(reading: RawReading, file: PurePosixPath, n_open: int, several: list[str]) -> None:
    if n_open:
        reading.notes.append(
            f"{file}: {counted(n_open, 'task has', 'tasks have')} no annotation: left out"
        )
    if several:
        reading.warnings.append(
            f"{file}: {counted(len(several), 'task has', 'tasks have')} several annotations, the "
            f"first is {several[0]}; the last annotation is taken"
        )


def _is_export(document: Any) -> bool:
    return (
        isinstance(document, list) and bool(document) and all(_is_task(task) for task in document)
    )


def _has_outline(tasks: list[dict[str, Any]]) -> bool:
    kinds = {
        _kind(region) for task in tasks for regions in _all_regions(task) for region in regions
    }
    return not kinds.isdisjoint({"polygon", "brush", "ellipse"})


def _all_regions(task: Mapping[str, Any]) -> list[Regions]:
    """Regions of each annotation of a task that was not cancelled."""
    if "data" not in task:  # JSON-MIN: regions stand under the name of the labelling tag
        return [[region for value in task.values() for region in _mappings(value)]]
    given = _mappings(task.get("annotations", task.get("completions")))
    return [_mappings(entry.get("result")) for entry in given if not entry.get("was_cancelled")]


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """Entries of a list that are mappings."""
    return (
        [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
    )


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict):
        return False
    if isinstance(task.get("data"), dict):
        return isinstance(task.get("annotations", task.get("completions")), list)
    return bool(_picture_name(task)) and ("annotator" in task or "annotation_id" in task)


def _picture_name(values: Mapping[str, Any]) -> str:
    """The value that names a picture, "" if none does."""
    for value in values.values():
        if isinstance(value, str):
            name = unquote(value.partition("?d=")[2] or value.partition("?")[0])
            if PurePosixPath(name).suffix.lower() in PICTURES:
                return name
    return ""


def _read_task(
    reading: RawReading,
    source: RawSource,
    task: Mapping[str, Any],
    regions: Regions,
) -> None:
    name = _picture_name(task.get("data", task))
    whole = RawSource(source.file, source.place, n_objects=len(regions))
    image = reading.image(_here(reading.folder, name), whole)
    if image is None or not reading.claim(image, whole):
        return
    image.split = split_of(image.file) or split_of(source.file)
    labels = {str(r.get("id")): _label(r) for r in regions if "id" in r and _label(r)}
    for number, region in enumerate(regions):
        here = source.at(f"{source.place}, region {number}").of(image)
        with reading.at(here):
            label = _label(region) or labels.get(str(region.get("id")), "")
            _read_region(reading, image, here, region, label)


def _here(folder: RawFolder, name: str) -> str:
    """A picture's name without the folders of the server, and without what an upload adds."""
    base = PureWindowsPath(name).name
    uploaded = _UPLOADED.fullmatch(base)
    if uploaded and base not in folder.by_name:
        return uploaded[1]
    return base


def _value(region: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shape of a region; JSON-MIN has it at the top."""
    value = region.get("value", region)
    return value if isinstance(value, Mapping) else {}


def _label(region: Mapping[str, Any]) -> str:
    """The class that a region names itself, or ""."""
    value = _value(region)
    for key in (*(f"{kind}labels" for kind in _TYPES), "labels"):
        if isinstance(value.get(key), list) and value[key]:
            return str(value[key][0])
    return ""


def _kind(region: Mapping[str, Any]) -> str:
    """Kind of the shape of a region; "" if it has none: it is a choice, or a further label."""
    value = _value(region)
    return next((kind for key, kind in _KEYS.items() if key in value), "")


def _read_region(
    reading: RawReading, image: RawImage, source: RawSource, region: Mapping[str, Any], label: str
) -> None:
    kind, value = _kind(region), _value(region)
    if not kind or region.get("type") == "labels":  # a choice, or the label of a shape told before
        return
    if kind == _POINT:
        reading.problem(Kind.NO_OUTLINE, source, "a point has no area")
        return
    if reading.fits(image, (region.get("original_width"), region.get("original_height")), source):
        outline = _outline(kind, value, image)
        reading.add(image, label or reading.object_class, outline, source)


def _outline(kind: str, value: Mapping[str, Any], image: RawImage) -> Outline:
    if kind == "brush":
        return Outline(masks=[_brush(value, image)])
    return Outline([_SHAPES[kind](value, image)])


def _polygon(value: Mapping[str, Any], image: RawImage) -> Polygon:
    return geometry.polygon(value["points"]) * _percent(image)


def _rectangle(value: Mapping[str, Any], image: RawImage) -> Polygon:
    x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
    corners = geometry.rectangle(x, y, x + width, y + height) * _percent(image)
    angle = np.deg2rad(float(value.get("rotation") or 0))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return geometry.polygon((corners - corners[0]) @ turn + corners[0])


def _ellipse(value: Mapping[str, Any], image: RawImage) -> Polygon:
    x, y, along, across = (float(value[key]) for key in ("x", "y", "radiusX", "radiusY"))
    px, py = _percent(image)
    angle = float(value.get("rotation") or 0)
    return geometry.ellipse((x * px, y * py), (along * px, across * py), angle)


_SHAPES: Final = {"polygon": _polygon, "rectangle": _rectangle, "ellipse": _ellipse}


def _percent(image: RawImage) -> npt.NDArray[np.float64]:
    """A hundredth of a picture's sides, in pixels."""
    return np.array([image.width, image.height]) / 100


def _brush(value: Mapping[str, Any], image: RawImage) -> Rle:
    """A brush mask.

    Raises:
        ValueError: Its run lengths do not fill the picture.
    """
    numbers = _unpacked(bytes(value["rle"]), image.height * image.width * _CHANNELS)
    mask = numbers.reshape(image.height, image.width, _CHANNELS)[..., -1]
    return geometry.encode_mask(mask)


def _unpacked(data: bytes, expected: int) -> npt.NDArray[np.int64]:
    """Numbers of a packed list of bits: runs of one number, and numbers one by one.

    The head gives how many numbers there are (32 bits), the bits of a number less one (5), and four
    sizes of lengths, each less one (4 bits). Then each run: whether it is one number (1 bit), which
    size its length has (2), the length less one, and the number or numbers.

    Raises:
        ValueError: There are not `expected` numbers, or the bits end early.
    """
    bits = _Bits(data)
    n, width = bits.take(32), bits.take(5) + 1
    if n != expected:
        raise ValueError(f"expected run lengths of {expected} numbers, got {n}")
    sizes = [bits.take(4) + 1 for _ in range(4)]
    numbers = np.zeros(n, dtype=np.int64)
    at = 0
    while at < n:
        alike = bits.take(1)
        end = min(at + 1 + bits.take(sizes[bits.take(2)]), n)
        numbers[at:end] = bits.take(width) if alike else [bits.take(width) for _ in range(at, end)]
        at = end
    return numbers


class _Bits:
    """Bits of bytes, the highest first, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, n: int) -> int:
        """The next `n` bits as a number.

        Raises:
            ValueError: There are not so many.
        """
        found = self._bits[self._at : self._at + n]
        if len(found) < n:
            raise ValueError("the run lengths end early")
        self._at += n
        return int(found, 2)
