"""The prepared data set: the one form of annotated pictures that every engine reads.

Folder::

    dataset.json       manifest, written last: what `PreparedDataset.load` reads
    annotations.json   COCO; every segmentation a compressed RLE, so holes and parts are kept
    images/*.png       8-bit grey or RGB
    pictures.json      size, time of change and hash of each picture when it was hashed last
    report.json, report.md, contact_<split>.png      for people; nothing here reads them

Beyond COCO an image has `split`, `group`, `source`, and where they are known `um_per_px` and
`grey_range` (the raw values that became 0 and 255). An annotation made from coordinates has
`particle`: {"x", "y", "radius"} in pixels; its segmentation is that disc, cut at the picture's
edges. Of boxes (`BOXES_VERSION`) there is a `bbox`, no `segmentation` and no `area`. Unlabelled
micrographs have the split "unlabelled" and are in none of the three parts.

The manifest has a hash of each picture, so that a changed one is refused (`check_pictures`).
Loading reads it alone and imports no image library: broken sets are refused in milliseconds.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from trainables.datasets.layout import AGAIN
from trainables.datasets.layout import ANNOTATIONS as ANNOTATIONS
from trainables.datasets.layout import BOXES_VERSION as BOXES_VERSION
from trainables.datasets.layout import FORMAT_VERSION as FORMAT_VERSION
from trainables.datasets.layout import IMAGES as IMAGES
from trainables.datasets.layout import MANIFEST as MANIFEST
from trainables.datasets.layout import PICTURES as PICTURES
from trainables.datasets.layout import SPLITS as SPLITS
from trainables.datasets.layout import UNLABELLED as UNLABELLED
from trainables.datasets.layout import ChangedDataError as ChangedDataError
from trainables.datasets.layout import DatasetError as DatasetError
from trainables.datasets.records import (
    PICTURE_STATES,
    Annotation,
    ImageRecord,
    Index,
    PictureState,
    Split,
    index_of,
    remember_pictures,
)


@dataclass(frozen=True)
class PreparedDataset:
    """A data set as `segtune prepare` left it.

    Instances are cheap to pickle: what was read of the annotations stays behind.

    Attributes:
        root: Absolute folder.
        name: Name given to `prepare`, by default that of the raw folder.
        classes: Class names; `Annotation.category` counts in them.
        fingerprint: Hash over classes, pixels, annotations and splits: equal for equal content.
        evaluation_only: "" or the reason why no model can be trained on this set.
        manifest: All of `dataset.json`.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    fingerprint: str
    evaluation_only: str
    manifest: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def load(cls, root: Path) -> Self:
        """Read the manifest below `root`, and nothing else.

        Raises:
            DatasetError: `root` is missing, no prepared data set, broken, or of another version.
        """
        root = Path(root).absolute()
        return cls.from_manifest(root, load_manifest(root))

    @classmethod
    def from_manifest(cls, root: Path, manifest: Mapping[str, Any]) -> Self:
        """The data set below `root` that `manifest` describes; nothing is read or checked."""
        return cls(
            root=Path(root).absolute(),
            name=manifest["name"],
            classes=tuple(manifest["classes"]),
            fingerprint=manifest["fingerprint"],
            evaluation_only=manifest["evaluation_only"],
            manifest=manifest,
        )

    def counts(self) -> dict[Split, int]:
        """Images in each split, from the manifest."""
        return {split: int(self.manifest["counts"][split]["images"]) for split in SPLITS}

    def objects(self) -> dict[Split, dict[str, int]]:
        """Objects in each split by class name, from the manifest."""
        return {split: dict(self.manifest["counts"][split]["objects"]) for split in SPLITS}

    def n_objects(self, split: Split) -> int:
        """Number of objects in a split, from the manifest."""
        return sum(self.objects()[split].values())

    @property
    def picture_px(self) -> int | None:
        """Longer side of the median picture to train on, px; None where there is none."""
        sides = sorted(max(image.width, image.height) for image in self.images("train"))
        return sides[len(sides) // 2] if sides else None

    @property
    def grey(self) -> bool:
        """Whether no picture has a colour, from the manifest."""
        return bool(self.manifest.get("grey", False))

    @property
    def boxes_only(self) -> bool:
        """Whether only boxes of its objects are known, from the manifest."""
        return bool(self.manifest.get("format_version") == BOXES_VERSION)

    @property
    def n_unlabelled(self) -> int:
        """Micrographs of which nothing is known, from the manifest."""
        return int(self.manifest.get(UNLABELLED, 0))

    def unlabelled(self) -> tuple[ImageRecord, ...]:
        """Micrographs of which nothing is known, in order of their ids; they are no negatives.

        Raises:
            DatasetError: `annotations.json` is not the one that was prepared.
        """
        return self._index.images[UNLABELLED]

    def images(self, split: Split) -> tuple[ImageRecord, ...]:
        """Pictures of one part, in order of their ids.

        Raises:
            DatasetError: `annotations.json` is not the one that was prepared.
        """
        return self._index.images[split]

    def annotations(self, image: ImageRecord) -> tuple[Annotation, ...]:
        """Objects in a picture of this data set; none for a negative.

        Two of one class with the same pixels are one object: earlier versions prepared both.

        Raises:
            DatasetError: `annotations.json` is not the one that was prepared.
        """
        return self._index.annotations.get(image.id, ())

    def n_twice(self, image: ImageRecord) -> int:
        """Number of objects in a picture that are left out, as they stand in the data set twice.

        Raises:
            DatasetError: `annotations.json` is not the one that was prepared.
        """
        return self._index.n_twice.get(image.id, 0)

    def read(self, image: ImageRecord) -> npt.NDArray[np.uint8]:
        """Pixels of a picture: (height, width, 3) uint8 RGB; grey is repeated thrice.

        Raises:
            DatasetError: The file is missing, broken, or of another size than was prepared.
        """
        import cv2  # not at the top: a study file is checked without it

        try:
            content = np.fromfile(image.path, dtype=np.uint8)
        except OSError as error:
            raise DatasetError(
                f"{image.path}: cannot be read: {error.strerror}. {AGAIN}"
            ) from error
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        if pixels is None:
            raise ChangedDataError(
                f"{image.path}: expected a PNG picture, got something else. {AGAIN}"
            )
        if pixels.shape[:2] != (image.height, image.width):
            raise ChangedDataError(
                f"{image.path}: expected {image.width} x {image.height} pixels, got "
                f"{pixels.shape[1]} x {pixels.shape[0]}; it was changed since. {AGAIN}"
            )
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.items()
        return {key: value for key, value in kept if key not in ("_index", "_states")}

    @cached_property
    def _states(self) -> dict[str, PictureState]:
        """States of the pictures by their names, as they were hashed last."""
        try:
            states = json.loads((self.root / PICTURE_STATES).read_bytes())
            return {name: PictureState(*state) for name, state in states.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # made again from the pictures
            return {}

    @cached_property
    def _index(self) -> Index:
        path = self.root / ANNOTATIONS
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest["annotations_sha256"]:
            raise ChangedDataError(f"{path}: it was changed after it was prepared. {AGAIN}")
        return index_of(self.root, json.loads(content))


def check_trainable(data: PreparedDataset, *, pictures: bool = True) -> None:
    """Check that a model can be trained and validated on `data`; no picture is opened.

    Args:
        data: The data set.
        pictures: Whether its pictures are checked; not where they are still to come.

    Raises:
        DatasetError: The set is for evaluation only, `train` or `val` has no object, or it is no
            longer as it was prepared.
    """
    if data.evaluation_only:
        raise DatasetError(f"{data.root}: prepared for evaluation only: {data.evaluation_only}")
    empty = [split for split in ("train", "val") if not data.n_objects(split)]
    if empty:
        counts = ", ".join(
            f"{split} {n} images with {data.n_objects(split)} objects"
            for split, n in data.counts().items()
        )
        raise DatasetError(
            f"{data.root}: expected objects in train and val, got none in {' and '.join(empty)} "
            f"({counts}). Prepare it again with other fractions (--splits), another --seed, or a "
            "splits.csv of your own in the raw folder."
        )
    if pictures:
        _check_unchanged(data)


def _check_unchanged(data: PreparedDataset) -> None:
    """Refuse changed annotations, and changed or deleted pictures, before anything is trained.

    Without hashes pictures are counted; where some lack, the annotations are read for their names.

    Raises:
        DatasetError: Something was changed since the set was prepared.
    """
    path = data.root / ANNOTATIONS
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        there = {picture.name for picture in (data.root / IMAGES).iterdir()}
    except OSError as error:
        raise DatasetError(f"{data.root}: cannot be read: {error.strerror}. {AGAIN}") from error
    if digest != data.manifest["annotations_sha256"]:
        raise ChangedDataError(f"{path}: it was changed after it was prepared. {AGAIN}")
    if PICTURES in data.manifest:
        check_pictures(data)
        return
    expected = sum(data.counts().values()) + data.n_unlabelled
    if len(there) >= expected:
        return
    pictures = [*data.unlabelled(), *(image for split in SPLITS for image in data.images(split))]
    missing = [image.path.name for image in pictures if image.path.name not in there]
    if missing:
        raise ChangedDataError(
            f"{data.root / IMAGES}: expected {expected} pictures, "
            f"{len(missing)} missing, the first is {missing[0]}. {AGAIN}"
        )


def check_pictures(data: PreparedDataset, images: Iterable[ImageRecord] | None = None) -> None:
    """Refuse pictures that are not those that were prepared, with the name of the first.

    A picture is hashed only where its size or its time of change are not those that it had when it
    was hashed last. The sets of earlier versions have no hashes: nothing is refused.

    Args:
        data: The data set.
        images: Pictures to check; by default all.

    Raises:
        ChangedDataError: Some were changed or deleted since.
        DatasetError: One cannot be read.
    """
    prepared = data.manifest.get(PICTURES, {})
    names = list(prepared) if images is None else [image.path.name for image in images]
    wrong = _unlike(data, names) if prepared else {}
    if wrong:
        first, what = next(iter(wrong.items()))
        raise ChangedDataError(
            f"{data.root / IMAGES}: expected {len(names)} pictures as they were prepared, got "
            f"{len(wrong)} missing or changed, the first is {first} ({what}). Put them back, or "
            "prepare the data set again into a new folder: segtune prepare RAW --out FOLDER"
        )


def lacking_pictures(data: PreparedDataset) -> list[str]:
    """Names of the pictures that are not in the folder as they were prepared.

    Of the sets of earlier versions, which have no hashes, only missing ones are known.

    Raises:
        DatasetError: A picture or `annotations.json` cannot be read.
    """
    if data.manifest.get(PICTURES):
        return list(_unlike(data, picture_names(data)))
    folder = data.root / IMAGES
    return [name for name in picture_names(data) if not (folder / name).is_file()]


def picture_names(data: PreparedDataset) -> list[str]:
    """Names of the files of all pictures.

    Raises:
        DatasetError: `annotations.json` of an earlier version's set cannot be read.
    """
    if prepared := data.manifest.get(PICTURES):
        return list(prepared)
    images = [*data.unlabelled(), *(image for split in SPLITS for image in data.images(split))]
    return [image.path.name for image in images]


def _unlike(data: PreparedDataset, names: Iterable[str]) -> dict[str, str]:
    """What is wrong with pictures that are not as they were prepared: "changed" or "missing".

    Those that were hashed for it are remembered.
    """
    prepared = data.manifest[PICTURES]
    now = {name: _state(data, name) for name in names}
    known = data._states
    right = {n: state for n, state in now.items() if state and state.sha256 == prepared.get(n)}
    hashed = {name: state for name, state in right.items() if state != known.get(name)}
    if hashed:
        known.update(hashed)
        remember_pictures(data.root, known)
    return {name: "changed" if now[name] else "missing" for name in now if name not in right}


def _state(data: PreparedDataset, name: str) -> PictureState | None:
    """State of a picture's file, as remembered where size and time are equal; None if missing."""
    path, known = data.root / IMAGES / name, data._states.get(name)
    try:
        there = path.stat()
        if known and known[:2] == (there.st_size, there.st_mtime_ns):
            return known
        return PictureState.of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}. {AGAIN}") from error


# --- the manifest
_KEYS: Final[dict[str, type]] = {
    "name": str,
    "classes": list,
    "fingerprint": str,
    "evaluation_only": str,
    "annotations_sha256": str,
    "counts": dict,
    PICTURES: dict,
}


def load_manifest(root: Path) -> dict[str, Any]:
    """The manifest of the data set below `root`.

    Raises:
        DatasetError: `root` is missing, no prepared data set, broken, or of another version.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise DatasetError(_why_no_manifest(root))
    manifest = read_manifest(path)
    missing = [name for name in (ANNOTATIONS, IMAGES) if not (root / name).exists()]
    if missing:
        raise DatasetError(f"{root}: {' and '.join(missing)} missing beside {MANIFEST}. {AGAIN}")
    return manifest


def read_manifest(path: Path, named: str = "") -> dict[str, Any]:
    """The content of a file `dataset.json`; what lies beside it is not looked at.

    Args:
        path: The file.
        named: What messages call it; default: by its path.

    Raises:
        DatasetError: It cannot be read, or another version's.
    """
    named = named or str(path)
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{named}: cannot be read: {error}. {AGAIN}") from error
    _check_manifest(named, manifest)
    return dict(manifest)


def _why_no_manifest(root: Path) -> str:
    if not root.exists():
        near = f"; {root.parent} does not exist either" if not root.parent.exists() else ""
        return f"{root}: expected a prepared data set, the folder does not exist{near}. {_FIRST}"
    if not root.is_dir():
        return f"{root}: expected the folder of a prepared data set, got a file. {_FIRST}"
    inside = sorted(p.name for p in root.iterdir() if (p / MANIFEST).is_file())
    if inside:
        return f"{root}: no {MANIFEST} here; did you mean {root / inside[0]}?"
    return f"{root}: not a prepared data set (no {MANIFEST}). {_FIRST}"


_FIRST: Final = "Make one from raw annotations: segtune prepare RAW --out FOLDER"


def _check_manifest(path: str, manifest: Any) -> None:
    """Refuse a manifest whose version or keys are not ours."""
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version not in (FORMAT_VERSION, BOXES_VERSION):
        raise DatasetError(
            f"{path}: expected format_version {FORMAT_VERSION} or {BOXES_VERSION}, got {version!r};"
            f" it was written by another version of segtune, or by hand. {AGAIN}"
        )
    wrong = [
        f"{key} ({kind.__name__})"
        for key, kind in _KEYS.items()
        if not isinstance({PICTURES: {}, **manifest}.get(key), kind)
    ]
    if wrong or not _has_counts(manifest["counts"]):
        raise DatasetError(f"{path}: missing or wrong: {', '.join(wrong) or 'counts'}. {AGAIN}")
    for name in manifest.get(PICTURES, {}):
        if name != PurePosixPath(name).name or name in ("", "..") or "\0" in name:
            raise DatasetError(
                f"{path}: {PICTURES}: expected names of files, got {name!r}. {AGAIN}"
            )


def _has_counts(counts: Mapping[str, Any]) -> bool:
    parts = [counts.get(split) for split in SPLITS]
    return all(
        isinstance(part, dict)
        and isinstance(part.get("images"), int)
        and isinstance(part.get("objects"), dict)
        for part in parts
    )
