"""Trials on reserved units that come and go: none waits for a unit that is not there any more."""

from types import SimpleNamespace

import pytest

from cluster.machines import reservations
from cluster.machines.looking import Wish
from cluster.machines.reservations import Reservations
from cluster.machines.sharing import Claim


class _Cluster:
    """What Ray would say of one node with GPUs, and of another study's claims."""

    def __init__(self, gpus: int) -> None:
        self.gpus, self.groups, self.others = gpus, dict[str, int](), dict[str, Claim]()
        self._made = 0

    def reserve(self, bundles: list[dict[str, int]], **details: object) -> SimpleNamespace:
        name, self._made = str(self._made), self._made + 1
        self.groups[name] = bundles[0]["GPU"]
        return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

    def remove(self, group: SimpleNamespace) -> None:
        del self.groups[group.id.hex()]

    def look(self, me: str, wish: Wish) -> object:
        held = sum(claim.held for claim in self.others.values())
        free = {"node": max(0, self.gpus - sum(self.groups.values()) - held)}
        nodes_of = dict.fromkeys(self.groups, "node")
        return SimpleNamespace(nodes_of=nodes_of, free=free, others=self.others)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> _Cluster:
    made = _Cluster(gpus=2)
    monkeypatch.setattr(reservations, "placement_group", made.reserve)
    monkeypatch.setattr(reservations, "remove", made.remove)
    monkeypatch.setattr(reservations, "look", made.look)
    monkeypatch.setattr(reservations, "placement_group_table", lambda group: {"state": "CREATED"})
    return made


def room_of(trials: int) -> Reservations:
    seconds = iter(range(1000))
    room = Reservations(Wish("study", share=0.5, cpus=1), lambda: float(next(seconds)))
    room.update(trials)
    room.update(trials)
    return room


def test_a_trial_grows_into_no_unit_that_was_given_back(cluster: _Cluster) -> None:
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
    cluster: _Cluster,
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
