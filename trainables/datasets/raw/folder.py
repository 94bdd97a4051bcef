"""The raw data folder: what lies in it, and how a path inside an annotation file finds a picture.

Nothing outside the folder is ever opened but pictures that the caller names. Of a path that leads
out (of another machine, or with too many `..`) the end that is here counts; where no picture here
has its name, it is refused, and so is a symbolic link that leads out.
"""

import contextlib
import csv
import json
import os
import posixpath
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

import yaml

from search_spaces.names import nearest
from trainables.datasets import embedded
from trainables.datasets.coordinates import Coordinates, coordinates_of_json, read_coordinates
from trainables.datasets.images import SUFFIXES
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.spelling import (
    NameIndex,
    composed_path,
    endings,
    is_absolute,
    spellings,
    why_not_there,
)
from trainables.datasets.records import Split

_IGNORED_FOLDERS: Final = frozenset({"__MACOSX", "__pycache__"})

_SPLIT_WORDS: Final[dict[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

_SPLITS_ENDINGS: Final = ("splits.json", "split.json", "splits.csv", "split.csv")

_BESIDE_SPLIT_WORDS: Final = frozenset({"images", "imgs", "labels", "masks", "set", "data"})

_YAML: Final = frozenset({".yaml", ".yml"})

_IMAGES: Final = PurePosixPath("images")

_T = TypeVar("_T")


class LeavesFolderError(Exception):
    """A path that points outside the raw data folder."""


class NotFoundError(Exception):
    """A path that points at nothing."""


_HALF_LETTER: Final = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""A surrogate in JSON: half of a letter, where the other half does not follow."""

_UNPARSABLE: Final = (
    *(OSError, ValueError, OverflowError, RecursionError, LeavesFolderError),
    *(yaml.YAMLError, csv.Error),
    *(AttributeError, IndexError, KeyError, TypeError),  # yaml's own, on odd tags
)


class RawFolder:
    """Files below a raw data folder, listed once, in an order that no file system changes.

    Args:
        root: The folder.
        pictures: Pictures outside of it that count as if they were in it.

    Attributes:
        root: The folder, absolute, its own symbolic links resolved.
        files: Regular files, as paths below `root`, sorted.
        broken: Annotation files that could not be parsed, with the reason.
        by_name_alone: Paths that lead out of the folder, with the pictures of their names.
    """

    def __init__(self, root: Path, pictures: Sequence[Path] = ()) -> None:
        if not root.is_dir():
            what = "got a file" if root.exists() else f"it does not exist{_near_folder(root)}"
            raise DatasetError(f"{root}: expected the folder of a raw data set, {what}")
        self.root = root.resolve()
        self.broken: dict[PurePosixPath, str] = {}
        found = _walk(self.root, self._tell_closed)
        paths = (os.path.relpath(path.absolute(), self.root) for path in pictures)
        self._elsewhere = frozenset(PurePosixPath(path) for path in paths)
        found += self._elsewhere.difference(found)
        self.files = tuple(sorted(file for file in found if self._has_a_name(file)))
        self.by_name_alone: dict[str, PurePosixPath] = {}
        self._documents: dict[PurePosixPath, Any] = {}
        self._coordinates: dict[PurePosixPath, Coordinates | None] = {}
        self._parsed: dict[tuple[PurePosixPath, Callable[[Path], Any]], Any] = {}

    @cached_property
    def images(self) -> tuple[PurePosixPath, ...]:
        """Files that are pictures by their suffix, label pictures included."""
        return tuple(file for file in self.files if file.suffix.lower() in SUFFIXES)

    def _tell_closed(self, error: OSError) -> None:
        """List a folder whose content cannot be seen."""
        folder = PurePosixPath(os.path.relpath(error.filename or self.root, self.root))
        self.broken[folder] = f"the folder cannot be opened: {error.strerror}"

    def _has_a_name(self, file: PurePosixPath) -> bool:
        """Whether a file's name is text; another one is broken, as no report could hold it."""
        shown = os.fsencode(file).decode("utf-8", "backslashreplace")
        if shown != str(file):
            self.broken[PurePosixPath(shown)] = "its name is no text in UTF-8; rename it"
        return shown == str(file)

    @cached_property
    def by_name(self) -> NameIndex:
        """Pictures by file name."""
        return NameIndex([(file.name, file) for file in self.images])

    @cached_property
    def by_stem(self) -> NameIndex:
        """Pictures by file name without suffix."""
        return NameIndex([(file.stem, file) for file in self.images])

    @cached_property
    def splits_file(self) -> PurePosixPath | None:
        """The user's own file of parts at the top of the folder, or None."""
        top = (file for file in self.files if len(file.parts) == 1)
        return next((file for file in top if file.name.lower().endswith(_SPLITS_ENDINGS)), None)

    def with_suffix(self, *suffixes: str) -> list[PurePosixPath]:
        """Files of these suffixes, lower case, with the dot."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def document(self, file: PurePosixPath) -> Any:
        """A JSON or YAML file, parsed once; None if it is broken or leads out (see `broken`)."""
        if file not in self._documents:
            self._documents[file] = self._parse(file)
        return self._documents[file]

    @cached_property
    def json_keys(self) -> frozenset[str]:
        """Keys at the top of all JSON files; of one that is a list, those of its entries."""
        documents = map(self.document, self.with_suffix(".json", ".geojson"))
        entries = chain.from_iterable(one if isinstance(one, list) else [one] for one in documents)
        return frozenset(key for entry in entries if isinstance(entry, dict) for key in entry)

    @cached_property
    def has_json_lists(self) -> bool:
        """Whether a JSON file is a list at its top."""
        return any(isinstance(self.document(file), list) for file in self.with_suffix(".json"))

    def coordinates(self, file: PurePosixPath) -> Coordinates | None:
        """Particles of a file, read once; None if it holds none or is broken (see `broken`)."""
        if file not in self._coordinates:
            self._coordinates[file] = self._read_coordinates(file)
        return self._coordinates[file]

    def parsed(self, file: PurePosixPath, parse: Callable[[Path], _T | None]) -> _T | None:
        """Whatever `parse` makes of a file, once; None if it is broken or leads out (see `broken`).

        Args:
            file: Path below the folder.
            parse: Gives None for a file of other things; raises ValueError or OSError for a broken
                one.
        """
        if (file, parse) not in self._parsed:
            self._parsed[file, parse] = self._tried(file, parse)
        found: _T | None = self._parsed[file, parse]
        return found

    def path(self, file: PurePosixPath) -> Path:
        """Absolute path of a file, for opening it.

        Raises:
            LeavesFolderError: It is a symbolic link to outside the folder.
        """
        path = self.root / file
        if file in self._elsewhere:
            return path
        if path.is_symlink() and not path.resolve().is_relative_to(self.root):
            raise LeavesFolderError(f"{file} is a symbolic link to outside the data folder")
        return path

    def find(self, reference: str, beside: PurePosixPath) -> PurePosixPath:
        """The picture that a path inside an annotation file means.

        Tried in this order: relative to the annotation file, relative to the folder, below an
        `images` folder of either, and last the only picture anywhere in the folder whose path ends
        as this one does, by its last folders or by its name alone (see `by_name_alone`).

        Args:
            reference: Path as the file writes it, in any spelling.
            beside: The annotation file.

        Raises:
            LeavesFolderError: It points outside the folder, and no picture here has its name.
            NotFoundError: It points at nothing.
        """
        if (file := beside.parent / reference) in self._known:
            return file
        wanted = spellings(reference)
        for path in wanted:
            if found := self._at_its_place(path, beside):
                return found
        for path in wanted:
            if found := self._of_its_name(path, beside):
                if is_absolute(path) or self._leads_out(path, beside):
                    self.by_name_alone[reference] = found
                return found
        self._refuse_outside(wanted[0], beside)
        raise NotFoundError(why_not_there(PurePosixPath(wanted[0]), self.by_name, self.files))

    def find_page(self, reference: str, beside: PurePosixPath) -> tuple[PurePosixPath, int | None]:
        """The picture that a path means, and the page of it that its name means, if any.

        A picture `stack_p2.tif` that is not there is the third page of `stack.tif`.

        Raises:
            LeavesFolderError: As `find`.
            NotFoundError: As `find`.
        """
        try:
            return self.find(reference, beside), None
        except (NotFoundError, LeavesFolderError) as missing:
            page = re.fullmatch(r"(.*)_p(\d+)(\.\w+)?", reference)
            if page is None:
                raise
            for suffix in dict.fromkeys((page[3] or ".tif", ".tif", ".tiff")):
                with contextlib.suppress(NotFoundError, LeavesFolderError):
                    return self.find(page[1] + suffix, beside), int(page[2])
            raise missing from None

    def has(self, reference: str, beside: PurePosixPath) -> bool:
        """Whether a path inside an annotation file means a picture that is here."""
        try:
            self.find_page(reference, beside)
        except (LeavesFolderError, NotFoundError):
            return False
        return True

    def matching(self, stem: str, near: PurePosixPath) -> PurePosixPath | None:
        """The picture of this stem in the folder `near`, or the only one anywhere, or None."""
        named = self.by_stem.get(stem, [])
        return self.beside(stem, near) or (named[0] if len(named) == 1 else None)

    def beside(self, stem: str, near: PurePosixPath) -> PurePosixPath | None:
        """The picture of this stem in the folder `near`, or None."""
        return next((f for f in self.by_stem.get(stem, []) if f.parent == near), None)

    def lies_beside(self, reference: str, file: PurePosixPath) -> bool:
        """Whether a path means the picture beside a file that bears the file's name."""
        picture = file.parent / reference
        return picture.stem == file.stem and picture in self._known

    @cached_property
    def _known(self) -> frozenset[PurePosixPath]:
        return frozenset(self.images)

    @cached_property
    def _composed(self) -> dict[PurePosixPath, PurePosixPath]:
        """Pictures by their paths with composed letters."""
        return {composed_path(file): file for file in reversed(self.images)}

    def _at_its_place(self, path: str, beside: PurePosixPath) -> PurePosixPath | None:
        """The picture that lies where a path says."""
        if is_absolute(path):
            absolute = Path(posixpath.normpath(path))
            if not absolute.is_relative_to(self.root):
                return None
            path = absolute.relative_to(self.root).as_posix()
        elif self._leads_out(path, beside):
            return None
        for base in (beside.parent, PurePosixPath(), beside.parent / "images", _IMAGES):
            file = PurePosixPath(posixpath.normpath((base / path).as_posix()))
            if file in self._known:
                return file
            if found := self._composed.get(composed_path(file)):
                return found
        return None

    def _of_its_name(self, path: str, beside: PurePosixPath) -> PurePosixPath | None:
        """The only picture whose path ends as this one; of several, that of a file beside it."""
        named = self.by_name.get(PurePosixPath(path).name, [])
        for end in endings(path):
            alike = [f for f in named if composed_path(f).parts[-len(end) :] == end]
            if len(alike) == 1:
                return alike[0]
            own = [f for f in alike if (f.parent, f.stem) == (beside.parent, beside.stem)]
            if own:  # each picture has an annotation file of its own
                return own[0]
        return None

    def _leads_out(self, path: str, beside: PurePosixPath) -> bool:
        """Whether a relative path has more `..` than there are folders."""
        joined = posixpath.normpath((beside.parent / path).as_posix())
        return joined == ".." or joined.startswith("../")

    def _refuse_outside(self, path: str, beside: PurePosixPath) -> None:
        """Say so when a path leads outside, by itself or by a folder that is a link."""
        if is_absolute(path) and not Path(posixpath.normpath(path)).is_relative_to(self.root):
            raise LeavesFolderError(
                f"the absolute path {path} lies outside the data folder, and no picture here has "
                "its name"
            )
        if not is_absolute(path) and self._leads_out(path, beside):
            raise LeavesFolderError(
                f"{path}, seen from {beside}, lies outside the data folder, and no picture here "
                "has its name; give the folder that holds both as RAW"
            )
        for base in (beside.parent, PurePosixPath()):
            target = os.path.realpath(self.root / base / path.replace("\0", ""))
            leads_out = not Path(target).is_relative_to(self.root)
            if leads_out and os.access(target, os.F_OK):
                raise LeavesFolderError(f"{path} leads outside the data folder by a symbolic link")

    def _parse(self, file: PurePosixPath) -> Any:
        try:
            data = self.path(file).read_bytes()  # both parsers find out the encoding
            if not data.strip():
                raise ValueError("the file is empty")
            if file.suffix.lower() in _YAML:
                return yaml.safe_load(data)
            document = json.loads(data, object_pairs_hook=_without_twins)
            return _without_picture(_writable(document) if _HALF_LETTER.search(data) else document)
        except _UNPARSABLE as error:
            self._tell_broken(file, error)
            return None

    def _tried(self, file: PurePosixPath, parse: Callable[[Path], _T | None]) -> _T | None:
        try:
            return parse(self.path(file))
        except _UNPARSABLE as error:
            self._tell_broken(file, error)
            return None

    def _read_coordinates(self, file: PurePosixPath) -> Coordinates | None:
        document = self.document(file) if file.suffix.lower() == ".json" else None
        try:
            if file.suffix.lower() == ".json":
                return coordinates_of_json(document)
            return read_coordinates(self.path(file))
        except _UNPARSABLE as error:
            if file.suffix.lower() != ".txt":  # which may be anything
                self._tell_broken(file, error)
            return None

    def _tell_broken(self, file: PurePosixPath, error: Exception) -> None:
        self.broken[file] = " ".join(str(error).split()) or type(error).__name__


def split_of(file: PurePosixPath) -> Split | None:
    """The part that a folder of this path is named after: `train`, `val2017`, `test_images`."""
    for part in reversed(file.parts[:-1]):
        is_of_part = not _words(part) - _SPLIT_WORDS.keys() - _BESIDE_SPLIT_WORDS
        if is_of_part and (split := split_in_name(part)):
            return split
    return None


def split_in_name(stem: str) -> Split | None:
    """The part that a word of a file name means: `instances_val2017` is `val`."""
    found = {_SPLIT_WORDS[word] for word in _words(stem) if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def _words(name: str) -> set[str]:
    return set("".join(c if c.isalpha() else " " for c in name.lower()).split())


def split_word(word: str) -> Split | None:
    """A part by any of its usual names."""
    return _SPLIT_WORDS.get(word.strip().lower())


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        ValueError: It has a key twice, of which Python would take the last without a word.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object; which one counts?")
    return found


def _writable(document: Any) -> Any:
    """A parsed JSON file with a mark in place of halves of letters, which no text file can hold."""
    if isinstance(document, dict):
        return {_writable(key): _writable(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_writable(value) for value in document]
    return document.encode("utf-8", "replace").decode() if isinstance(document, str) else document


def _without_picture(document: Any) -> Any:
    """A parsed JSON file that keeps only whether there is a picture in it: it takes megabytes."""
    if isinstance(document, dict) and isinstance(document.get(embedded.KEY), str):
        document[embedded.KEY] = bool(document[embedded.KEY])
    return document


def _near_folder(root: Path) -> str:
    beside = root.absolute().parent
    if not beside.is_dir():
        return f"; there is no folder {beside}"
    names = [path.name for path in beside.iterdir() if path.is_dir()]
    near = nearest(root.name, names)
    return f"; did you mean {root.with_name(near)}?" if near else ""


def _walk(root: Path, tell_closed: Callable[[OSError], None]) -> list[PurePosixPath]:
    found = []
    for folder, folders, files in os.walk(root, onerror=tell_closed):
        folders[:] = sorted(
            name for name in folders if name not in _IGNORED_FOLDERS and not name.startswith(".")
        )
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [
            here / name
            for name in files
            if not name.startswith(".") and not _waits(Path(folder) / name)
        ]
    return found


def _waits(path: Path) -> bool:
    """Whether reading a file may never end: a pipe, a socket or a device."""
    with contextlib.suppress(OSError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False
