"""Records of a prepared data set: its pictures, their files and the objects in them."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from trainables.datasets.layout import AGAIN, ANNOTATIONS, SPLITS, UNLABELLED, DatasetError
from trainables.datasets.layout import Split as Split
from trainables.files.errors import UserError
from trainables.files.whole import write_text

PICTURE_STATES: Final = "pictures.json"


@dataclass(frozen=True)
class ImageRecord:
    """One picture of a prepared data set.

    Attributes:
        id: COCO image id, from 1.
        path: Absolute path of the 8-bit PNG.
        width: Columns, in pixels.
        height: Rows, in pixels.
        split: The part it belongs to; "train" for an unlabelled one, which only training may see.
        group: Pictures of one group (tiles of one micrograph, near duplicates) share a part.
        labelled: Whether it is known what is in it.
        um_per_px: Side of a pixel in micrometres, or None where nobody said it.
    """

    id: int
    path: Path
    width: int
    height: int
    split: Split
    group: str
    labelled: bool = True
    um_per_px: float | None = None


class PictureState(NamedTuple):
    """State of a picture's file when it was hashed.

    Attributes:
        size: Bytes.
        mtime_ns: Time at which its content was changed last, in nanoseconds since 1970.
        sha256: Hash of its content, hexadecimal.
    """

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read and hash a picture's file.

        Raises:
            OSError: It cannot be read.
        """
        there = path.stat()  # first: what is written while it is hashed is seen the next time
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(there.st_size, there.st_mtime_ns, sha256)


def remember_pictures(root: Path, states: Mapping[str, PictureState]) -> None:
    """Write `pictures.json` below `root`; where that cannot be, pictures are hashed each time."""
    with contextlib.suppress(OSError):
        write_text(root / PICTURE_STATES, json.dumps(states, ensure_ascii=False), on_disk=False)


@dataclass(frozen=True)
class ParticleDisc:
    """A particle of a format of coordinates, as a disc around its centre.

    Attributes:
        x: Column of its centre, in pixels; (0, 0) is the upper left corner of the first pixel.
        y: Row of its centre, in pixels, downwards.
        radius: Radius in pixels.
    """

    x: float
    y: float
    radius: float


class NoMaskError(UserError):
    """A mask was asked of an object of which a box alone is known."""


@dataclass(frozen=True)
class Annotation:
    """One object in one picture.

    Attributes:
        category: 0-based index into the data set's classes.
        rle: COCO run-length encoding, {"size": [height, width], "counts": bytes}; holes and
            several parts are kept. None where the object's box alone is known.
        box: x1, y1, x2, y2 in pixels, x2 and y2 exclusive: the tight box of the mask, or as given.
        area: Pixels in the mask; None without one, as what a box covers is no area of an object.
        disc: The particle whose pixels the mask holds, where it was given by its centre.
    """

    category: int
    rle: dict[str, Any] | None
    box: tuple[float, float, float, float]
    area: float | None
    disc: ParticleDisc | None = None

    @property
    def mask(self) -> dict[str, Any]:
        """The run-length encoding of an object that has one.

        Raises:
            NoMaskError: Its box alone is known.
        """
        if self.rle is None:
            raise NoMaskError(
                "expected objects with outlines or masks, got boxes alone; what needs masks "
                "cannot use this data set"
            )
        return self.rle

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Self:
        """The annotation that stands as an entry of COCO's in `annotations.json`."""
        x, y, width, height = (float(value) for value in entry["bbox"])
        disc = ParticleDisc(**entry["particle"]) if "particle" in entry else None
        box = (x, y, x + width, y + height)
        if "segmentation" not in entry:
            return cls(entry["category_id"] - 1, None, box, None, disc)
        rle = {
            "size": [int(side) for side in entry["segmentation"]["size"]],
            "counts": entry["segmentation"]["counts"].encode("ascii"),
        }
        return cls(entry["category_id"] - 1, rle, box, entry["area"], disc)


@dataclass(frozen=True)
class Index:
    """`annotations.json`, read once.

    Attributes:
        images: Pictures by part.
        annotations: Objects by the id of their picture, each once.
        n_twice: Number of objects by the id of their picture that stood there before.
    """

    images: dict[str, tuple[ImageRecord, ...]]
    annotations: dict[int, tuple[Annotation, ...]]
    n_twice: dict[int, int]


def index_of(root: Path, coco: Mapping[str, Any]) -> Index:
    """The pictures and objects of a data set from the content of its `annotations.json`.

    Raises:
        DatasetError: A picture is in no part that is known.
    """
    images: dict[str, list[ImageRecord]] = {split: [] for split in (*SPLITS, UNLABELLED)}
    for entry in sorted(coco["images"], key=lambda image: int(image["id"])):
        split = entry["split"]
        if split not in images:
            raise DatasetError(f"{root / ANNOTATIONS}: unknown split {split!r}. {AGAIN}")
        images[split].append(_record(root, entry))
    annotations: dict[int, dict[Any, Annotation]] = {}
    n_twice: Counter[int] = Counter()
    for entry in coco["annotations"]:
        image, found = entry["image_id"], Annotation.of_entry(entry)
        known = annotations.setdefault(image, {})
        what = found.box if found.rle is None else found.rle["counts"]
        n_twice[image] += (same := (found.category, what)) in known
        known.setdefault(same, found)
    return Index(
        {split: tuple(records) for split, records in images.items()},
        {image: tuple(objects.values()) for image, objects in annotations.items()},
        n_twice,
    )


def _record(root: Path, entry: Mapping[str, Any]) -> ImageRecord:
    labelled = entry["split"] != UNLABELLED
    return ImageRecord(
        id=entry["id"],
        path=root / entry["file_name"],
        width=entry["width"],
        height=entry["height"],
        split=entry["split"] if labelled else "train",
        group=entry["group"],
        labelled=labelled,
        um_per_px=entry.get("um_per_px"),
    )
