"""The head's end of a folder that is sent in pieces: there as it was sent, or not at all."""

import contextlib
import hashlib
import io
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, cast

from cluster.errors import JobError

PATIENCE_S: Final = 120.0
"""Time without a piece after which the sender is taken for gone, s."""

_POLL_S: Final = 0.05

_DIGEST_BYTES: Final = 32


class Pieces(Protocol):
    """Where pieces are found; a `Store` is one."""

    def take(self, name: str) -> bytes | None:
        """A piece, which is cleared away; None where it is not there yet."""


class Store:
    """The control store of the cluster that this process is connected to, as it holds pieces."""

    def take(self, name: str) -> bytes | None:
        """A piece, which is cleared away; None where it is not there yet."""
        from ray.experimental import internal_kv  # put off: slow to import

        content: bytes | None = internal_kv._internal_kv_get(f"gcs://{name}")
        if content is not None:
            internal_kv._internal_kv_del(f"gcs://{name}")
        return content


def piece_name(transfer: str, n: int) -> str:
    """Name of a piece on the head: that of the transfer, and its number from 0."""
    return f"segtune-{transfer}-{n:06d}"


def sealed(n: int, content: bytes) -> bytes:
    """A piece as it travels: the hash of its number and content, then the content."""
    return hashlib.sha256(f"{n}:".encode() + content).digest() + content


def receive_folder(
    pieces: Pieces,
    transfer: str,
    target: Path,
    is_right: Callable[[Path], bool],
    patience_s: float = PATIENCE_S,
) -> None:
    """Take a folder that is being sent, and put it in place when it is whole.

    Args:
        pieces: Where they are found.
        transfer: Name of the transfer.
        target: Where the folder is to be; one that another transfer has put there stays.
        is_right: Whether a folder is what was to be sent.
        patience_s: Time to wait for a piece.

    Raises:
        JobError: Pieces stay away or were changed on their way, or they cannot be written.
    """
    with _new_folder(target) as folder:
        stream = cast(IO[bytes], io.BufferedReader(_Arriving(pieces, transfer, patience_s)))
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                archive.extractall(folder, filter="data")
            stream.read()  # the last piece, which says that this was all
        except tarfile.TarError as error:
            raise JobError(f"{target}: what was sent is no folder: {error}") from error
        if not is_right(folder):
            raise JobError(f"{target}: expected the data that was announced, got others")
        with contextlib.suppress(FileExistsError):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                folder.rename(target)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside a place, of which nothing is left after the block but what was moved."""
    folder = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise JobError(
            f"storage: expected a folder that the head can write, got {target.parent}: "
            f"{error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Arriving(io.RawIOBase):
    """A file that is read as its pieces come; an empty one ends it."""

    def __init__(self, pieces: Pieces, transfer: str, patience_s: float) -> None:
        self._pieces, self._transfer, self._patience_s = pieces, transfer, patience_s
        self._left = memoryview(b"")
        self._n = 0
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer with what has come, and wait for more where nothing has."""
        room = memoryview(cast(bytearray, buffer))
        if not self._left and not self._ended:
            self._left = memoryview(self._next())
            self._ended = not self._left
        n = min(len(room), len(self._left))
        room[:n] = self._left[:n]
        self._left = self._left[n:]
        return n

    def _next(self) -> bytes:
        deadline = time.monotonic() + self._patience_s
        name = piece_name(self._transfer, self._n)
        while (piece := self._pieces.take(name)) is None:
            if time.monotonic() > deadline:
                raise JobError(
                    f"no data for {self._patience_s:.0f} s; its sender is taken for gone, and what "
                    "came so far is removed"
                )
            time.sleep(_POLL_S)
        content = piece[_DIGEST_BYTES:]
        if sealed(self._n, content) != piece:
            raise JobError(f"piece {self._n} of the data was changed on its way; send it again")
        self._n += 1
        return content
