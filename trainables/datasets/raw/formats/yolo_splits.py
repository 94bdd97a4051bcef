"""Train, val and test of a YOLO set: which pictures its YAML file, or its lists, put in which part.

An entry is a folder, a pattern of folders, a list of pictures, or several of them. It is looked for
below the YAML file and below the raw folder, and there below `path`; of paths of another machine,
the end that is here is taken. Nothing outside the raw folder is opened. An entry that finds nothing
is a problem, by name.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from search_spaces.names import nearest
from trainables.datasets.raw.entries import Kind, RawSource
from trainables.datasets.raw.folder import (
    LeavesFolderError,
    NotFoundError,
    RawFolder,
    split_word,
)
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.records import Split
from trainables.files.text import read_text
from trainables.files.words import counted

_IMAGE_FOLDERS: Final = frozenset({"images", "image", "imgs", "img", "jpegimages"})

_PARTS_ENDED: Final = 3  # of a path of another machine: so many of its last folders may be here


def has_splits(document: Any) -> bool:
    """Whether a YAML file names pictures of a part."""
    return isinstance(document, dict) and any(_entries(document))


def splits_of_document(
    reading: RawReading, file: PurePosixPath, document: Mapping[str, Any]
) -> dict[PurePosixPath, Split]:
    """Pictures with the part that a YAML file puts them in."""
    bases = list(dict.fromkeys(_bases(file, str(document.get("path") or ""))))
    found: list[tuple[PurePosixPath, Split]] = []
    for key, split, entry in _entries(document):
        source = RawSource(file, key)
        with reading.at(source):
            pictures = _entry_pictures(reading, bases, entry)
            found += [(picture, split) for picture in pictures]
            if not pictures:
                _tell_nothing(reading, source, entry)
    return _without_overlap(reading, str(file), found)


def splits_of_lists(
    reading: RawReading, files: Mapping[PurePosixPath, Split]
) -> dict[PurePosixPath, Split]:
    """Pictures with the part whose list names them."""
    found = [
        (picture, split)
        for file, split in files.items()
        for picture in _listed_pictures(reading, file)
    ]
    return _without_overlap(reading, ", ".join(map(str, files)), found)


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Split, str]]:
    """Keys and parts with each of their folders or lists."""
    for key, value in document.items():
        split = split_word(str(key))
        for entry in value if isinstance(value, list) else [value]:
            if split is not None and isinstance(entry, str) and entry.strip():
                yield str(key), split, entry.strip()


def _bases(file: PurePosixPath, path: str) -> Iterator[PurePosixPath]:
    """Folders below which an entry may lie, the likeliest first."""
    for beside in (file.parent, PurePosixPath()):
        for end in _ends(path):
            yield beside / end
    yield file.parent
    yield PurePosixPath()


def _ends(path: str) -> Iterator[PurePosixPath]:
    """A path without what leads out of a folder; of an absolute one, what it ends in."""
    posix = PureWindowsPath(path).as_posix()
    absolute = bool(PureWindowsPath(posix).drive) or posix.startswith(("/", "~"))
    parts = [part for part in PurePosixPath(posix).parts if part not in ("/", ".", "..", "~")]
    if not absolute:
        yield PurePosixPath(*parts)
        return
    for length in range(min(len(parts), _PARTS_ENDED), 0, -1):
        end = parts[-length:]
        if length > 1 or end[0].lower() not in _IMAGE_FOLDERS:
            yield PurePosixPath(*end)


def _entry_pictures(
    reading: RawReading, bases: list[PurePosixPath], entry: str
) -> list[PurePosixPath]:
    """Pictures of one entry, from the first place where there are any."""
    folder = reading.folder
    for end in _ends(entry):
        for target in (base / end for base in bases):
            if target in folder.files and target not in folder.images:
                return _listed_pictures(reading, target)
            if inside := _pictures_in(folder, target):
                return inside
    return []


def _pictures_in(folder: RawFolder, target: PurePosixPath) -> list[PurePosixPath]:
    """The picture of this path, or those in the folder, or in the folders of the pattern."""
    pattern = str(target) if any(sign in str(target) for sign in "*?") else ""
    return [
        picture
        for picture in folder.images
        if target in (picture, *picture.parents)
        or (pattern and any(fnmatchcase(str(p), pattern) for p in (picture, *picture.parents)))
    ]


def _listed_pictures(reading: RawReading, listing: PurePosixPath) -> list[PurePosixPath]:
    pictures: list[PurePosixPath] = []
    with reading.at(RawSource(listing)):
        lines = read_text(reading.folder.path(listing)).splitlines()
        for number, line in enumerate(lines, start=1):
            source = RawSource(listing, f"line {number}")
            try:
                if line.strip():
                    pictures.append(reading.folder.find(line.strip(), listing))
            except LeavesFolderError as error:
                reading.problem(Kind.LEAVES_FOLDER, source, str(error))
            except NotFoundError as error:
                reading.problem(Kind.MISSING_IMAGE, source, str(error))
    return pictures


def _tell_nothing(reading: RawReading, source: RawSource, entry: str) -> None:
    """Name an entry that finds no picture, with the nearest folder that has some."""
    if PureWindowsPath(entry).as_posix().startswith(("/", "..")):
        reading.problem(Kind.LEAVES_FOLDER, source, f"{entry} lies outside the data folder")
        return
    folders = sorted({str(picture.parent) for picture in reading.folder.images})
    near = nearest(entry.removeprefix("./").rstrip("/"), folders)
    hint = f"; the nearest folder of pictures is {near}" if near else ""
    reason = f"no picture of the {source.place} part is found: {entry} is not there{hint}"
    reading.problem(Kind.MISSING_IMAGE, source, reason)


def _without_overlap(
    reading: RawReading, name: str, found: list[tuple[PurePosixPath, Split]]
) -> dict[PurePosixPath, Split]:
    """Part of each picture; one that is in several goes to the last of train, val, test."""
    order: tuple[Split, ...] = ("train", "val", "test")
    splits = dict(sorted(found, key=lambda pair: order.index(pair[1])))
    parts = Counter(picture for picture, _ in set(found))
    several = sorted(picture for picture, n in parts.items() if n > 1)
    if several:
        reading.warnings.append(
            f"{name}: {counted(len(several), 'picture is', 'pictures are')} named in several "
            f"parts, the first is {several[0]}; each is taken for one only: for test before val "
            "before train"
        )
    return splits
