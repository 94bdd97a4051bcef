"""What measuring a training costs, without what reading its images costs."""

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="needs torch")

from trainables.loop.instances import TimedItems


def _slow(n: int) -> Iterator[int]:
    for i in range(n):
        time.sleep(0.05)
        yield i


def test_the_time_that_a_reader_takes_is_counted_and_no_other() -> None:
    reading = TimedItems(_slow(3))
    found = []
    start = time.perf_counter()
    for i in reading:
        time.sleep(0.1)
        found.append(i)
    seconds = time.perf_counter() - start
    assert found == [0, 1, 2]
    assert 0.15 <= reading.seconds <= seconds - 0.3


def test_what_goes_wrong_in_the_reader_is_heard_of() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("no such picture")

    reading = TimedItems(broken())
    with pytest.raises(OSError, match="no such picture"):
        list(reading)
