"""What says that a picture is done."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from analysis.measure.job.folder import LABELS, SUFFIXES, JobFolder, PictureRecord
from analysis.pictures.micrographs import Micrograph, source_of

SETTINGS = {"finding": {"iou": 0.5}}


@pytest.fixture
def picture(tmp_path: Path) -> Micrograph:
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    return Micrograph(path, 0, "a.tif", "a")


@pytest.fixture
def folder(tmp_path: Path, picture: Micrograph) -> JobFolder:
    """A folder in which the picture is done."""
    folder = JobFolder(tmp_path / "out", [LABELS])
    folder.begin()
    folder.write_part(picture, pa.table({"area": [1.0, 2.0]}))
    folder.file(LABELS, picture).write_bytes(b"labels")
    row = {"particles": 2}
    folder.write_record(
        picture, PictureRecord("a.tif", SETTINGS, source_of(picture), row, ("grain",), {})
    )
    return folder


def test_a_picture_with_all_its_files_is_done(folder: JobFolder, picture: Micrograph) -> None:
    assert folder.is_done(picture, SETTINGS)
    assert folder.part(picture)["area"].to_pylist() == [1.0, 2.0]
    record = folder.record(picture)
    assert record is not None
    assert record.row == {"particles": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda f, p: f.file("parts", p).unlink(),
        lambda f, p: f.file(LABELS, p).unlink(),
        lambda f, p: f.file("done", p).unlink(),
        lambda f, p: f.file("done", p).write_text("{"),
        lambda f, p: f.file("done", p).write_text("[]"),
        lambda f, p: f.file("done", p).write_text('{"picture": "a.tif"}'),
        lambda f, p: p.path.write_bytes(b"other pixels"),
        lambda f, p: p.path.unlink(),
        lambda f, p: os.utime(p.path, (1, 1)),
    ],
)
def test_a_picture_is_done_no_more_when_a_file_or_the_picture_is_another(
    folder: JobFolder, picture: Micrograph, change: Callable[[JobFolder, Micrograph], object]
) -> None:
    change(folder, picture)
    assert not folder.is_done(picture, SETTINGS)


@pytest.mark.parametrize(("content", "done"), [(b"pixelz", False), (b"pixels", True)])
def test_of_a_picture_of_the_same_name_size_and_time_elsewhere_the_content_counts(
    folder: JobFolder, picture: Micrograph, tmp_path: Path, content: bytes, done: bool
) -> None:
    path = tmp_path / "b" / "a.tif"
    path.parent.mkdir()
    path.write_bytes(content)
    state = picture.path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    other = Micrograph(path, 0, "a.tif", "a")
    assert source_of(other)[:2] == source_of(picture)[:2]
    assert folder.is_done(other, SETTINGS) is done


def test_a_record_appears_once_the_files_of_its_picture_are_on_the_disk(
    folder: JobFolder, picture: Micrograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = folder.record(picture)
    assert record is not None
    folder.file("done", picture).unlink()
    on_disk: set[Path] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        assert not folder.file("done", picture).exists()
        on_disk.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder.write_record(picture, record)
    assert {folder.file("parts", picture), folder.file(LABELS, picture)} <= on_disk
    assert folder.is_done(picture, SETTINGS)


def test_other_settings_are_another_measurement(folder: JobFolder, picture: Micrograph) -> None:
    assert not folder.is_done(picture, {"finding": {"iou": 0.6}})


def test_what_is_removed_leaves_nothing_of_any_folder(
    folder: JobFolder, picture: Micrograph
) -> None:
    for name in SUFFIXES:
        folder.file(name, picture).parent.mkdir(exist_ok=True)
        folder.file(name, picture).touch()
    folder.remove(picture)
    assert [path for path in folder.out.rglob("*") if path.is_file()] == []


def test_what_a_kill_left_half_written_is_removed(folder: JobFolder, picture: Micrograph) -> None:
    halves = [folder.out / ".12-particles.csv", folder.out / LABELS / ".12-a.tif"]
    for half in halves:
        half.write_bytes(b"half")
    folder.begin()
    assert not any(half.exists() for half in halves)
    assert folder.is_done(picture, SETTINGS)
