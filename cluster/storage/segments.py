"""Segments of a log at a place: objects that are made once, in an order that terms give.

A log is shipped as segments named TERM-NUMBER, with numbers from 1 on in each term
(`cluster.storage.lease`). Each names the one before it. The first of a term so says where the terms
before it ended, and what an older term wrote after that is passed over, whenever it arrives.

A segment is JSON lines, compressed: a header with the checksum of the rest, then a record a line.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cluster.errors import MissingError, StorageError
from cluster.storage.files import Objects, bytes_at, crc32c, head_of

FOLDER: Final = "journal/"
"""How names of segments begin at their place."""

_ENDING: Final = ".jsonl.gz"

_NAME: Final = re.compile(r"(\d{6,12})-(\d{6,12})")

_LARGEST: Final = 1 << 28
"""Bytes of a segment at most, uncompressed: what claims more is none of ours."""

_AT_ONCE: Final = 8

Record = Mapping[str, Any]


class Name(NamedTuple):
    """Name of a segment.

    Attributes:
        term: Term of its writer.
        number: Number in the term, from 1 on.
    """

    term: int
    number: int

    def __str__(self) -> str:
        return f"{self.term:06d}-{self.number:06d}"

    @property
    def file(self) -> str:
        """Name of its object."""
        return f"{FOLDER}{self}{_ENDING}"

    @property
    def next(self) -> "Name":
        """The one after it in its term."""
        return Name(self.term, self.number + 1)


@dataclass(frozen=True)
class Segment:
    """Some records of a log.

    Attributes:
        name: Name of it.
        after: Name of the one before it; None for the first of all.
        records: The records, each a JSON object.
    """

    name: Name
    after: Name | None
    records: Sequence[Record]

    def content(self) -> bytes:
        """Its object's content; the same for equal segments."""
        body = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in self.records)
        header = {
            "segment": str(self.name),
            "after": "" if self.after is None else str(self.after),
            "crc32c": crc32c(iter([body.encode()])),
        }
        return gzip.compress(f"{json.dumps(header)}\n{body}".encode(), compresslevel=3, mtime=0)


def parse_name(text: str) -> Name:
    """The name that a text is.

    Raises:
        ValueError: It is none.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"expected TERM-NUMBER, got {text[:60]!r}")
    return Name(int(match[1]), int(match[2]))


def parse_segment(content: bytes, name: Name, place: str) -> Segment:
    """The segment of an object.

    Raises:
        StorageError: It is damaged, or another one.
    """
    try:
        return _parsed(content, name)
    except (ValueError, TypeError, KeyError, EOFError, RecursionError, zlib.error) as error:
        raise StorageError(
            f"{place}/{name.file}: expected a segment as its driver wrote it, got another content "
            f"({type(error).__name__}: {str(error)[:120]}); put a copy of it in its place"
        ) from error


def _parsed(content: bytes, name: Name) -> Segment:
    unpacking = zlib.decompressobj(wbits=31)
    text = unpacking.decompress(content, _LARGEST)
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError("it does not end where it should")
    first, _, body = text.partition(b"\n")
    header = json.loads(first)
    if not isinstance(header, dict) or header.get("segment") != str(name):
        raise ValueError("another header")
    if header["crc32c"] != crc32c(iter([body])):
        raise ValueError("another checksum")
    records = [json.loads(line) for line in body.splitlines()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("a record that is no object")
    after = parse_name(header["after"]) if header["after"] else None
    return Segment(name, after, records)


def write_segment(place: Objects, segment: Segment) -> int:
    """Store a segment; returns the bytes of its object.

    Raises:
        TakenError: Another process has written one of that name.
        StorageError: The place cannot be written.
    """
    content = segment.content()
    with head_of(content) as source:
        place.create(segment.name.file, source)
    return len(content)


def segment_names(place: Objects) -> list[Name]:
    """The names of all segments at a place, in order.

    Raises:
        StorageError: The place cannot be read, or has what is none.
    """
    found = []
    for file in place.there(FOLDER):
        try:
            found.append(parse_name(file.removeprefix(FOLDER).removesuffix(_ENDING)))
        except ValueError as error:
            raise StorageError(f"{place.place}/{file}: {error}; nothing else lies there") from error
    return sorted(found)


def read_segments(place: Objects, base: str = "") -> list[Segment]:
    """The segments of a log, in order, without what was written after a newer term began.

    Args:
        place: Where they are.
        base: Name of the one to begin with, as the lease says; "" for the first.

    Raises:
        MissingError: One is missing: where it was removed while they were read, or since the lease
            was, reading the lease again helps.
        StorageError: The place cannot be read, or one is damaged.
    """
    try:
        first = parse_name(base) if base else None
    except ValueError as error:
        raise StorageError(f"{place.place}: the lease's base: {error}") from error
    names = [name for name in segment_names(place) if first is None or name >= first]

    def read(name: Name) -> Segment:
        return parse_segment(bytes_at(place, name.file), name, place.place)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        segments = list(pool.map(read, names))
    return list(_in_order(segments, first, place.place))


def _in_order(segments: Sequence[Segment], first: Name | None, place: str) -> Iterator[Segment]:
    counting: list[Segment] = []
    for segment in segments:
        name, after = segment.name, segment.after
        if name.number == 1:  # the first of a term: it says what counts of those before
            while counting and (after is None or counting[-1].name > after):
                counting.pop()
        last = counting[-1].name if counting else None
        begins = last is None and (name == first or (first is None and after is None))
        if not begins and (last is None or last != after):
            raise MissingError(
                f"{place}/{name.file}: expected {after or 'none'} before it, found "
                f"{last or 'none'}: a segment is missing; put a copy of it in its place"
            )
        counting.append(segment)
    if first is not None and (not counting or counting[0].name != first):
        raise MissingError(f"{place}/{first.file}: expected the segment to begin with, found none")
    yield from counting
