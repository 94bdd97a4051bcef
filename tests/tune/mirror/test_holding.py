"""The lease of a mirror while a study runs: when its driver may decide, and when trials pause."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.errors import StorageError
from cluster.storage.documents import Change, Documents
from cluster.storage.folder import FolderDocuments
from cluster.storage.lease import Lease, Taker, read_lease
from tune.mirror.holding import Hold, Holding

WAIT_S = 30.0


@dataclass
class Away:
    """Documents that can be out of reach."""

    there: FolderDocuments
    away: bool = False
    asked: int = 0

    @property
    def place(self) -> str:
        return self.there.place

    def names(self) -> list[str]:
        return self.there.names()

    def read(self, name: str) -> str | None:
        self._ask()
        return self.there.read(name)

    def update(self, name: str, change: Change) -> None:
        self._ask()
        self.there.update(name, change)

    def delete(self, name: str) -> bool:
        return self.there.delete(name)

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StorageError("the service answered 503")


@dataclass
class Driver:
    """A driver that holds a lease of 3 s, and goes on alone for a minute of `clock`."""

    place: Away
    now: float = 0.0
    holding: Holding = field(init=False)

    def __post_init__(self) -> None:
        taker = Taker(self.place, "a", "process a", 3.0)
        self.holding = Holding(taker, taker.take(), 60.0, lambda: self.now)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(Away(FolderDocuments(tmp_path)))
    yield made
    made.holding.end(give_back=False)


def soon(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def other(documents: Documents, ahead_s: float = 0.0) -> Taker:
    """Another driver; where its clock is an hour ahead, it takes the lease at once."""
    return Taker(documents, "b", "process b", 3.0, lambda: time.time() + ahead_s)


def test_a_lease_is_renewed_and_the_study_goes_on(driver: Driver) -> None:
    until = driver.holding.lease.until
    soon(lambda: driver.holding.lease.until > until)
    assert driver.holding.hold() is None


def test_who_asks_for_it_has_the_trials_pause(driver: Driver) -> None:
    asked: list[Lease] = []
    taking = threading.Thread(target=other(driver.place).take, args=(asked.append,), daemon=True)
    taking.start()
    soon(lambda: driver.holding.hold() is not None)
    hold = driver.holding.hold()
    assert hold == Hold("moved", "process b goes on with it")
    assert hold.decides
    driver.holding.end(give_back=True)
    taking.join(WAIT_S)
    now = read_lease(driver.place.there)
    assert now is not None
    assert (now.term, now.who) == (2, "process b")


def test_who_asks_no_more_has_the_trials_go_on(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    over = threading.Event()

    def ask(lease: Lease) -> None:
        del lease
        if over.is_set():
            raise KeyboardInterrupt

    def take() -> None:
        with pytest.raises(KeyboardInterrupt):
            other(driver.place).take(ask)

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    soon(lambda: driver.holding.hold() is not None)
    over.set()
    taking.join(WAIT_S)
    soon(lambda: driver.holding.hold() is None)
    soon(lambda: "nobody asks for the study any more" in caplog.text)


def test_a_driver_that_slept_asks_before_it_decides(driver: Driver) -> None:
    """Its thread has not run since it slept, either: it decides nothing before that has asked."""
    other(driver.place.there, 3600).take()
    driver.now += 3600
    hold = driver.holding.hold()
    assert hold is not None
    assert not hold.decides
    assert "process b has taken over (term 2)" in hold.message
    asked = driver.place.asked
    time.sleep(0.5)
    assert driver.place.asked == asked, "a fenced driver asks no more"


def test_without_its_place_it_goes_on_for_its_time_and_then_pauses(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.place.away = True
    soon(lambda: "goes on here for 1 minutes" in caplog.text)
    driver.now += 50
    assert driver.holding.hold() is None
    driver.now += 20
    hold = driver.holding.hold()
    assert hold is not None
    assert (hold.why, hold.decides) == ("away", True)
    assert "the service answered 503" in hold.message


def test_when_its_place_is_back_it_goes_on_as_if_nothing_had_been(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.place.away = True
    soon(lambda: "goes on here" in caplog.text)
    driver.now += 50
    driver.place.away = False
    soon(lambda: "can be written again" in caplog.text)
    driver.now += 50
    assert driver.holding.hold() is None
