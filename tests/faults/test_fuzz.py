"""What is damaged in any way is refused in one message, or read as it was: never as something else.

Every file of our own that says how a study stands: its journal, a mirror's segments, lease and
records, the list of a copy.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage.copying import INDEX, fetch, send
from cluster.storage.lease import Lease, parse_lease
from cluster.storage.opening import open_files
from cluster.storage.segments import Name, Segment, parse_segment
from tests.support.rehearsed_study import rehearse
from trainables.files.errors import UserError
from tune.directory.diary import Diary
from tune.directory.journal import Lines
from tune.mirror.diaries import parse_diary
from tune.mirror.records import Content, add_up, appended, filled, gone, written

SEGMENT = Segment(
    Name(3, 7),
    Name(3, 6),
    [appended("optuna.journal", 0, b"line\n"), written("study.yaml", b"study: s\n")],
)

LEASE = Lease(4, "holder", "process 1 on a machine", 1234.5, 30.0, "000002-000001")


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Ways to damage some bytes: flips, cuts, insertions, repetitions, another content."""
    how = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "replace", "swap"]))
    place, length = draw(st.integers(0, 10_000)), draw(st.integers(1, 64))
    new = draw(st.binary(max_size=40))

    def damage(whole: bytes) -> bytes:
        at = place % max(1, len(whole))
        end = at + length
        if how == "flip":
            return whole[:at] + bytes([whole[at] ^ (1 + length % 255)]) + whole[at + 1 :]
        if how == "cut":
            return whole[:at] + whole[end:]
        if how == "insert":
            return whole[:at] + new + whole[at:]
        if how == "repeat":
            return whole[:end] + whole[at:]
        if how == "swap":
            return whole[end:] + whole[:end]
        return new

    return damage


def read(parse: Callable[[], Any]) -> Any:
    """What is read, or None where it is refused, in one message without a traceback."""
    try:
        return parse()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert "expected" in said
    return None


@given(damages())
def test_a_damaged_segment(damage: Callable[[bytes], bytes]) -> None:
    content = damage(SEGMENT.content())
    found = read(lambda: parse_segment(content, SEGMENT.name, "here"))
    assert found is None or found == SEGMENT


@given(damages())
def test_a_damaged_lease(damage: Callable[[bytes], bytes]) -> None:
    text = damage(LEASE.text().encode()).decode(errors="surrogateescape")
    found = read(lambda: parse_lease(text, "here"))
    assert found is None or found == LEASE


@given(damages())
def test_a_damaged_diary(damage: Callable[[bytes], bytes]) -> None:
    diary = Diary().changed("a note with a \u00b5", tags=["paper"])
    content = damage(json.dumps(diary.model_dump(mode="json"), indent=1).encode())
    found = read(lambda: parse_diary(content.decode(errors="surrogateescape"), "here"))
    if found is not None:
        assert Diary.model_validate(json.loads(json.dumps(found.model_dump(mode="json")))) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["append", "write", "folder", "gone", "at", "text", "files", "object"])
NAMES = st.sampled_from(["a", "../a", "/a", "a/../b", ".hidden", "a\\b", "trials/0/best"])


@given(st.lists(st.dictionaries(KEYS, JSON | NAMES, max_size=4), max_size=3))
def test_records_that_no_driver_wrote(records: list[dict[str, Any]]) -> None:
    found = read(lambda: add_up([Segment(Name(1, 1), None, records)], "here"))
    if found is not None:
        for name in (*found.files, *found.folders):
            assert name in ("a", "trials/0/best") or not {"..", ""} & set(name.split("/")), name


@given(damages())
def test_a_damaged_list_of_a_copy(damage: Callable[[bytes], bytes]) -> None:
    folder, copy, to = COPY
    (copy / INDEX).write_bytes(damage(WHOLE_INDEX))
    came = read(lambda: fetch(open_files(str(copy)), to, force=True))
    if came is not None:
        assert {p.name: p.read_bytes() for p in to.iterdir() if not p.name.startswith(".")} == {
            p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")
        }


@given(damages())
def test_a_damaged_journal(damage: Callable[[bytes], bytes]) -> None:
    path, whole, lines = JOURNAL
    path.write_bytes(damage(whole))
    found = read(lambda: [line for line in Lines(path).more() if line is not None])
    if found is not None:
        assert found == lines[: len(found)], "a journal that ends early is an earlier moment"


COPY: tuple[Path, Path, Path]
JOURNAL: tuple[Path, bytes, list[dict[str, Any]]]
WHOLE_INDEX: bytes


@pytest.fixture(scope="module", autouse=True)
def _made(tmp_path_factory: pytest.TempPathFactory) -> None:
    global COPY, JOURNAL, WHOLE_INDEX  # noqa: PLW0603  hypothesis takes no fixture of a module
    root = tmp_path_factory.mktemp("fuzz")
    folder = root / "folder"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    send(folder, open_files(str(root / "copy")))
    COPY = folder, root / "copy", root / "to"
    WHOLE_INDEX = (root / "copy" / INDEX).read_bytes()
    study = rehearse(root / "study", budget={"trials": 1, "epochs": 3})
    path = study.path / "optuna.journal"
    whole = path.read_bytes()
    JOURNAL = path, whole, [json.loads(line) for line in whole.splitlines()]


def test_records_read_as_they_were_written() -> None:
    content = Content(None, "data/1", 5, "crc")
    files = {"model.pt": content, "history.json": Content(b"[]"), "x.bin": Content(b"\xff\x00")}
    records = [
        appended("a.log", 0, b"one\xff"),
        appended("a.log", 4, b"two"),
        written("b", b"whole"),
        filled("trials/0/best", files),
        written("c", b""),
        gone("c"),
    ]
    parsed = parse_segment(Segment(Name(1, 1), None, records).content(), Name(1, 1), "here")
    found = add_up([parsed], "here")
    assert found.files == {"a.log": b"one\xfftwo", "b": b"whole"}
    assert found.folders == {"trials/0/best": files}
    assert list(found.objects()) == ["data/1"]
