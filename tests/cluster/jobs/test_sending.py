"""Folders sent in pieces: as they were or not at all, and never much on the head at a time."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.errors import JobError
from cluster.jobs.receiving import receive_folder
from cluster.jobs.sending import PIECE_BYTES, send_folder


class Memory:
    """A head's memory, which remembers the most pieces that ever lay in it."""

    def __init__(self, spoilt: bool = False) -> None:
        self._lock = threading.Lock()
        self._pieces: dict[str, bytes] = {}
        self._spoilt = spoilt
        self.most = self.n = 0

    def put_piece(self, name: str, content: bytes) -> None:
        with self._lock:
            self._pieces[name] = content
            self.n += 1
            self.most = max(self.most, len(self._pieces))

    def has_piece(self, name: str) -> bool:
        with self._lock:
            return name in self._pieces

    def take(self, name: str) -> bytes | None:
        with self._lock:
            piece = self._pieces.pop(name, None)
        if piece is None or not self._spoilt:
            return piece
        return piece[:-1] + bytes([piece[-1] ^ 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pieces and a bit: one large file, small ones, one that is linked to."""
    folder, rng = tmp_path / "here", random.Random(0)
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "large.tiff").write_bytes(rng.randbytes(3 * PIECE_BYTES))
    (folder / "dataset.json").write_text("{}")
    (tmp_path / "elsewhere.png").write_bytes(b"linked")
    (folder / "images" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "masks" / "none").mkdir(parents=True)
    (folder / "masks").symlink_to(tmp_path / "masks")
    return folder


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_arrives_as_it_was_in_pieces_of_which_two_wait_at_most(
    folder: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    memory, target, told = Memory(), tmp_path / "there" / "data", list[tuple[int, int]]()
    taken = pool.submit(receive_folder, memory, "t", target, lambda path: True)
    total = send_folder(
        memory, folder, "t", lambda: True, lambda done, total: told.append((done, total))
    )
    taken.result(timeout=60)
    assert contents(target) == contents(folder)
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert (target / "masks" / "none").is_dir()
    assert memory.most <= 2
    assert memory.n == 5  # the last, empty one says that it was all
    assert told[-1] == (total, total)
    assert [path.name for path in target.parent.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("spoilt", "is_right", "reason"),
    [
        (True, True, "piece 0 of the data was changed on its way"),
        (False, False, "expected the data that was announced"),
    ],
)
def test_what_is_not_as_it_was_sent_is_not_there(
    spoilt: bool,
    is_right: bool,
    reason: str,
    folder: Path,
    tmp_path: Path,
    pool: ThreadPoolExecutor,
) -> None:
    memory, target = Memory(spoilt), tmp_path / "there" / "data"
    taken = pool.submit(receive_folder, memory, "t", target, lambda path: is_right)
    if spoilt:
        with pytest.raises(JobError, match="has ended"):
            send_folder(memory, folder, "t", lambda: not taken.done())
    else:
        send_folder(memory, folder, "t", lambda: not taken.done())
    with pytest.raises(JobError, match=reason):
        taken.result(timeout=60)
    assert list(target.parent.iterdir()) == []


def test_a_sender_that_stays_away_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    memory, target = Memory(), tmp_path / "there" / "data"
    with pytest.raises(JobError, match="has ended"):
        send_folder(memory, folder, "t", lambda: False)  # two pieces, then nobody takes them
    with pytest.raises(JobError, match=r"no data for 0 s"):
        receive_folder(memory, "t", target, lambda path: True, patience_s=0.1)
    assert list(target.parent.iterdir()) == []
