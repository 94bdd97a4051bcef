"""A folder on its way to a cluster's head, in pieces through the address that jobs are sent to.

No way but that one is asked for, and no place but the control store's memory, which holds two
pieces at most: the job that takes them clears each away before a third is sent.
"""

import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol, cast

from cluster.errors import JobError
from cluster.jobs.receiving import piece_name, sealed

PIECE_BYTES: Final = 16 * 2**20

_AHEAD: Final = 2
"""Pieces that wait on the head."""

_POLL_S: Final = 0.1

_ASK_S: Final = 5.0
"""Time after which the job that takes the pieces is asked whether it still runs, s."""

Progress = Callable[[int, int], None]
"""Called with the number of bytes sent and of all."""


class Head(Protocol):
    """Where pieces are left; a `Cluster` is one."""

    def put_piece(self, name: str, content: bytes) -> None:
        """Leave a piece."""

    def has_piece(self, name: str) -> bool:
        """Whether a piece is still there."""


def send_folder(
    head: Head,
    folder: Path,
    transfer: str,
    still_taken: Callable[[], bool],
    tick: Progress = lambda done, total: None,
) -> int:
    """Send all files of a folder to the job that takes them; returns the number of bytes.

    Args:
        head: Where the job runs.
        folder: The folder; links are sent as what they lead to.
        transfer: Name of the transfer.
        still_taken: Whether the job still runs; asked now and then.
        tick: Told of the progress.

    Raises:
        JobError: The job has ended, or a file cannot be read.
    """
    below = sorted(_below(folder))
    total = sum(path.stat().st_size for path in below if path.is_file())
    pieces = _Pieces(head, transfer, still_taken)
    done = 0
    try:
        with tarfile.open(fileobj=cast(IO[bytes], pieces), mode="w|", dereference=True) as archive:
            for path in below:
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
                done += path.stat().st_size if path.is_file() else 0
                tick(done, total)
    except OSError as error:
        raise JobError(
            f"{error.filename or folder}: expected a file that can be read, got: {error.strerror}"
        ) from error
    pieces.end()
    return total


def _below(folder: Path) -> Iterator[Path]:
    """All that lies below a folder, and below what is linked to from there."""
    for place, folders, files in os.walk(folder, followlinks=True):
        yield from (Path(place) / name for name in (*folders, *files))


class _Pieces:
    """What is written goes to a cluster's head in pieces; an empty one says that it was all."""

    def __init__(self, head: Head, transfer: str, still_taken: Callable[[], bool]) -> None:
        self._head, self._transfer, self._still_taken = head, transfer, still_taken
        self._waiting = bytearray()
        self._n = 0

    def write(self, content: bytes) -> int:
        """Take bytes; whole pieces of them are sent."""
        self._waiting += content
        while len(self._waiting) >= PIECE_BYTES:
            self._send(bytes(self._waiting[:PIECE_BYTES]))
            del self._waiting[:PIECE_BYTES]
        return len(content)

    def end(self) -> None:
        """Send what is left, and the piece that says that this was all."""
        if self._waiting:
            self._send(bytes(self._waiting))
        self._send(b"")

    def _send(self, content: bytes) -> None:
        if self._n >= _AHEAD:
            self._wait_until_taken(self._n - _AHEAD)
        name = piece_name(self._transfer, self._n)
        self._head.put_piece(name, sealed(self._n, content))
        self._n += 1

    def _wait_until_taken(self, n: int) -> None:
        asked = time.monotonic()
        while self._head.has_piece(piece_name(self._transfer, n)):
            if time.monotonic() - asked > _ASK_S:
                asked = time.monotonic()
                if not self._still_taken():
                    raise JobError("the job that takes the data has ended")
            time.sleep(_POLL_S)
