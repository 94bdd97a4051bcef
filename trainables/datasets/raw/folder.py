"""The raw data folder: what lies in it, and how a path inside an annotation file finds a picture.

Nothing outside the folder is ever opened: a path with too many `..`, an absolute one, or a symbolic
link that leads out is refused by name.
"""

import difflib
import json
import os
import posixpath
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, TypeVar

import yaml

from trainables.datasets.coordinates import Coordinates, coordinates_of_json, read_coordinates
from trainables.datasets.images import SUFFIXES
from trainables.datasets.prepared import DatasetError, Split

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

_SPLITS_ENDINGS: Final = ("splits.json", "_split.json", "splits.csv")

_BESIDE_SPLIT_WORDS: Final = frozenset({"images", "imgs", "labels", "masks", "set", "data"})

_YAML: Final = frozenset({".yaml", ".yml"})

_T = TypeVar("_T")


class LeavesFolderError(Exception):
    """A path that points outside the raw data folder."""


class NotFoundError(Exception):
    """A path that points at nothing."""


class RawFolder:
    """Files below a raw data folder, listed once, in an order that no file system changes.

    Attributes:
        root: The folder, absolute, its own symbolic links resolved.
        files: Regular files, as paths below `root`, sorted.
        broken: Annotation files that could not be parsed, with the reason.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            what = "got a file" if root.exists() else f"it does not exist{_near_folder(root)}"
            raise DatasetError(f"{root}: expected the folder of a raw data set, {what}")
        self.root = root.resolve()
        self.files = tuple(sorted(_walk(self.root)))
        self.broken: dict[PurePosixPath, str] = {}
        self._documents: dict[PurePosixPath, Any] = {}
        self._coordinates: dict[PurePosixPath, Coordinates | None] = {}
        self._parsed: dict[tuple[PurePosixPath, Callable[[Path], Any]], Any] = {}

    @cached_property
    def images(self) -> tuple[PurePosixPath, ...]:
        """Files that are pictures by their suffix, label pictures included."""
        return tuple(file for file in self.files if file.suffix.lower() in SUFFIXES)

    @cached_property
    def by_name(self) -> dict[str, list[PurePosixPath]]:
        """Pictures by file name."""
        return _grouped(self.images, lambda file: file.name)

    @cached_property
    def by_stem(self) -> dict[str, list[PurePosixPath]]:
        """Pictures by file name without suffix."""
        return _grouped(self.images, lambda file: file.stem)

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
        if path.is_symlink() and not path.resolve().is_relative_to(self.root):
            raise LeavesFolderError(f"{file} is a symbolic link to outside the data folder")
        return path

    def find(self, reference: str, beside: PurePosixPath) -> PurePosixPath:
        """The picture that a path inside an annotation file means.

        Tried in this order: relative to the annotation file, relative to the folder, below an
        `images` folder of either, and last the only picture of that name anywhere in the folder.

        Args:
            reference: Path as the file writes it; backslashes are taken for slashes.
            beside: The annotation file.

        Raises:
            LeavesFolderError: It points outside the folder.
            NotFoundError: It points at nothing.
        """
        wanted = PureWindowsPath(reference).as_posix()
        inside = self._inside(wanted, beside)
        bases = (beside.parent, PurePosixPath(), beside.parent / "images", PurePosixPath("images"))
        for base in bases:
            file = PurePosixPath(posixpath.normpath((base / inside).as_posix()))
            if file in self._known:
                return file
        named = self.by_name.get(inside.name, [])
        if len(named) == 1:
            return named[0]
        self._refuse_links(inside, beside)
        raise NotFoundError(self._explain(inside, named))

    def matching(self, stem: str, near: PurePosixPath) -> PurePosixPath | None:
        """The picture of this stem in the folder `near`, or the only one anywhere, or None."""
        named = self.by_stem.get(stem, [])
        here = [file for file in named if file.parent == near]
        if here:
            return here[0]
        return named[0] if len(named) == 1 else None

    @cached_property
    def _known(self) -> frozenset[PurePosixPath]:
        return frozenset(self.images)

    def _inside(self, wanted: str, beside: PurePosixPath) -> PurePosixPath:
        """`wanted` as a path below the folder or the annotation file."""
        if PureWindowsPath(wanted).drive or wanted.startswith("/"):
            absolute = Path(posixpath.normpath(wanted))
            if not absolute.is_relative_to(self.root):
                raise LeavesFolderError(f"the absolute path {wanted} lies outside the data folder")
            return PurePosixPath(absolute.relative_to(self.root).as_posix())
        joined = posixpath.normpath((beside.parent / wanted).as_posix())
        if joined == ".." or joined.startswith("../"):
            raise LeavesFolderError(
                f"{wanted}, seen from {beside}, lies outside the data folder; give the folder "
                "that holds both as RAW"
            )
        return PurePosixPath(wanted)

    def _refuse_links(self, inside: PurePosixPath, beside: PurePosixPath) -> None:
        """Say so when a file is there, but behind a folder that links to outside."""
        for base in (beside.parent, PurePosixPath()):
            path = self.root / base / inside
            if path.exists() and not path.resolve().is_relative_to(self.root):
                raise LeavesFolderError(
                    f"{inside} leads outside the data folder by a symbolic link"
                )

    def _explain(self, inside: PurePosixPath, named: list[PurePosixPath]) -> str:
        if named:
            places = ", ".join(str(file) for file in named[:4])
            return f"{inside} is not there, and {len(named)} pictures have that name: {places}"
        folded = {name.casefold(): name for name in self.by_name}
        names = [folded.get(inside.name.casefold()), *self.by_stem.get(inside.stem, [])]
        close = difflib.get_close_matches(inside.name, list(self.by_name), n=1)
        near = next((str(name) for name in (*names, *close) if name), "")
        hint = f"; the nearest is {near}" if near else ""
        return f"{inside} is not there{hint}"

    def _parse(self, file: PurePosixPath) -> Any:
        try:
            text = self.path(file).read_text(encoding="utf-8-sig")
            if not text.strip():
                raise ValueError("the file is empty")
            if file.suffix.lower() in _YAML:
                return yaml.safe_load(text)
            return json.loads(text, object_pairs_hook=_without_twins)
        except (OSError, ValueError, RecursionError, yaml.YAMLError, LeavesFolderError) as error:
            self.broken[file] = " ".join(str(error).split()) or type(error).__name__
            return None

    def _tried(self, file: PurePosixPath, parse: Callable[[Path], _T | None]) -> _T | None:
        try:
            return parse(self.path(file))
        except (OSError, ValueError, LeavesFolderError) as error:
            self.broken[file] = " ".join(str(error).split()) or type(error).__name__
            return None

    def _read_coordinates(self, file: PurePosixPath) -> Coordinates | None:
        if file.suffix.lower() == ".json":
            return coordinates_of_json(self.document(file))
        try:
            return read_coordinates(self.path(file))
        except (OSError, ValueError, LeavesFolderError) as error:
            self.broken[file] = " ".join(str(error).split()) or type(error).__name__
            return None


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


def _near_folder(root: Path) -> str:
    beside = root.absolute().parent
    if not beside.is_dir():
        return f"; there is no folder {beside}"
    names = [path.name for path in beside.iterdir() if path.is_dir()]
    near = difflib.get_close_matches(root.name, names, n=1)
    return f"; did you mean {root.with_name(near[0])}?" if near else ""


def _walk(root: Path) -> list[PurePosixPath]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name for name in folders if name not in _IGNORED_FOLDERS and not name.startswith(".")
        )
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        found += [here / name for name in files if not name.startswith(".")]
    return found


def _grouped(
    files: tuple[PurePosixPath, ...], key: Callable[[PurePosixPath], str]
) -> dict[str, list[PurePosixPath]]:
    groups: dict[str, list[PurePosixPath]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    return groups
