"""Files kept at a place - a folder, a bucket, an archive - each with the checksum of its content.

A checksum is CRC-32C in base64, as Google Cloud Storage writes it, and it is always computed here:
of what is sent before it goes, to be compared with what the service says it stored, and of what has
come. The client's own checks miss a byte that is flipped on the way.
"""

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple, Protocol

import google_crc32c

from cluster.errors import StorageError

_AT_ONCE: Final = 1 << 20  # bytes read at once


class Stored(NamedTuple):
    """What is known of a file's content.

    Attributes:
        size: Number of bytes.
        crc32c: Checksum of them.
    """

    size: int
    crc32c: str


class Files(Protocol):
    """Files with names such as "trials/0/params.json" at one place.

    Every method raises `StorageError` where the place cannot be read or written.
    """

    @property
    def place(self) -> str:
        """The place in words, for messages."""
        ...

    def listed(self) -> dict[str, Stored]:
        """All files there are, by name."""
        ...

    def put(self, name: str, source: "Head") -> None:
        """Store a file whole, in place of one of this name."""
        ...

    def get(self, name: str, target: Path) -> Stored:
        """Write a file's content to a new file of this machine; says what came."""
        ...


class Objects(Protocol):
    """Files of one place that are made once and never changed, each by one writer.

    Every method raises `StorageError` where the place cannot be read or written.
    """

    @property
    def place(self) -> str:
        """The place in words, for messages."""
        ...

    def there(self, begins: str) -> list[str]:
        """The names that begin so, sorted."""
        ...

    def create(self, name: str, source: "Head") -> None:
        """Store a file whole where there is none of this name, or one of the same content.

        The same content may be there already, as the answer to an earlier try can be lost.

        Raises:
            TakenError: One of other content is there.
        """
        ...

    def get(self, name: str, target: Path) -> Stored:
        """Write a file's content to a new file of this machine; says what came.

        Raises:
            MissingError: There is none of this name.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file; none of this name is none to remove."""
        ...


class Head:
    """The first bytes of an open file: what it held when it was opened, while others append to it.

    Args:
        file: Open for reading in binary.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        size = os.fstat(file.fileno()).st_size
        self._size = size
        self.stored = Stored(size, self._crc32c())

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        left = self._size - self._file.tell()
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another byte."""
        if whence == os.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Number of the next byte."""
        return self._file.tell()

    def blocks(self) -> Iterator[bytes]:
        """All bytes from the first one on, in blocks."""
        self.seek(0)
        while block := self.read(_AT_ONCE):
            yield block

    def _crc32c(self) -> str:
        return crc32c(self.blocks())


@contextmanager
def head_of(content: bytes) -> Iterator[Head]:
    """Some bytes, to be stored as a file is."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Head(file)


def bytes_at(place: Objects, name: str) -> bytes:
    """The content of a small file.

    Raises:
        StorageError: As for `Objects.get`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place.get(name, Path(scratch, "content"))
        return Path(scratch, "content").read_bytes()


def crc32c(blocks: Iterator[bytes]) -> str:
    """Checksum of the bytes of all blocks.

    >>> crc32c(iter([b"1234", b"56789"]))
    '4waSgw=='
    """
    checksum = 0
    for block in blocks:
        checksum = google_crc32c.extend(checksum, block)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode("ascii")


def content_of(path: Path) -> Stored:
    """What a file of this machine holds.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return Head(file).stored


def below(folder: Path, name: str) -> Path:
    """Where a file of a name belongs below a folder.

    Raises:
        StorageError: The name leads out of the folder, as a damaged or a hostile list's may.
    """
    parts = PurePosixPath(name).parts
    odd = {"", ".", ".."} & set(name.split("/")) or "\\" in name or "\0" in name
    if odd or not parts or name.startswith("/"):
        raise StorageError(f"{name!r}: expected a name of a file below a folder")
    return folder.joinpath(*parts)
