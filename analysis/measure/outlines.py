"""Outlines that people drew or corrected, read in any format that `prepare` reads.

The pictures lie in the folder of the outlines, or where somebody says; LabelMe files name theirs
by a path, which may lead out of the folder, as that of the files does that a measurement writes.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.errors import MeasureError
from analysis.measure.job.folder import LABELME, SETTINGS
from analysis.measure.job.outlines import PictureOutlines
from analysis.pictures.buckets import shown
from analysis.pictures.micrographs import Micrograph
from trainables.datasets.images import SUFFIXES, UnreadableImageError
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import LEFT_OUT, RawImage
from trainables.datasets.raw.folder import RawFolder
from trainables.datasets.raw.read import RawData, describe_problems, list_problems, read_raw
from trainables.files.words import counted

_PAGE: Final = re.compile(r"_p\d+$")


@dataclass(frozen=True)
class Outlines:
    """The outlines of a folder.

    Attributes:
        folder: The folder.
        form: Name of the format.
        classes: Names of the classes.
        pictures: The pictures, sorted by name.
        of_each: The outlines of each.
        problems: What was left out or clipped, and other remarks, in lines for the user.
        complete: Whether no outline and no picture was left out.
    """

    folder: Path
    form: str
    classes: tuple[str, ...]
    pictures: Sequence[Micrograph]
    of_each: Sequence[PictureOutlines]
    problems: Sequence[str] = ()
    complete: bool = True

    def fingerprint(self, number: int) -> str:
        """SHA-256 of the outlines of a picture: it is another one once something is corrected."""
        one = self.of_each[number]
        said = [
            [self.classes[k], *map(int, mask["size"]), _text(mask["counts"])]
            for k, mask in zip(one.classes, one.masks, strict=True)
        ]
        return hashlib.sha256(json.dumps([one.left_out, said]).encode()).hexdigest()


def read_outlines(
    folder: Path, pictures: Sequence[Micrograph] = (), form: str | None = None
) -> Outlines:
    """Read the outlines of a folder.

    Args:
        folder: The folder.
        pictures: Pictures that lie elsewhere.
        form: Name of the format; None to find it out.

    Raises:
        MeasureError: It holds no outlines, or the folder is that of a measurement.
        DatasetError: As `read_raw` raises it.
    """
    if (folder / SETTINGS).is_file() and (folder / LABELME).is_dir():
        raise MeasureError(
            f"--from: expected a folder of outlines, got {folder}, that of a measurement; its "
            f"outlines are in {folder / LABELME}"
        )
    try:
        here = {picture.path: picture for picture in pictures}
        elsewhere = list(here) or _named_elsewhere(folder)
        raw = read_raw(RawFolder(folder, elsewhere), format_name=form, classes=None)
    except UnreadableImageError as error:
        raise MeasureError(str(error)) from error
    except DatasetError as error:
        raise MeasureError(f"--from: {error}{_hint(str(error), pictures)}") from error
    if raw.format.sized:
        raise MeasureError(
            f"--from: expected outlines or masks, got {raw.format.title} in {folder}: it says "
            "where particles are and not how large"
        )
    boxes = sum(entry.rle is None for image in raw.images for entry in image.objects)
    if boxes:
        raise MeasureError(
            f"--from: expected outlines or masks, got {counted(boxes, 'object')} with a box alone "
            f"in {folder} ({raw.format.title}): a box has no area and no shape"
        )
    remote = {path: picture for path, picture in here.items() if picture.remote is not None}
    order = {path: number for number, path in enumerate(remote)}
    images = sorted(raw.images, key=lambda image: order.get(_plain(image), -1))
    return Outlines(
        folder,
        raw.format.name,
        raw.classes,
        [_micrograph(folder, image, remote.get(_plain(image))) for image in images],
        [_outlines(raw, image) for image in images],
        _problems(raw),
        complete=all(problem.action != LEFT_OUT for problem in raw.problems),
    )


def _hint(said: str, pictures: Sequence[Micrograph]) -> str:
    """What to do about pictures that lie elsewhere."""
    if pictures or "data folder" not in said:
        return ""
    return "\npictures that lie elsewhere are named too: segtune measure IMAGES --from DIR"


def _plain(image: RawImage) -> Path:
    return Path(os.path.normpath(image.path))


def _micrograph(folder: Path, image: RawImage, there: Micrograph | None) -> Micrograph:
    """The picture of outlines; one in a bucket is brought again when it is read."""
    file = Path(os.path.normpath(folder / image.file)) if there is None else there.file
    name = shown(file.with_stem(f"{file.stem}_p{image.page}") if image.page else file)
    if there is None:
        return Micrograph(image.path, image.page, name, image.stem)
    return Micrograph(there.file, image.page, name, image.stem, there.remote)


def _outlines(raw: RawData, image: RawImage) -> PictureOutlines:
    index = {name: number for number, name in enumerate(raw.classes)}
    objects = [entry for entry in image.objects if entry.label in index]
    return PictureOutlines(
        [index[entry.label] for entry in objects],
        [entry.rle for entry in objects if entry.rle is not None],
        image.lost,
    )


def _problems(raw: RawData) -> list[str]:
    lines = [*raw.warnings, *raw.notes]
    if raw.problems:
        lines.append(f"{describe_problems(raw.problems)} in {raw.folder}:")
        lines += list_problems(raw.problems).splitlines()
    return lines


def _named_elsewhere(folder: Path) -> list[Path]:
    """Pictures out of the folder that its LabelMe files name."""
    found: dict[Path, None] = {}
    for file in sorted(folder.rglob("*.json")):
        named = _image_path(file)
        if named is None:
            continue
        place = Path(os.path.normpath(file.parent / named))
        whole = place.with_stem(_PAGE.sub("", place.stem))
        there = next((path for path in (place, whole) if path.is_file()), None)
        if there is not None and there.suffix.lower() in SUFFIXES:
            found[there] = None
    root = folder.resolve()
    return [path for path in found if not path.resolve().is_relative_to(root)]


def _image_path(file: Path) -> str | None:
    """The picture that a LabelMe file names; None of another file."""
    try:
        content: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # it is told of when the outlines are read
    named = content.get("imagePath") if isinstance(content, dict) else None
    return named if isinstance(named, str) and named and "\0" not in named else None


def _text(counts: Any) -> Any:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
