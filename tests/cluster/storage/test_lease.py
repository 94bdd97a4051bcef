"""The lease of a place: one holder, terms that rise, and no clock that decides what counts."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cluster.errors import LeaseError, StorageError
from cluster.storage.documents import Documents
from cluster.storage.files import crc32c
from cluster.storage.lease import LEASE, Lease, Taker, parse_lease, read_lease
from cluster.storage.opening import open_documents
from tests.support.servers.bucket_server import losing_answers


@dataclass
class World:
    """Time, and what happens while somebody waits."""

    now: float = 1000.0
    meanwhile: list[object] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for act in self.meanwhile:
            act()  # type: ignore[operator]

    def taker(self, place: Documents, name: str) -> Taker:
        return Taker(place, name, f"process {name}", 8.0, self.clock, self.wait)


@pytest.fixture
def world() -> World:
    return World()


def test_a_lease_is_taken_renewed_and_given_back(address: str, world: World) -> None:
    place = open_documents(address)
    assert read_lease(place) is None
    first = world.taker(place, "a")
    lease = first.take()
    assert (lease.term, lease.who, lease.until) == (1, "process a", 1008.0)
    world.now += 5
    assert first.renew(lease, base="000001-000007").until == 1013.0
    first.give_back(lease)
    second = world.taker(place, "b").take()
    assert (second.term, second.base, world.now) == (2, "000001-000007", 1005.0)


def test_a_lease_that_is_renewed_is_refused(address: str, world: World) -> None:
    place = open_documents(address)
    first = world.taker(place, "a")
    lease = first.take()
    world.meanwhile.append(lambda: first.renew(lease))
    with pytest.raises(LeaseError, match=r"process a is running this study \(term 1\)"):
        world.taker(place, "b").take()


def test_one_that_is_not_renewed_for_its_length_is_taken_and_the_older_fenced(
    address: str, world: World
) -> None:
    place = open_documents(address)
    first = world.taker(place, "a")
    lease = first.take()
    second = world.taker(place, "b").take()
    assert (second.term, world.now) == (2, 1008.0)
    for act in (lambda: first.renew(lease), lambda: first.give_back(lease)):
        with pytest.raises(LeaseError, match=r"process b has taken over \(term 2\)"):
            act()
    assert read_lease(place) == second


def test_a_clock_that_jumped_takes_nothing_from_a_holder_that_renews(
    address: str, world: World
) -> None:
    """The holder's clock is 200 s behind: its lease seems to have ended, but is kept."""
    place = open_documents(address)
    behind = World(now=world.now - 200)
    first = behind.taker(place, "a")
    lease = first.take()

    def renew() -> None:
        behind.now += 1
        first.renew(lease)

    world.meanwhile.append(renew)
    with pytest.raises(LeaseError, match="process a is running"):
        world.taker(place, "b").take()


def test_a_lease_that_ended_long_ago_is_taken_at_once(address: str, world: World) -> None:
    place = open_documents(address)
    world.taker(place, "a").take()
    world.now += 3600
    assert world.taker(place, "b").take().term == 2
    assert world.now == 4600.0


def test_a_holder_hears_who_asks_and_is_waited_for(address: str, world: World) -> None:
    place = open_documents(address)
    first = world.taker(place, "a")
    lease = first.take()
    asked: list[str] = []
    epochs = iter(range(20))

    def train() -> None:
        now = first.renew(lease)
        asked.append(now.wanted)
        if next(epochs) == 12:  # its trials have come to the end of their epochs
            first.give_back(lease)
            world.meanwhile.clear()

    world.meanwhile.append(train)
    told: list[Lease] = []
    taken = world.taker(place, "b").take(told.append)
    assert (taken.term, taken.wanted) == (2, "")
    assert set(asked) == {"process b"}
    assert {lease.who for lease in told} == {"process a"}


def test_a_place_that_is_moved_while_somebody_waits_for_it_is_not_taken(
    address: str, world: World
) -> None:
    place = open_documents(address)
    first, mover = world.taker(place, "a"), world.taker(place, "m")
    lease = first.take()

    def move() -> None:
        world.meanwhile.clear()
        first.give_back(lease)
        mover.give_back(mover.take(), moved="gs://bucket/elsewhere")

    world.meanwhile.append(move)
    with pytest.raises(LeaseError, match="moved to gs://bucket/elsewhere"):
        world.taker(place, "b").take()
    now = read_lease(place)
    assert now is not None
    assert now.moved == "gs://bucket/elsewhere"


