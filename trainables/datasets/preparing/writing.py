"""Writes the parts of a prepared data set into a folder that nobody reads yet."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry
from trainables.datasets.images import DecodedPicture, UnreadableImageError, read_picture
from trainables.datasets.prepared import (
    ANNOTATIONS,
    BOXES_VERSION,
    FORMAT_VERSION,
    IMAGES,
    MANIFEST,
    PICTURES,
    SPLITS,
    UNLABELLED,
)
from trainables.datasets.preparing.grouping import Grouping, brightness_steps
from trainables.datasets.preparing.splits import SplitAssignment
from trainables.datasets.raw.entries import RawImage, RawObject, place_and_size
from trainables.datasets.records import PictureState, remember_pictures

_PNG_LEVEL: Final = 1  # a third of the time of 3, for a few per cent more bytes


@dataclass(frozen=True)
class Converted:
    """A picture that stands in the prepared folder.

    Attributes:
        image: The raw picture, with its objects.
        pixels: Hash of its pixels as prepared.
        state: State of its file in the prepared folder.
        look: Its brightness steps, (2, 16, 16) float32.
        changes: Changes to its pixels, in words.
        grey_range: The raw values that became 0 and 255, or None where nothing was scaled.
        grey: Whether no pixel has a colour.
    """

    image: RawImage
    pixels: str
    state: PictureState
    look: npt.NDArray[np.float32]
    changes: tuple[str, ...]
    grey_range: tuple[float, float] | None = None
    grey: bool = False

    @property
    def file_name(self) -> str:
        """Path of the file below the prepared folder."""
        return f"{IMAGES}/{_png_name(self.image)}"


@dataclass(frozen=True)
class Content:
    """Everything a prepared data set is made of, pictures already written.

    Attributes:
        name: Name of the data set.
        classes: Class names in the order of their numbers.
        format: Name of the raw format.
        images: Sorted by name, unlabelled ones included.
        grouping: Groups of pictures that belong together.
        assignment: Part of every labelled picture.
        settings: Options of the preparation.
        problems: Number of problems by kind.
    """

    name: str
    classes: tuple[str, ...]
    format: str
    images: tuple[Converted, ...]
    grouping: Grouping
    assignment: SplitAssignment
    settings: Mapping[str, Any]
    problems: Mapping[str, int]

    @property
    def version(self) -> int:
        """Version of the format: that of boxes where no object has a mask."""
        masked = any(entry.rle is not None for item in self.images for entry in item.image.objects)
        return FORMAT_VERSION if masked else BOXES_VERSION

    def part(self, name: str) -> str:
        """The part a picture is in, or `UNLABELLED`."""
        return self.assignment.split.get(name, UNLABELLED)


def make_images_folder(folder: Path) -> None:
    """Make the folder that `convert` writes to."""
    (folder / IMAGES).mkdir()


def convert(image: RawImage, folder: Path) -> Converted | str:
    """Write a picture as 8-bit PNG; what is wrong with it if it cannot be decoded."""
    try:
        picture = read_picture(image.path, image.page)
    except UnreadableImageError as error:
        return str(error)
    if picture.pixels.shape[:2] != (image.height, image.width):
        height, width = picture.pixels.shape[:2]
        return f"its header says {image.width} x {image.height} pixels, it has {width} x {height}"
    digest = hashlib.sha256(repr(picture.pixels.shape).encode() + picture.pixels.tobytes())
    look = brightness_steps(picture.pixels)
    grey = picture.pixels.ndim == 2 or _is_grey(picture.pixels)
    file = folder / IMAGES / _png_name(image)
    _write_png(picture, image.path, file)
    return Converted(
        image=image,
        pixels=digest.hexdigest(),
        state=PictureState.of(file),
        look=look,
        changes=picture.changes,
        grey_range=picture.grey_range,
        grey=grey,
    )


def _png_name(image: RawImage) -> str:
    return f"{image.stem}.png"


def _is_grey(pixels: npt.NDArray[np.uint8]) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def write_annotations(folder: Path, content: Content) -> dict[str, Any]:
    """Write `annotations.json` and `pictures.json`; the manifest that goes with them."""
    coco = _coco(content)
    data = json.dumps(coco, ensure_ascii=False, separators=(",", ":")).encode()
    (folder / ANNOTATIONS).write_bytes(data)
    states = {_png_name(item.image): item.state for item in content.images}
    remember_pictures(folder, states)
    groups = content.grouping.members()
    return {
        "format_version": content.version,
        "name": content.name,
        "classes": list(content.classes),
        "fingerprint": _fingerprint(content),
        "evaluation_only": content.assignment.evaluation_only,
        "annotations_sha256": hashlib.sha256(data).hexdigest(),
        PICTURES: {name: state.sha256 for name, state in states.items()},
        "source_format": content.format,
        "counts": _counts(content),
        "grey": all(item.grey for item in content.images),
        UNLABELLED: sum(not item.image.labelled for item in content.images),
        "splits_by": content.assignment.by,
        "grouped_by": content.grouping.by,
        "groups": {
            group: dict(Counter(content.part(name) for name in names))
            for group, names in groups.items()
        },
        "settings": dict(content.settings),
        "problems": dict(content.problems),
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, the last file of a prepared data set."""
    (folder / MANIFEST).write_text(
        json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", "utf-8"
    )


