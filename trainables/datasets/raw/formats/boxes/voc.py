"""Pascal VOC: one XML file a picture, with an `object` for each box.

The picture is the one of the file's own name, where `JPEGImages` or `images` takes the place of
`Annotations` in the path, beside the file, or the only one anywhere; else the one of `filename`:
whoever renames a set leaves the old names inside. `bndbox` holds the corners in pixels, which are
taken as the edges of the box; a `robndbox` is oriented, and left out. A file without an object is a
negative. The lists `ImageSets/Main/train.txt`, `val.txt` and `test.txt` are the parts.
"""

import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath
from typing import Final

from trainables.datasets.raw.boxes import add_box
from trainables.datasets.raw.entries import Kind, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_of, split_word
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.records import Split
from trainables.files.text import read_text
from trainables.files.words import counted

NAME = "voc"

TITLE = "Pascal VOC XML, boxes"

SUFFIXES: Final = (".xml",)

_FILES: Final = "annotations"  # folder of the files

_PICTURES: Final = ("JPEGImages", "images", "Images")

_LISTS: Final = ("ImageSets", "Main")

_EDGES: Final = ("xmin", "ymin", "xmax", "ymax")


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """XML files that are Pascal VOC's."""
    files = folder.with_suffix(*SUFFIXES)
    return [file for file in files if folder.parsed(file, _parse) is not None]


def count_images(folder: RawFolder) -> int:
    """Pictures that VOC files speak of, where one of them has a box."""
    files = annotation_files(folder)
    return len(files) if any(_has_box(folder, file) for file in files) else 0


def count_here(folder: RawFolder) -> int:
    """Pictures that VOC files speak of and that are here."""
    return sum(
        _own_picture(folder, file) is not None or folder.has(_filename(folder, file), file)
        for file in annotation_files(folder)
    )


def read(reading: RawReading) -> None:
    """Read every file."""
    folder = reading.folder
    parts = _parts(folder)
    renamed: list[tuple[PurePosixPath, str]] = []
    n_difficult = 0
    for file in annotation_files(folder):
        objects = _root(folder, file).findall("object")
        source = RawSource(file, n_objects=len(objects))
        image = _picture(reading, file, source, renamed)
        if image is None or not reading.claim(image, source):
            continue
        image.split = parts.get(file.stem) or split_of(file) or split_of(image.file)
        if reading.fits(image, _size(folder, file), source):
            n_difficult += sum(entry.findtext("difficult", "0").strip() == "1" for entry in objects)
            for number, entry in enumerate(objects):
                _read_object(reading, image, RawSource(file, f"object[{number}]", image), entry)
    _tell(reading, renamed, n_difficult)


def _parse(path: Path) -> ET.Element | None:
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    has = any(root.find(tag) is not None for tag in ("filename", "object"))
    return root if root.tag == "annotation" and has else None


def _root(folder: RawFolder, file: PurePosixPath) -> ET.Element:
    root = folder.parsed(file, _parse)
    assert root is not None  # only files that were parsed are asked for
    return root


def _has_box(folder: RawFolder, file: PurePosixPath) -> bool:
    root = _root(folder, file)
    return any(root.find(f"object/{tag}") is not None for tag in ("bndbox", "robndbox"))


def _filename(folder: RawFolder, file: PurePosixPath) -> str:
    return (_root(folder, file).findtext("filename") or "").strip()


def _size(folder: RawFolder, file: PurePosixPath) -> tuple[str | None, str | None]:
    """Width and height that the file gives; VOC writes 0 where they are not known."""
    width, height = (
        (_root(folder, file).findtext(f"size/{side}") or "").strip() for side in ("width", "height")
    )
    known = width not in ("", "0") and height not in ("", "0")
    return (width, height) if known else (None, None)


def _own_picture(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture of a file's own name."""
    parts = file.parts[:-1]
    last = max((i for i, part in enumerate(parts) if part.lower() == _FILES), default=None)
    start, rest = (parts[:-1], ()) if last is None else (parts[:last], parts[last + 1 :])
    places = [PurePosixPath(*start, name, *rest) for name in _PICTURES] + [file.parent]
    beside = (folder.beside(file.stem, place) for place in places)
    return next(filter(None, beside), None) or folder.matching(file.stem, file.parent)


def _picture(
    reading: RawReading,
    file: PurePosixPath,
    source: RawSource,
    renamed: list[tuple[PurePosixPath, str]],
) -> RawImage | None:
    """The picture of a file, or None with a problem; `renamed` grows where it says another."""
    name, own = _filename(reading.folder, file), _own_picture(reading.folder, file)
    if own is None:
        return reading.image(name or f"{file.stem}.jpg", source)
    if PurePosixPath(name).stem != own.stem and reading.folder.has(name, file):
        renamed.append((file, name))
    return reading.open(own)


def _read_object(
    reading: RawReading, image: RawImage, source: RawSource, entry: ET.Element
) -> None:
    with reading.at(source):
        box = entry.find("bndbox")
        if entry.find("robndbox") is not None:
            reason = "a robndbox is turned; boxes lie along the picture's sides here"
            reading.problem(Kind.ORIENTED_BOX, source, reason)
            return
        if box is None:
            raise ValueError("it has no bndbox")
        missing = [name for name in _EDGES if not (box.findtext(name) or "").strip()]
        if missing:
            raise ValueError(f"its bndbox has no {' and no '.join(missing)}")
        corners = [float(box.findtext(name) or "") for name in _EDGES]
        add_box(reading, image, entry.findtext("name"), corners, source)


def _parts(folder: RawFolder) -> dict[str, Split]:
    """Parts by the names of the pictures, where lists of at least two parts are there."""
    found: dict[str, Split] = {}
    for file in folder.with_suffix(".txt"):
        split = split_word(file.stem)
        if split is None or file.parts[-3:-1] != _LISTS:
            continue
        try:
            lines = read_text(folder.path(file)).splitlines()
        except (OSError, ValueError, LeavesFolderError):
            continue
        found |= {line.split()[0]: split for line in lines if line.strip()}
    return found if len(set(found.values())) > 1 else {}


def _tell(reading: RawReading, renamed: list[tuple[PurePosixPath, str]], n_difficult: int) -> None:
    if renamed:
        file, name = renamed[0]
        reading.warnings.append(
            f"{counted(len(renamed), 'file names', 'files name')} another picture that is here, "
            f"too, the first is {file}: it says {name}. The pictures of the files' own names are "
            "taken; look at the contact sheets"
        )
    if n_difficult:
        reading.notes.append(
            f"{counted(n_difficult, 'object is', 'objects are')} marked difficult, and taken as "
            "all others"
        )
    reading.notes.append(
        "corners of Pascal VOC are taken as the edges of the boxes, in pixels; where a program "
        "counted pixels from 1, the left and upper edges lie a pixel too far inside"
    )
