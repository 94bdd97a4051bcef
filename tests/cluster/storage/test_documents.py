import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

import cluster.storage.service
from cluster.errors import StorageError
from cluster.storage.documents import Change, Documents
from cluster.storage.opening import open_documents
from tests.support.places import ROOT
from tests.support.servers.bucket_server import BUCKET, answering, losing_answers

COUNTING = """
import sys
from cluster.storage.opening import open_documents
documents = open_documents(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    documents.update("a/count.json", lambda text: str(int(text or 0) + 1))
"""


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, and a place of its own in the bucket."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


@pytest.fixture
def documents(place: str) -> Documents:
    return open_documents(place)


def test_what_was_written_is_read_by_its_name_only(documents: Documents) -> None:
    documents.update("a/b.json", lambda text: "one")
    documents.update("a/c.json", lambda text: "µm")
    assert documents.names() == ["a/b.json", "a/c.json"]
    assert documents.read("a/b.json") == "one"
    assert documents.read("a/c.json") == "µm"
    assert documents.read("a/d.json") is None


def test_a_place_that_nobody_wrote_to_is_empty_and_stays_so(
    documents: Documents, tmp_path: Path
) -> None:
    assert documents.names() == []
    assert documents.read("a/b.json") is None
    assert list(tmp_path.iterdir()) == []


def test_a_change_is_made_of_the_text_that_is_there(documents: Documents) -> None:
    documents.update("n.json", lambda text: f"{text}1")
    documents.update("n.json", lambda text: f"{text}2")
    assert documents.read("n.json") == "None12"


def test_a_change_that_raises_changes_nothing(documents: Documents) -> None:
    def refuse(text: str | None) -> str:
        raise LookupError

    documents.update("n.json", lambda text: "kept")
    with pytest.raises(LookupError):
        documents.update("n.json", refuse)
    assert documents.read("n.json") == "kept"


def test_what_is_deleted_is_gone(documents: Documents) -> None:
    documents.update("n.json", lambda text: "one")
    assert documents.delete("n.json")
    assert not documents.delete("n.json")
    assert documents.names() == []


def test_two_places_in_one_bucket_do_not_see_each_other(bucket: str) -> None:
    one, other = open_documents(f"{bucket}/ab"), open_documents(f"{bucket}/a")
    one.update("n.json", lambda text: "one")
    assert other.names() == []
    assert other.read("n.json") is None


def test_two_processes_writing_at_once_lose_nothing(place: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTING, place],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert open_documents(place).read("a/count.json") == "20"


