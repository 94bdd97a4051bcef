"""Copies to a folder and to a real bucket emulator, behind a line that damages what passes."""

import json
import os
from pathlib import Path

import pytest

from cluster.errors import StorageError
from cluster.storage.copying import INDEX, Copied, fetch, index_text, send
from cluster.storage.files import Files, Stored, below
from cluster.storage.opening import open_files
from tests.support.servers.bucket_server import damaging, losing_answers


@pytest.fixture
def place(address: str) -> Files:
    return open_files(address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "mine", {"a.txt": "one", "b/c.txt": "two", "b/µ.txt": "three"})


def filled(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in files}
    return {name: text for name, text in found.items() if not name.startswith(".")}


def test_what_was_sent_comes_back(place: Files, folder: Path, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    assert send(folder, place, tick=lambda *now: ticks.append(now)) == Copied(3, 11, 0)
    assert ticks[-1] == (11, 11)
    assert fetch(place, tmp_path / "new") == Copied(3, 11, 0)
    assert contents(tmp_path / "new") == contents(folder)


def test_only_what_differs_goes_over(place: Files, folder: Path, tmp_path: Path) -> None:
    send(folder, place)
    fetch(place, tmp_path / "new")
    (folder / "a.txt").write_text("ONE")
    assert send(folder, place) == Copied(1, 3, 2)
    assert fetch(place, tmp_path / "new") == Copied(1, 3, 2)
    assert contents(tmp_path / "new")["a.txt"] == "ONE"


def test_a_change_at_the_other_end_is_not_written_over(
    place: Files, folder: Path, tmp_path: Path
) -> None:
    send(folder, place)
    other = tmp_path / "other"
    fetch(place, other)
    (other / "a.txt").write_text("theirs")
    send(other, place)
    (folder / "a.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"a\.txt changed there since the last copy.*--force"):
        send(folder, place)
    with pytest.raises(StorageError, match=r"a\.txt is changed here since the last copy"):
        fetch(place, folder)
    assert contents(folder)["a.txt"] == "mine"
    fetch(place, folder, force=True)
    assert contents(folder)["a.txt"] == "theirs"


def test_another_folders_copy_is_not_written_over(
    place: Files, folder: Path, tmp_path: Path
) -> None:
    send(folder, place)
    stranger = filled(tmp_path / "stranger", {"a.txt": "another", "d.txt": "four"})
    with pytest.raises(StorageError, match="another folder's"):
        send(stranger, place)
    fetch(place, tmp_path / "new")
    assert contents(tmp_path / "new") == contents(folder)


def test_files_that_the_copy_lacks_are_not_lost(place: Files, folder: Path) -> None:
    send(folder, place)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt is not in the copy"):
        fetch(place, folder)
    assert contents(folder)["notes.txt"] == "mine"


def test_what_was_removed_at_one_end_goes_at_the_other(
    place: Files, folder: Path, tmp_path: Path
) -> None:
    send(folder, place)
    fetch(place, tmp_path / "new")
    (folder / "a.txt").unlink()
    send(folder, place)
    fetch(place, tmp_path / "new")
    assert contents(tmp_path / "new") == contents(folder)


def test_a_copy_of_an_earlier_version_has_no_checksum_of_its_index(
    folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    send(folder, open_files(str(place)))
    index = json.loads((place / INDEX).read_text())
    (place / INDEX).write_text(json.dumps({"files": index["files"]}))
    fetch(open_files(str(place)), tmp_path / "back")
    assert (tmp_path / "back/a.txt").read_bytes() == (folder / "a.txt").read_bytes()


def test_a_copy_without_its_index_is_unfinished(place: Files, folder: Path, tmp_path: Path) -> None:
    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(folder, place, tick=killed)
    with pytest.raises(StorageError, match="unfinished"):
        fetch(place, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    for name in contents(folder):
        (folder / name).write_text("grown")
    send(folder, place)
    fetch(place, tmp_path / "new")
    assert contents(tmp_path / "new") == contents(folder)


def test_a_fetch_that_was_cut_goes_on(place: Files, folder: Path, tmp_path: Path) -> None:
    send(folder, place)
    new = filled(tmp_path / "new", {"a.txt": "old"})

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(place, new, force=True, tick=killed)
    assert contents(new) == {"a.txt": "old"}
    assert fetch(place, new, force=True).equal >= 1
    assert contents(new) == contents(folder)


def test_a_growing_file_is_copied_as_it_was_when_it_was_opened(
    place: Files, folder: Path, tmp_path: Path
) -> None:
    journal = folder / "a.txt"

    class Growing(type(place)):  # type: ignore[misc]
        def put(self, name: str, source: object) -> None:
            if name == "a.txt":
                with journal.open("a") as file:
                    file.write("more")
            super().put(name, source)

    send(folder, Growing(*vars(place).values()))
    fetch(place, tmp_path / "new")
    assert contents(tmp_path / "new")["a.txt"] == "one"


def test_a_byte_flipped_on_the_way_is_noticed_and_sent_again(
    bucket: str, folder: Path, tmp_path: Path
) -> None:
    address = f"{bucket}/{tmp_path.name}"
    with damaging(times=1) as damaged:
        send(folder, open_files(address))
    assert damaged == [1]
    fetch(open_files(address), tmp_path / "new")
    assert contents(tmp_path / "new") == contents(folder)


def test_a_way_that_damages_each_time_is_refused(bucket: str, folder: Path, tmp_path: Path) -> None:
    address = f"{bucket}/{tmp_path.name}"
    with damaging(times=99), pytest.raises(StorageError, match="stored other bytes than were sent"):
        send(folder, open_files(address))
    with pytest.raises(StorageError, match="unfinished"):
        fetch(open_files(address), tmp_path / "new")


def test_a_lost_answer_is_asked_for_again(bucket: str, folder: Path, tmp_path: Path) -> None:
    address = f"{bucket}/{tmp_path.name}"
    with losing_answers() as writes:
        assert send(folder, open_files(address)) == Copied(3, 11, 0)
    assert len(writes) == 5  # three files, one of them twice, and the index


def test_a_large_file_goes_in_pieces(bucket: str, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "weights.pt").write_bytes(os.urandom(20 << 20))
    send(folder, open_files(f"{bucket}/{tmp_path.name}"))
    fetch(open_files(f"{bucket}/{tmp_path.name}"), tmp_path / "new")
    assert (tmp_path / "new/weights.pt").read_bytes() == (folder / "weights.pt").read_bytes()


def test_hidden_files_stay_where_they_are(place: Files, folder: Path, tmp_path: Path) -> None:
    (folder / ".lock").write_text("here")
    send(folder, place)
    fetch(place, tmp_path / "new")
    assert not (tmp_path / "new/.lock").exists()
    fetch(place, folder)
    assert (folder / ".lock").read_text() == "here"


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a/../../b", "a\\..\\b", "", "a//b", "."]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(
    name: str, folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    send(folder, open_files(str(place)))
    index = json.loads((place / INDEX).read_text())["files"]
    listed = {one: Stored(*stored) for one, stored in index.items()}
    (place / INDEX).write_text(index_text({**listed, name: listed["a.txt"]}))
    with pytest.raises(StorageError, match="expected a name of a file below a folder"):
        fetch(open_files(str(place)), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(StorageError):
        below(tmp_path, name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', '{"files": {"a": 1}}', "\0"])
def test_an_index_that_is_none_is_refused(text: str, folder: Path, tmp_path: Path) -> None:
    send(folder, open_files(str(tmp_path / "copy")))
    (tmp_path / "copy" / INDEX).write_text(text)
    with pytest.raises(StorageError, match="expected a list of files"):
        fetch(open_files(str(tmp_path / "copy")), tmp_path / "new")


def test_an_altered_copy_is_not_taken(folder: Path, tmp_path: Path) -> None:
    send(folder, open_files(str(tmp_path / "copy")))
    (tmp_path / "copy/a.txt").write_text("two")
    with pytest.raises(StorageError, match="expected the file that the copy's index lists"):
        fetch(open_files(str(tmp_path / "copy")), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_to_copy_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="expected files to copy, found none"):
        send(tmp_path / "nothing", open_files(str(tmp_path / "copy")))
