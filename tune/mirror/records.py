"""The records of a mirror's segments, and what they add up to: a study's files, as shipped.

A record appends to a file, writes one whole, names the files of a folder, or takes either away.
Small contents stand in the record; a large one is an object of its own, which is never changed.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster.errors import StorageError
from cluster.storage.files import below
from cluster.storage.segments import Name, Record, Segment
from trainables.trials.layout import METRICS
from tune.directory.layout import CLOSED, ERROR, NOTES, OUTCOME, PARAMS

DATA: Final = "data/"
"""How names of objects with large contents begin."""

TRIAL_FILES: Final = (PARAMS, METRICS, OUTCOME, CLOSED, NOTES, ERROR)
"""Small files of a trial's folder."""

_PATCH: Final = "surrogateescape"  # a log may hold bytes that are no text


@dataclass(frozen=True)
class Content:
    """The content of a folder's file: small and here, or an object's.

    Attributes:
        inline: The bytes; None where they are an object's.
        stored: Name of the object, "" where they are here.
        size: Number of bytes.
        crc32c: Checksum of the object's.
    """

    inline: bytes | None
    stored: str = ""
    size: int = 0
    crc32c: str = ""

    def said(self) -> dict[str, Any]:
        """The content as records have it."""
        if self.inline is None:
            return {"object": self.stored, "size": self.size, "crc32c": self.crc32c}
        try:
            return {"text": self.inline.decode()}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(self.inline).decode()}


def appended(name: str, at: int, text: bytes) -> Record:
    """A record that appends to a file, from a byte on."""
    return {"append": name, "at": at, "text": text.decode("utf-8", _PATCH)}


def written(name: str, text: bytes) -> Record:
    """A record that writes a file whole."""
    return {"write": name, "text": text.decode("utf-8", _PATCH)}


def filled(name: str, files: Mapping[str, Content]) -> Record:
    """A record that names all files of a folder."""
    return {"folder": name, "files": {file: content.said() for file, content in files.items()}}


def gone(name: str) -> Record:
    """A record that takes a file or a folder away."""
    return {"gone": name}


@dataclass
class Shipped:
    """A study's files as a mirror's segments have them.

    Attributes:
        files: Contents by name below the study directory.
        folders: Files of each folder that is kept as a whole, such as a checkpoint.
        last: Name of the last segment; None where there is none.
        n_segments: Number of segments.
    """

    files: dict[str, bytearray] = field(default_factory=dict)
    folders: dict[str, Mapping[str, Content]] = field(default_factory=dict)
    last: Name | None = None
    n_segments: int = 0

    def objects(self) -> Iterator[str]:
        """Names of the objects that its contents lie in."""
        contents = (content for files in self.folders.values() for content in files.values())
        yield from (content.stored for content in contents if content.inline is None)


def add_up(segments: Iterable[Segment], place: str) -> Shipped:
    """What segments add up to, in their order.

    Raises:
        StorageError: A record is none of ours, or its place in a file is another.
    """
    shipped = Shipped()
    for segment in segments:
        for number, record in enumerate(segment.records, start=2):
            try:
                _apply(shipped, record)
            except (ValueError, TypeError, KeyError, AttributeError, StorageError) as error:
                raise StorageError(
                    f"{place}/{segment.name.file}, line {number}: expected a record of a mirror, "
                    f"got one with {type(error).__name__}: {str(error)[:120]}"
                ) from error
        shipped.last = segment.name
        shipped.n_segments += 1
    return shipped


def _apply(shipped: Shipped, record: Record) -> None:
    if "append" in record:
        _append(shipped, _name(record["append"]), record["at"], record["text"])
    elif "write" in record:
        shipped.files[_name(record["write"])] = bytearray(record["text"].encode("utf-8", _PATCH))
    elif "folder" in record:
        found = {_name(file): _content(said) for file, said in record["files"].items()}
        shipped.folders[_name(record["folder"])] = found
    elif "gone" in record:
        name = _name(record["gone"])
        shipped.files.pop(name, None)
        shipped.folders.pop(name, None)
    else:
        raise ValueError(f"keys {', '.join(map(str, record))}")


def _append(shipped: Shipped, name: str, at: Any, text: str) -> None:
    there = shipped.files.setdefault(name, bytearray())
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at <= len(there):
        raise ValueError(f"{name}: at {at} where it has {len(there)} bytes")
    more = text.encode("utf-8", _PATCH)
    if not more.startswith(there[at : at + len(more)]):  # what is said again is said the same
        raise ValueError(f"{name}: other bytes at {at} than were there")
    there += more[len(there) - at :]


def _content(said: Mapping[str, Any]) -> Content:
    if "text" in said:
        return Content(said["text"].encode())
    if "base64" in said:
        return Content(base64.b64decode(said["base64"], validate=True))
    stored, size, checksum = said["object"], said["size"], said["crc32c"]
    if not (isinstance(size, int) and isinstance(checksum, str) and stored.startswith(DATA)):
        raise ValueError(f"an object {stored!r}")
    below(Path(), stored)
    return Content(None, stored, size, checksum)


def _name(name: Any) -> str:
    if not isinstance(name, str) or name.startswith("."):
        raise ValueError(f"a name {name!r}")
    below(Path(), name)
    return name
