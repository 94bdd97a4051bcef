"""Pictures in a real bucket emulator: listed by name, brought one by one, and few of them kept."""

import os
import time
from collections import Counter
from pathlib import Path

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import pytest

from analysis.errors import PicturesError
from analysis.pictures import buckets
from analysis.pictures.micrographs import find_micrographs, source_of
from cluster.storage.copying import send
from cluster.storage.files import head_of
from cluster.storage.opening import open_files
from tests.support.raw_samples import write_picture
from tests.support.servers.bucket_server import counted_gets
from trainables.datasets.images import UnreadableImageError


@pytest.fixture
def address(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with two folders of pictures, one of them with a stack."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a.png", "b.png", "deep/a.png", ".hidden.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "in" / name, seed=len(name))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    with mrcfile.new(tmp_path / "in" / "stack.mrcs") as file:
        file.set_data(np.arange(48, dtype=np.float32).reshape(3, 4, 4))
        file.set_image_stack()
    send(tmp_path / "in", open_files(f"{bucket}/{tmp_path.name}"))
    return f"{bucket}/{tmp_path.name}"


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file came."""
    return counted_gets(monkeypatch)


def test_files_folders_and_patterns_are_found_and_come_when_they_are_read(
    address: str, came: Counter[str], tmp_path: Path
) -> None:
    here = write_picture(tmp_path / "c.png", seed=0)
    found = find_micrographs([f"{address}/b.png", address, f"{address}/**/a.png", str(here)])
    names = [one.name.removeprefix(f"{address}/") for one in found]
    stack = ["stack.mrcs", "stack_p1.mrcs", "stack_p2.mrcs"]
    assert names == ["b.png", "a.png", *stack, "deep/a.png", str(here)]
    assert len({one.stem for one in found}) == len(found)
    assert came == {"stack.mrcs": 1}  # for the number of its pages
    for one in found:
        name = one.name.removeprefix(f"{address}/")
        if name.endswith(".png"):
            there = tmp_path / "in" / name if one.remote else here
            assert one.path.read_bytes() == there.read_bytes()
            assert one.path.name == there.name
    assert came == {"stack.mrcs": 1, "a.png": 2, "b.png": 1}  # two of that name, once each


def test_one_that_was_changed_is_another_and_one_changed_since_is_refused(
    address: str, tmp_path: Path
) -> None:
    [before] = find_micrographs([f"{address}/a.png"])
    write_picture(tmp_path / "in" / "a.png", seed=99)
    send(tmp_path / "in", open_files(address))
    [after] = find_micrographs([f"{address}/a.png"])
    assert source_of(before) != source_of(after)
    assert after.path.read_bytes() == (tmp_path / "in" / "a.png").read_bytes()
    with pytest.raises(UnreadableImageError, match="it was changed since"):  # a row's reason
        before.path.stat()


def test_one_that_a_power_cut_left_empty_is_brought_again(address: str) -> None:
    [picture] = find_micrographs([f"{address}/a.png"])
    picture.path.write_bytes(b"")
    assert picture.path.stat().st_size > 0


def test_a_name_goes_before_a_pattern_and_a_broken_pattern_is_said(address: str) -> None:
    content = find_micrographs([f"{address}/a.png"])[0].path.read_bytes()
    with head_of(content) as head:
        for name in ("odd/a[1] #%?.png", "odd/a1 #%x.png"):
            open_files(address).put(name, head)
    [odd] = find_micrographs([f"{address}/odd/a[1] #%?.png"])
    assert (odd.name, odd.path.read_bytes()) == (f"{address}/odd/a[1] #%?.png", content)
    [other] = find_micrographs([f"{address}/odd/a[1] #%[x].png"])
    assert other.name == f"{address}/odd/a1 #%x.png"
    with pytest.raises(PicturesError, match=r"expected a pattern of .*, got \[z-a\]\.png"):
        find_micrographs([f"{address}/[z-a].png"])


def test_two_slashes_in_a_row_are_refused_where_they_are_named_and_where_they_are_found(
    address: str, tmp_path: Path
) -> None:
    """The object of one slash is another picture, and is not taken in place of it."""
    files = open_files(address)
    for name, file in (("day/a.png", "a.png"), ("day//a.png", "b.png")):
        with head_of((tmp_path / "in" / file).read_bytes()) as head:
            files.put(name, head)
    for asked in (f"{address}/day//a.png", f"{address}/day/**/*.png"):
        with pytest.raises(PicturesError, match=r"/day//a\.png: expected one slash.*/day/a\.png"):
            find_micrographs([asked])
    [plain] = find_micrographs([f"{address}/day//"])  # at the end they mean the folder
    assert plain.name == f"{address}/day/a.png"
    assert plain.path.read_bytes() == (tmp_path / "in" / "a.png").read_bytes()


def test_the_disk_holds_the_last_ones_alone(
    address: str, came: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = find_micrographs([f"{address}/a.png", f"{address}/b.png"])
    old = first.path
    monkeypatch.setattr(buckets, "MOST_BYTES", old.stat().st_size)
    assert second.path.is_file()
    assert old.is_file()  # it may be in use
    os.utime(old.parent, (0, time.time() - 3600))
    [third] = find_micrographs([f"{address}/deep/a.png"])
    assert third.path.is_file()
    assert not old.exists()
    assert first.path.is_file()  # brought again
    assert came["a.png"] == 3


def test_nothing_there_is_said(address: str, bucket: str) -> None:
    with pytest.raises(PicturesError, match=r"none\*\.png: expected pictures there .*found none"):
        find_micrographs([f"{address}/none*.png"])
    with pytest.raises(PicturesError, match="expected a bucket absent, found none"):
        find_micrographs(["gs://absent/a.png"])
