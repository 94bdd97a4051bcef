"""A driver is asked to leave its study, whenever it begins to listen."""

import queue
import threading
from pathlib import Path

import pytest

from tune.directory.handover import ask_for, watched
from tune.directory.lock import LOCK, DriverLock


def test_a_driver_that_has_just_begun_hears_of_it_too(tmp_path: Path) -> None:
    """The request comes between its lock and its looking for requests."""
    lock, written, heard = DriverLock(tmp_path / LOCK), threading.Event(), threading.Event()
    assert lock.acquire() is None
    asker = threading.Thread(target=ask_for, args=(tmp_path, "somebody", written.set))
    asker.start()
    assert written.wait(60)
    while not (tmp_path / ".hand-over").exists():
        asker.join(0.01)
    with watched(tmp_path, lambda who: heard.set()):
        in_time = heard.wait(60)
    lock.release()
    asker.join(60)
    assert in_time
    assert not asker.is_alive()


def test_a_driver_hears_too_that_nobody_asks_any_more(tmp_path: Path) -> None:
    lock, heard, over = DriverLock(tmp_path / LOCK), queue.SimpleQueue[str](), threading.Event()
    assert lock.acquire() is None

    def ask() -> None:
        with pytest.raises(KeyboardInterrupt):
            ask_for(tmp_path, "somebody", lambda: None, look)

    def look() -> None:
        if over.is_set():
            raise KeyboardInterrupt

    asker = threading.Thread(target=ask)
    asker.start()
    with watched(tmp_path, heard.put):
        assert heard.get(timeout=60) == "somebody"
        over.set()
        assert heard.get(timeout=60) == ""
    asker.join(60)
    lock.release()
