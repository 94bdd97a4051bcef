"""Trials on reserved units that come and go: none waits for a unit that is not there any more."""

from types import SimpleNamespace

import pytest

from cluster.machines import reservations
from cluster.machines.nodes import Node, Nodes
from cluster.machines.reservations import Reservations, Wish
from cluster.machines.sharing import Claim


class _Cluster:
    """What Ray would say of nodes with GPUs, and of another study's claims."""

    def __init__(self, gpus: int) -> None:
        self.gpus, self.groups, self.others = gpus, dict[str, str](), dict[str, Claim]()
        self.nodes, self.notices, self.made = ["node"], dict[str, float](), 0

    def living(self, labels: object) -> dict[str, Node]:
        return {name: Node(8, self.gpus) for name in self.nodes}

    def reserve(self, *args: object, **details: object) -> SimpleNamespace:
        name, self.made = f"{self.made}", self.made + 1
        self.groups[name] = next((node for node in self.nodes if node not in self.notices), "")
        return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

    def remove(self, group: SimpleNamespace) -> None:
        self.groups.pop(group.id.hex(), None)

    def look(self, me: str, wish: Wish, nodes: dict[str, Node]) -> object:
        held = sum(claim.held for claim in self.others.values())
        on = list(self.groups.values())
        free = {name: max(0, self.gpus - on.count(name) - held) for name in nodes}
        return SimpleNamespace(nodes_of=dict(self.groups), free=free, others=self.others)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> _Cluster:
    made = _Cluster(gpus=2)
    monkeypatch.setattr(reservations, "placement_group", made.reserve)
    monkeypatch.setattr(reservations, "remove", made.remove)
    monkeypatch.setattr(reservations, "_look", made.look)
    monkeypatch.setattr(reservations, "placement_group_table", lambda group: {"state": "CREATED"})
    return made


def room_of(cluster: _Cluster, trials: int) -> Reservations:
    seconds, wish = iter(range(1000)), Wish("study", share=0.5, cpus=1)
    nodes = Nodes({}, wish.fits, cluster.living, lambda: cluster.notices)
    room = Reservations(wish, nodes, lambda: float(next(seconds)))
    room.update(trials)
    room.update(trials)
    return room


def test_a_trial_grows_into_no_unit_that_was_given_back(cluster: _Cluster) -> None:
    room = room_of(cluster, 3)
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
    room = room_of(cluster, 2)
    assert room.take("a") != room.take("b")
    assert room.grow("a", 2) == 2
    room.free("a", keep=True)
    cluster.others = {"other/1": Claim(0, 2)}
    room.update(3)
    room.update(3)
    assert len(cluster.groups) == 1, "it was given back"
    assert not room._placement.kept


def test_units_of_a_node_that_is_drained_are_asked_for_elsewhere_and_given_back(
    cluster: _Cluster,
) -> None:
    room = room_of(cluster, 4)
    for trial in ("a", "b"):
        room.take(trial)
    cluster.notices = {"node": 0.0}
    cluster.nodes.append("other")
    room.update(4)
    assert room.leaves("a")
    assert room.leaves("b")
    room.free("a")
    room.update(4)
    room.update(4)
    unit = room.take("a")
    assert unit is not None
    assert room._units[unit].node == "other"
    assert not room.leaves("a")
    assert list(cluster.groups.values()) == ["node", "other", "other"], "b has not left"
    cluster.groups = {k: node for k, node in cluster.groups.items() if node == "other"}
    cluster.nodes, cluster.notices = ["other"], {}
    room.update(4)
    assert len(room._units) == 2, "what went with the node was asked for before"


def test_a_trial_gets_no_more_of_a_unit_in_which_it_could_not_begin_again(
    cluster: _Cluster,
) -> None:
    room = room_of(cluster, 1)
    room.take("a")
    cluster.notices = {"node": 0.0}
    room.update(1)
    assert not room.leaves("a"), "there is no other node"
    assert room.grow("a", 2) == 1
