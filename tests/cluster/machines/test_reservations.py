"""Trials on reserved units that come and go: none waits for a unit that is not there any more."""

from types import SimpleNamespace

import pytest

from cluster.machines import reservations
from cluster.machines.looking import Wish
from cluster.machines.reservations import Reservations
from cluster.machines.sharing import Claim


class FakeCluster:
    """What Ray would say of one node with GPUs, and of another study's claims."""

    def __init__(self, gpus: int) -> None:
        self.gpus, self.groups, self.others = gpus, dict[str, int](), dict[str, Claim]()
        self._made = 0
        self.waits = False

    def reserve(self, bundles: list[dict[str, int]], **details: object) -> SimpleNamespace:
        name, self._made = str(self._made), self._made + 1
        self.groups[name] = bundles[0]["GPU"]
        return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

    def remove(self, group: SimpleNamespace) -> None:
        self.groups.pop(group.id.hex(), None)

    def look(self, me: str, wish: Wish) -> object:
        held = sum(claim.held for claim in self.others.values())
        free = {"node": max(0, self.gpus - sum(self.groups.values()) * (not self.waits) - held)}
        nodes_of = dict.fromkeys(self.groups, "" if self.waits else "node")
        return SimpleNamespace(nodes_of=nodes_of, free=free, others=self.others)

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of Ray."""
        patch.setattr(reservations, "placement_group", self.reserve)
        patch.setattr(reservations, "remove", self.remove)
        patch.setattr(reservations, "look", self.look)
        patch.setattr(reservations, "placement_group_table", lambda group: {"state": "CREATED"})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster(gpus=2)
    made.stand_in(monkeypatch)
    return made


def test_the_last_trial_has_all_gpus_of_a_node_until_another_study_waits(
    cluster: FakeCluster,
) -> None:
    room = room_of(1)
    assert room.take("a") is not None
    room.update(1)
    assert [room.due(left) for left in (3, 2, 1)] == [1, 1, 2]
    assert room.roomy("a", 2)
    assert not room.roomy("a", 3)
    room.free("a")
    for _ in range(2):
        room.update(0, [2])
    assert list(cluster.groups.values()) == [2], "one reservation of two GPUs"
    assert room.take("b") is None, "a trial of one slot is not placed there"
    assert room.take("a", units=2) is not None
    room.update(0, [2])
    assert not room.leaves("a")
    cluster.others = {"other/1": Claim(0, 1)}
    room.update(0, [2])
    assert room.due(1) == 1
    room.update(2)
    assert room.leaves("a")
    room.free("a")
    cluster.others = {}
    for _ in range(2):
        room.update(2)
    assert set(cluster.groups.values()) == {1}


def test_gpus_that_are_not_given_in_time_are_not_waited_for(cluster: FakeCluster) -> None:
    room = room_of(0)
    cluster.waits = True
    asked = set()
    for _ in range(60):
        room.update(0, [2] if room.due(1) > 1 else [])
        asked.add(tuple(cluster.groups.values()))
    assert asked == {(2,), ()}
    assert cluster._made <= 3, "less and less often"
    cluster.waits = False
    for _ in range(60):
        room.update(0)
    assert room.due(1) == 2


def room_of(trials: int) -> Reservations:
    seconds = iter(range(1000))
    room = Reservations(Wish("study", share=0.5, cpus=1), lambda: float(next(seconds)))
    room.update(trials)
    room.update(trials)
    return room


def test_a_trial_grows_into_no_unit_that_was_given_back(cluster: FakeCluster) -> None:
    room = room_of(3)
    taken = {trial: room.take(trial) for trial in ("a", "b", "c")}
    alone = next(t for t, unit in taken.items() if list(taken.values()).count(unit) == 1)
    left = [trial for trial in taken if trial != alone]
    room.free(alone)
    cluster.others = {"other/1": Claim(0, 1)}
    room.update(2)
    assert len(cluster.groups) == 1
    assert room.grow(left[0], 2) == 1
    assert room._placement.placed[left[0]] in room._units


def test_a_unit_that_other_studies_wait_for_is_not_kept_for_a_trial_that_cannot_return(
    cluster: FakeCluster,
) -> None:
    room = room_of(2)
    assert room.take("a") != room.take("b")
    assert room.grow("a", 2) == 2
    room.free("a", keep=True)
    cluster.others = {"other/1": Claim(0, 2)}
    room.update(3)
    room.update(3)
    assert len(cluster.groups) == 1, "it was given back"
    assert not room._placement.kept
