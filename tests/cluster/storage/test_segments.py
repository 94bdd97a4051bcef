"""A log as segments: in the order of terms, each made once, and what a fenced writer adds passed
over."""

import gzip
from pathlib import Path

import pytest

from cluster.errors import MissingError, StorageError, TakenError
from cluster.storage.files import bytes_at, head_of
from cluster.storage.opening import open_objects
from cluster.storage.segments import Name, Segment, read_segments, segment_names, write_segment
from tests.support.servers.bucket_server import damaging, losing_answers


def segment(name: str, after: str = "", word: str = "") -> Segment:
    def named(text: str) -> Name | None:
        term, _, number = text.partition("-")
        return Name(int(term), int(number)) if text else None

    made = named(name)
    assert made is not None
    return Segment(made, named(after), [{"word": word or name}])


def words(address: str, base: str = "") -> list[str]:
    return [str(one.records[0]["word"]) for one in read_segments(open_objects(address), base)]


def test_segments_come_back_in_the_order_of_their_terms(address: str) -> None:
    place = open_objects(address)
    assert read_segments(place) == []
    for one in (segment("1-1"), segment("1-2", "1-1"), segment("2-1", "1-2")):
        write_segment(place, one)
    assert words(address) == ["1-1", "1-2", "2-1"]
    assert words(address, str(Name(1, 2))) == ["1-2", "2-1"]


def test_what_an_older_term_wrote_after_a_newer_began_is_passed_over(address: str) -> None:
    place = open_objects(address)
    for one in (segment("1-1"), segment("1-2", "1-1"), segment("2-1", "1-2")):
        write_segment(place, one)
    write_segment(place, segment("1-3", "1-2", "a sleeper's"))
    write_segment(place, segment("2-2", "2-1"))
    write_segment(place, segment("3-1", "2-2"))
    write_segment(place, segment("2-3", "2-2", "another's"))
    assert words(address) == ["1-1", "1-2", "2-1", "2-2", "3-1"]


def test_a_term_that_read_before_an_older_one_wrote_passes_it_over(address: str) -> None:
    place = open_objects(address)
    write_segment(place, segment("2-1"))
    write_segment(place, segment("1-1", word="late"))
    assert words(address) == ["2-1"]


def test_a_segment_is_made_once_and_its_lost_answer_is_no_second(address: str) -> None:
    place = open_objects(address)
    write_segment(place, segment("1-1"))
    write_segment(place, segment("1-1"))
    with pytest.raises(TakenError, match="another process writes here"):
        write_segment(place, segment("1-1", word="another"))
    assert words(address) == ["1-1"]


def test_an_answer_that_is_lost_on_the_way_makes_one_segment(bucket: str, tmp_path: Path) -> None:
    with losing_answers() as writes:
        write_segment(open_objects(f"{bucket}/{tmp_path.name}"), segment("1-1"))
    assert len(writes) == 2
    assert words(f"{bucket}/{tmp_path.name}") == ["1-1"]


def test_a_byte_that_flips_on_the_way_leaves_no_damaged_segment(
    bucket: str, tmp_path: Path
) -> None:
    address = f"{bucket}/{tmp_path.name}"
    with damaging(times=1) as damaged:
        write_segment(open_objects(address), segment("1-1"))
    assert damaged == [1]
    assert words(address) == ["1-1"]
    with damaging(times=99), pytest.raises(StorageError, match="stored other bytes"):
        write_segment(open_objects(address), segment("1-2", "1-1"))
    assert words(address) == ["1-1"]


def test_a_missing_segment_is_named(address: str) -> None:
    place = open_objects(address)
    for one in (segment("1-1"), segment("1-2", "1-1"), segment("1-3", "1-2")):
        write_segment(place, one)
    place.remove(Name(1, 2).file)
    place.remove(Name(1, 2).file)
    with pytest.raises(StorageError, match=r"000001-000003.*a segment is missing"):
        read_segments(place)
    with pytest.raises(StorageError, match=r"expected the segment to begin with, found none"):
        read_segments(place, str(Name(1, 9)))
    with pytest.raises(MissingError):
        bytes_at(place, Name(1, 2).file)


def test_segments_that_were_just_put_together_are_read_again(address: str) -> None:
    """A reader has the lease of before, and the first segments are gone: not damaged, but newer."""
    place = open_objects(address)
    for one in (segment("1-2", "1-1"), segment("1-3", "1-2")):
        write_segment(place, one)
    with pytest.raises(MissingError, match="a segment is missing"):
        read_segments(place)
    with pytest.raises(MissingError, match="a segment is missing"):
        read_segments(place, str(Name(1, 1)))


def damaged_contents() -> dict[str, bytes]:
    whole = segment("1-1").content()
    text = gzip.decompress(whole)
    return {
        "cut": whole[:-3],
        "flipped": whole[:30] + bytes([whole[30] ^ 1]) + whole[31:],
        "empty": b"",
        "no archive": b"words",
        "another's": segment("1-2").content(),
        "changed and packed again": gzip.compress(text.replace(b'1-1"}', b'9-9"}')),
        "no header": gzip.compress(b"\n"),
        "a list": gzip.compress(b"[]\n"),
        "something after it": whole + b"more",
    }


@pytest.mark.parametrize("how", damaged_contents())
def test_a_damaged_segment_is_named_and_not_read(how: str, tmp_path: Path) -> None:
    file = tmp_path / Name(1, 1).file
    file.parent.mkdir()
    file.write_bytes(damaged_contents()[how])
    with pytest.raises(StorageError, match=r"000001-000001.*expected a segment as its driver"):
        words(str(tmp_path))


def test_what_is_no_segment_among_them_is_named(tmp_path: Path) -> None:
    with head_of(b"notes") as source:
        open_objects(str(tmp_path)).create("journal/notes.txt", source)
    with pytest.raises(StorageError, match=r"notes\.txt: expected TERM-NUMBER"):
        segment_names(open_objects(str(tmp_path)))
