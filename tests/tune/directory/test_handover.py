"""A driver is asked to leave its study, whenever it begins to listen."""

import threading
from pathlib import Path

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
        in_time = heard.wait(20)
    lock.release()
    asker.join(60)
    assert in_time
    assert not asker.is_alive()