def test_of_two_that_take_at_once_one_has_it(address: str, world: World) -> None:
    place = open_documents(address)
    world.taker(place, "a").take()
    hurried = World(now=world.now + 3600).taker(place, "b")
    won: list[Lease] = []

    def take() -> None:
        if world.now == 1008.0 and not won:
            won.append(hurried.take())

    world.meanwhile.append(take)
    with pytest.raises(LeaseError, match="process b is running"):
        world.taker(place, "c").take()
    assert [lease.term for lease in won] == [2]


def test_a_lost_answer_takes_the_lease_once(bucket: str, tmp_path: Path, world: World) -> None:
    with losing_answers() as writes:
        place = open_documents(f"{bucket}/{tmp_path.name}")
        assert world.taker(place, "a").take().term == 1
    assert len(writes) == 2
    written = read_lease(open_documents(f"{bucket}/{tmp_path.name}"))
    assert written is not None
    assert written.holder == "a"


def test_who_waits_no_more_takes_the_asking_back(address: str, world: World) -> None:
    place = open_documents(address)
    first = world.taker(place, "a")
    lease = first.take()
    asked: list[str] = []

    def train() -> None:
        asked.append(first.renew(lease).wanted)
        if len(asked) == 3:
            raise KeyboardInterrupt

    world.meanwhile.append(train)
    with pytest.raises(KeyboardInterrupt):
        world.taker(place, "b").take(lambda lease: None)
    assert asked == ["process b"] * 3
    now = read_lease(place)
    assert now is not None
    assert (now.holder, now.wanted) == ("a", "")


def test_a_take_over_is_told_from_a_lease_that_was_given_back(address: str, world: World) -> None:
    place = open_documents(address)
    first, second = world.taker(place, "a"), world.taker(place, "b")
    first.give_back(first.take())
    assert second.take().takeover == 0
    third = world.taker(place, "c").take()  # from one that may only be asleep
    assert (third.term, third.takeover) == (3, 3)
    world.taker(place, "c").give_back(third)
    assert first.take().takeover == 3


def test_a_lease_is_given_back_though_the_answer_was_lost_and_the_next_one_has_it(
    bucket: str, tmp_path: Path, world: World
) -> None:
    address = f"{bucket}/{tmp_path.name}"
    lease = world.taker(open_documents(address), "a").take()
    taken: list[Lease] = []

    def take() -> None:
        taken.append(world.taker(there, "b").take())

    there = open_documents(address)
    assert read_lease(there) == lease  # its client knows the way past the line that loses answers
    with losing_answers(take) as writes:
        world.taker(open_documents(address), "a").give_back(lease)
    assert len(writes) == 2
    assert [(one.term, one.takeover) for one in taken] == [(2, 0)]
    assert read_lease(open_documents(address)) == taken[0]


def test_a_lease_of_an_earlier_version_is_read() -> None:
    said = json.loads(GOOD.text())
    for key in ("takeover", "crc32c"):
        del said[key]
    said["crc32c"] = crc32c(iter([json.dumps(said, sort_keys=True).encode()]))
    assert parse_lease(json.dumps(said), "here") == GOOD


GOOD = Lease(3, "x", "process x", 12.5, 8.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\0",
        "[" * 100_000,
        replace(GOOD, term=0).text(),
        replace(GOOD, term=True).text(),
        replace(GOOD, seconds=0).text(),
        replace(GOOD, seconds=float("nan")).text(),
        replace(GOOD, seconds=1e9).text(),
        GOOD.text().replace('"process x"', "7"),
        GOOD.text().replace('"term": 3', '"term": 2'),
        GOOD.text().replace('"base"', '"bass"'),
    ],
)
def test_what_is_no_lease_is_refused_and_left(text: str, tmp_path: Path, world: World) -> None:
    (tmp_path / LEASE).write_text(text)
    with pytest.raises(StorageError, match="expected a lease"):
        world.taker(open_documents(str(tmp_path)), "a").take()
    assert (tmp_path / LEASE).read_text() == text


def test_a_lease_reads_as_it_was_written() -> None:
    assert parse_lease(GOOD.text(), "here") == GOOD
