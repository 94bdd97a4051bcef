"""Files and folders that a crash leaves whole."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.places import ROOT
from trainables.files.errors import FolderError
from trainables.files.whole import (
    FileLock,
    locked,
    new_folder,
    replace_folder,
    write_json,
    write_table,
    write_text,
    write_whole,
)

HELD = """
import sys
from pathlib import Path
from trainables.files.whole import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.acquire(wait=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is brought to the disk, in order: its path, and what its folder then holds."""
    seen: list[tuple[str, str]] = []

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        there = path if path.is_dir() else path.parent
        seen.append((str(path), " ".join(sorted(p.name for p in there.iterdir()))))

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


WRITERS: dict[str, Callable[[Path], object]] = {
    "write_text": lambda path: write_text(path, "new"),
    "write_json": lambda path: write_json(path, {"new": 1}),
    "write_table": lambda path: write_table([{"epoch": 1}], path),
    "write_whole": lambda path: write_whole(path, lambda new: new.write_text("new")),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place_and_its_name_after(
    tmp_path: Path, synced: list[tuple[str, str]], write: Callable[[Path], object]
) -> None:
    path = tmp_path / "session.json"
    path.write_text("old")
    write(path)
    hidden = f".{os.getpid()}-session.json"
    assert synced == [
        (str(tmp_path / hidden), f"{hidden} session.json"),
        (str(tmp_path), "session.json"),
    ]
    assert "old" not in path.read_text()


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_cannot_be_written_is_named_by_its_own_name_and_leaves_nothing(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    (tmp_path / "report.json" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as error:
        write(tmp_path / "report.json")
    assert error.value.filename == str(tmp_path / "report.json")
    assert error.value.filename2 is None
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_a_writer_that_fails_over_another_file_names_that_one_and_leaves_the_old(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.pt"
    path.write_text("old")

    def write(new: Path) -> None:
        new.write_text("half")
        (tmp_path / "weights.pt").read_text()

    with pytest.raises(FileNotFoundError) as error:
        write_whole(path, write)
    assert error.value.filename == str(tmp_path / "weights.pt")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_file_system_that_cannot_sync_folders_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


def test_all_of_a_folder_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, synced: list[tuple[str, str]]
) -> None:
    place, aside = tmp_path / "best", tmp_path / "best.part"
    place.mkdir()
    (aside / "inner").mkdir(parents=True)
    (aside / "inner" / "model.pt").write_text("new")
    (aside / "link").symlink_to("nowhere")
    replace_folder(aside, place)
    assert {path for path, _ in synced[:-1]} == {
        str(path) for path in (aside, aside / "inner", aside / "inner" / "model.pt")
    }
    assert synced[-1] == (str(tmp_path), "best best.old")
    assert list(tmp_path.iterdir()) == [place]
    assert (place / "inner" / "model.pt").read_text() == "new"


def test_a_folder_whose_making_fails_is_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    (place / "file").write_text("old")

    def make() -> None:
        with locked(place), new_folder(place) as folder:
            (folder / "file").write_text("new")
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        make()
    assert (place / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_another_process_makes_is_refused_by_its_name(tmp_path: Path) -> None:
    place = tmp_path / "data"
    with (
        locked(place),
        pytest.raises(FolderError, match=f"^{place}: another process is writing it just now$"),
        locked(place),
    ):
        pass


def test_a_folder_below_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FolderError, match="file/data: cannot be written: "),
        locked(tmp_path / "file" / "data"),
    ):
        pass


def test_a_lock_is_taken_back_from_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        lock = FileLock(path)
        assert not lock.acquire(wait=False)
        holder.kill()
        assert lock.acquire()
    assert not FileLock(path).acquire(wait=False)
    lock.release()
    assert FileLock(path).acquire(wait=False)


def test_who_waits_for_a_lock_whose_file_is_deleted_holds_the_file_that_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".lock"
    first, second = FileLock(path), FileLock(path)
    assert first.acquire()
    waiting = threading.Thread(target=second.acquire)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    path.unlink()
    first.release()
    waiting.join(10)
    assert second.descriptor is not None
    assert os.path.samestat(os.fstat(second.descriptor), path.stat())


def test_a_full_disk_is_told_by_the_files_own_name_alone(tmp_path: Path) -> None:
    def fill(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space") as raised:
        write_whole(tmp_path / "kept.json", fill)
    assert str(raised.value) == f"[Errno 28] No space left on device: '{tmp_path / 'kept.json'}'"


def test_a_place_that_is_a_folder_is_told_by_its_own_name_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.json").mkdir()
    with pytest.raises(OSError, match="Is a directory") as raised:
        write_json(tmp_path / "kept.json", {})
    assert str(raised.value) == f"[Errno 21] Is a directory: '{tmp_path / 'kept.json'}'"