def _write_png(picture: DecodedPicture, source: Path, target: Path) -> None:
    if picture.verbatim:
        shutil.copyfile(source, target)
        return
    pixels = picture.pixels if picture.pixels.ndim == 2 else picture.pixels[:, :, ::-1]
    if not cv2.imwrite(str(target), pixels, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL]):
        raise OSError(f"{target} cannot be written")


def _coco(content: Content) -> dict[str, Any]:
    numbers = {name: i for i, name in enumerate(content.classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, item in enumerate(content.images, start=1):
        images.append(_coco_image(content, image_id, item))
        for entry in item.image.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[entry.label],
                    **_mask(entry),
                    "bbox": list(place_and_size(entry)),
                    "iscrowd": 0,
                    **_particle(entry),
                }
            )
    categories = [{"id": i, "name": name} for name, i in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _coco_image(content: Content, image_id: int, item: Converted) -> dict[str, Any]:
    image = item.image
    return {
        "id": image_id,
        "file_name": item.file_name,
        "width": image.width,
        "height": image.height,
        "split": content.part(image.stem),
        "group": content.grouping.group[image.stem],
        "source": f"{image.file} page {image.page}" if image.paged else str(image.file),
        **({} if image.um_per_px is None else {"um_per_px": image.um_per_px}),
        **({} if item.grey_range is None else {"grey_range": list(item.grey_range)}),
    }


def _mask(entry: RawObject) -> dict[str, Any]:
    """The keys of an object's mask; none for a box."""
    if entry.rle is None:
        return {}
    text = entry.rle["counts"].decode("ascii")
    return {
        "segmentation": {"size": list(entry.rle["size"]), "counts": text},
        "area": geometry.area(entry.rle),
    }


def _particle(entry: RawObject) -> dict[str, Any]:
    return {} if entry.disc is None else {"particle": asdict(entry.disc)}


def _counts(content: Content) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for split in SPLITS:
        part = [item.image for item in content.images if content.part(item.image.stem) == split]
        objects = Counter(entry.label for image in part for entry in image.objects)
        counts[split] = {
            "images": len(part),
            "objects": {name: objects[name] for name in content.classes},
        }
    return counts


def _fingerprint(content: Content) -> str:
    """A hash of what a model sees; raw format and order of files and objects do not matter."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, content.classes]).encode())
    for item in sorted(content.images, key=lambda item: item.image.stem):
        objects = sorted(_seen(entry) for entry in item.image.objects)
        split = content.part(item.image.stem)
        digest.update(json.dumps([item.image.stem, split, item.pixels, objects]).encode())
    return digest.hexdigest()


def _seen(entry: RawObject) -> tuple[Any, ...]:
    """The facts of an object that a model sees."""
    if entry.rle is None:
        return (entry.label, "box", *(entry.box or ()))
    mask = (entry.label, entry.rle["counts"].decode("ascii"))
    return mask if entry.disc is None else (*mask, *astuple(entry.disc))