def test_a_reader_sees_the_old_text_or_the_new_one(place: str) -> None:
    old, new = "o" * 200_000, "n" * 200_000
    documents = open_documents(place)
    documents.update("n.json", lambda text: old)
    script = (
        "import sys; from cluster.storage.opening import open_documents\n"
        "documents = open_documents(sys.argv[1])\n"
        "for i in range(8): documents.update('n.json', lambda text: 'on'[i % 2] * 200_000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, place], cwd=ROOT) as writer:
        while writer.poll() is None:
            assert documents.read("n.json") in (old, new)
    assert writer.returncode == 0


def test_a_write_whose_answer_is_lost_is_not_made_again(bucket: str, tmp_path: Path) -> None:
    place = f"{bucket}/{tmp_path.name}"
    seen: list[str | None] = []

    def count(text: str | None) -> str:
        seen.append(text)
        return str(int(text or 0) + 1)

    open_documents(place).update("n.json", count)
    with losing_answers() as writes:
        open_documents(place).update("n.json", count)
    assert len(writes) == 2
    assert seen == [None, "1"]
    assert open_documents(place).read("n.json") == "2"


def test_anothers_equal_text_is_not_taken_for_ones_own(bucket: str, tmp_path: Path) -> None:
    place = f"{bucket}/{tmp_path.name}"
    hurried = False

    def count(text: str | None) -> str:
        nonlocal hurried
        if not hurried:
            hurried = True
            open_documents(place).update("n.json", count)
        return str(int(text or 0) + 1)

    open_documents(place).update("n.json", count)
    assert open_documents(place).read("n.json") == "2"


def test_a_lost_answer_after_which_another_wrote_is_a_change_of_anothers_text(
    bucket: str, tmp_path: Path
) -> None:
    place = f"{bucket}/{tmp_path.name}"
    others = open_documents(place)
    assert others.names() == []  # its line goes to the emulator itself

    def add(letter: str) -> Change:
        return lambda text: f"{text or ''}{letter}"

    with losing_answers(lambda: others.update("n.json", add("b"))):
        open_documents(place).update("n.json", add("a"))
    assert others.read("n.json") == "aba"


# --- what goes wrong


def test_bytes_that_are_no_text_can_be_told_and_replaced(documents: Documents, place: str) -> None:
    documents.update("n.json", lambda text: "ok\udcff")
    if not place.startswith("gs://"):
        assert (Path(place) / "n.json").read_bytes() == b"ok\xff"
    assert documents.read("n.json") == "ok\udcff"
    documents.update("n.json", lambda text: "good")
    assert documents.read("n.json") == "good"


@pytest.mark.parametrize("place", ["s3://bucket/x", "gs://", "gs:///x", ""])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(StorageError, match="gs://BUCKET/FOLDER"):
        open_documents(place)


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    documents = open_documents("gs://nowhere-at-all/x")
    for act in (
        documents.names,
        lambda: documents.read("n.json"),
        lambda: documents.delete("n.json"),
        lambda: documents.update("n.json", lambda text: "one"),
    ):
        with pytest.raises(StorageError, match="expected a bucket nowhere-at-all, found none"):
            act()


def test_a_bucket_with_an_impossible_name_is_refused(bucket: str) -> None:
    with pytest.raises(StorageError, match="gs://-no/x: Bucket names must start and end"):
        open_documents("gs://-no/x").names()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, "expected permission to read and write its objects, got 403 go away"),
        (401, "expected Google credentials, got none that work"),
        (400, "the service answered 400 go away"),
    ],
)
def test_what_cannot_pass_is_said_once_and_not_tried_again(status: int, says: str) -> None:
    with answering([status]) as asked:
        documents = open_documents(f"gs://{BUCKET}/x")
        with pytest.raises(StorageError, match=says) as error:
            documents.read("n.json")
        assert len(asked) == len(set(asked))
        assert "\n" not in str(error.value)


def test_what_may_pass_is_tried_again() -> None:
    with answering([503, 429, 200]) as asked:
        assert open_documents(f"gs://{BUCKET}/x").names() == []
        listings = [address for address in asked if "/o?" in address]  # the library asks for more
        assert listings == [listings[0]] * 3


def test_a_service_that_stays_away_is_told_of_and_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster.storage.service, "PATIENCE_S", 0.5)
    monkeypatch.setattr(cluster.storage.service, "QUIET_S", 0.0)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    said = f"gs://{BUCKET}/x: cannot be reached: connection refused"
    with pytest.raises(StorageError, match=f"^{said}$"):
        open_documents(f"gs://{BUCKET}/x").names()
    [waited] = caplog.messages
    assert waited.startswith(f"gs://{BUCKET}/x: no answer yet (connection refused); tried again")


def test_no_credentials_are_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StorageError, match=r"expected Google credentials.*gcloud auth"):
        open_documents(f"gs://{BUCKET}/x").names()


def test_credentials_are_asked_for_once_by_a_process_and_again_by_one_that_is_forked_off(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    client = storage.Client

    def counted(**options: Any) -> Any:
        made.append(os.getpid())
        return client(**options)

    monkeypatch.setattr(storage, "Client", counted)
    cluster.storage.service._client.cache_clear()
    for folder in ("a", "b", "b/c"):
        assert open_documents(f"{bucket}/{folder}").names() == []
    assert made == [os.getpid()]
    if not (child := os.fork()):
        open_documents(f"{bucket}/d").names()
        os._exit(len(made))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_only_files_are_texts(tmp_path: Path) -> None:
    documents = open_documents(str(tmp_path))
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "gone")
    documents.update("a.json", lambda text: "one")
    assert documents.names() == ["a.json"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    documents = open_documents(str(tmp_path / "file"))
    for act in (
        documents.names,
        lambda: documents.update("n.json", lambda text: "one"),
    ):
        with pytest.raises(StorageError, match=f"{tmp_path / 'file'}: expected a folder"):
            act()
    assert (tmp_path / "file").read_text() == "mine"
