"""Names of pictures as other programs and machines spell them.

Two names are one where they look the same: letters may be composed or decomposed (a Mac unpacks
archives so). Slashes may lean either way, and characters may be percent-encoded, as in a URL.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final
from urllib.parse import unquote_to_bytes

from search_spaces.names import nearest

_PACKED: Final = (".gz", ".bz2", ".xz", ".zip", ".zst")

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*")


def composed(name: str) -> str:
    """A name with its letters composed: the same for all spellings that look alike."""
    return unicodedata.normalize("NFC", name)


def composed_path(file: PurePosixPath) -> PurePosixPath:
    """A path with its letters composed."""
    return PurePosixPath(composed(str(file)))


def spellings(reference: str) -> list[str]:
    r"""Paths that a reference may mean, with slashes: as written first, then decoded.

    >>> spellings(r"..\images\my%20picture.png")
    ['../images/my%20picture.png', '../images/my picture.png']
    >>> spellings("file:///C:/data/a.png")
    ['file:/C:/data/a.png', '/C:/data/a.png']
    """
    forms = [reference, *_of_url(reference)]
    forms += [text for form in forms for text in _unquoted(form)]
    return list(dict.fromkeys(PureWindowsPath(form).as_posix() for form in forms))


def _of_url(reference: str) -> list[str]:
    """The path of a URL."""
    start = _URL.match(reference)
    return [re.split(r"[?#]", reference[start.end() :])[0]] if start else []


def _unquoted(text: str) -> Iterator[str]:
    """What percent-encoded text says, in UTF-8 and, where it is none, in Latin-1."""
    if "%" not in text:
        return
    data = unquote_to_bytes(text)
    for encoding in ("utf-8", "latin-1"):
        with contextlib.suppress(UnicodeDecodeError):
            yield data.decode(encoding)
            return


def is_absolute(path: str) -> bool:
    """Whether a path with slashes begins at a root, a drive or a home, here or on Windows."""
    return bool(PureWindowsPath(path).drive) or path.startswith(("/", "~"))


def endings(path: str) -> Iterator[tuple[str, ...]]:
    """Ends of a path, the longest first: its last folders and its name, composed."""
    parts = [part for part in PurePosixPath(composed(path)).parts if part not in ("/", ".", "..")]
    for start in range(len(parts)):
        yield tuple(parts[start:])


class NameIndex(Mapping[str, list[PurePosixPath]]):
    """Files by a part of their names, whatever way its letters are composed."""

    def __init__(self, files: Sequence[tuple[str, PurePosixPath]]) -> None:
        self._files: dict[str, list[PurePosixPath]] = {}
        for name, file in files:
            self._files.setdefault(composed(name), []).append(file)

    def __getitem__(self, name: str) -> list[PurePosixPath]:
        return self._files[composed(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def why_not_there(
    wanted: PurePosixPath, pictures: NameIndex, files: Sequence[PurePosixPath]
) -> str:
    """A message about a picture that is not there: what is near, and what it may be packed in.

    Args:
        wanted: The picture's path.
        pictures: The pictures that are there, by name.
        files: All files that are there.
    """
    if named := pictures.get(wanted.name, []):
        places = ", ".join(str(file) for file in named[:4])
        return f"{wanted} is not there, and {len(named)} pictures have that name: {places}"
    if there := [file for file in files if file.name == wanted.name]:
        return f"{there[0]} is there, but {wanted.suffix or 'such a file'} is not read as a picture"
    packed = [file for file in files if file.stem == wanted.name and file.suffix.lower() in _PACKED]
    if packed:
        return f"{wanted} is not there, but packed: unpack {packed[0]}"
    folded = {name.casefold(): name for name in pictures}
    of_stem = [name for name in pictures if PurePosixPath(name).stem == composed(wanted.stem)]
    stems = {PurePosixPath(name).stem: name for name in pictures}
    close = stems.get(nearest(wanted.stem, stems))
    alike = [name for name in (folded.get(wanted.name.casefold()), *of_stem) if name]
    hint = f"; the nearest is {close}" if close else ""
    if alike:
        hint = f"; the nearest is {alike[0]}, which differs in case or suffix: rename one of them"
    return f"{wanted} is not there{hint}"
