"""Trials on reserved units that come and go: none waits for a unit that is not there any more."""

from collections import Counter
from types import SimpleNamespace

import pytest

from cluster.machines import reservations
from cluster.machines.looking import Wish
from cluster.machines.nodes import Node, Nodes
from cluster.machines.reservations import Reservations
from cluster.machines.sharing import Claim


class FakeCluster:
    """What Ray would say of nodes with GPUs, and of another study's claims."""

    def __init__(self, gpus: int) -> None:
        self.gpus, self.others = gpus, dict[str, Claim]()
        self.sizes, self.on = dict[str, int](), dict[str, str]()
        self.nodes, self.notices, self.made = ["node"], dict[str, float](), 0
        self.waits, self.waiting = False, set[str]()

    def living(self, labels: object) -> dict[str, Node]:
        return {name: Node(8, self.gpus) for name in self.nodes}

    def reserve(self, bundles: list[dict[str, int]], **details: object) -> SimpleNamespace:
        name, self.made = f"{self.made}", self.made + 1
        self.sizes[name] = bundles[0]["GPU"]
        if self.waits:
            self.waiting.add(name)
        self.on[name] = next((node for node in self.nodes if node not in self.notices), "")
        return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

    def remove(self, group: SimpleNamespace) -> None:
        self.sizes.pop(group.id.hex(), None)
        self.on.pop(group.id.hex(), None)

    def end(self, node: str) -> None:
        """Have a node and what is reserved there go away."""
        self.nodes.remove(node)
        self.notices.pop(node, None)
        for name in [name for name, at in self.on.items() if at == node]:
            del self.on[name], self.sizes[name]

    def look(self, me: str, wish: Wish, nodes: dict[str, Node]) -> object:
        held = sum(claim.held for claim in self.others.values())
        taken = Counter[str]()
        for name, node in self.on.items():
            taken[node] += self.sizes[name] * (name not in self.waiting)
        free = {name: max(0, self.gpus - taken[name] - held) for name in nodes}
        nodes_of = {
            name: node if name not in self.waiting else "" for name, node in self.on.items()
        }
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
    room = room_of(cluster, 1)
    assert room.take("a") is not None
    room.update(1)
    assert [room.due(left) for left in (3, 2, 1)] == [1, 1, 2]
    assert room.roomy("a", 2)
    assert not room.roomy("a", 3)
    room.free("a")
    for _ in range(2):
        room.update(0, [2])
    assert list(cluster.sizes.values()) == [2], "one reservation of two GPUs"
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
    assert set(cluster.sizes.values()) == {1}


def test_gpus_that_are_not_given_in_time_are_not_waited_for(cluster: FakeCluster) -> None:
    room = room_of(cluster, 0)
    cluster.waits = True
    asked = set()
    for _ in range(60):
        room.update(0, [2] if room.due(1) > 1 else [])
        asked.add(tuple(cluster.sizes.values()))
    assert asked == {(2,), ()}
    assert cluster.made <= 3, "less and less often"
    cluster.waits = False
    for _ in range(60):
        room.update(0)
    assert room.due(1) == 2


def room_of(cluster: FakeCluster, trials: int, most: int | None = None) -> Reservations:
    seconds, wish = iter(range(1000)), Wish("study", share=0.5, cpus=1, most=most)
    nodes = Nodes({}, wish.fits, cluster.living, lambda: cluster.notices)
    room = Reservations(wish, nodes, lambda: float(next(seconds)))
    room.update(trials)
    room.update(trials)
    return room


def test_a_trial_grows_into_no_unit_that_was_given_back(cluster: FakeCluster) -> None:
    room = room_of(cluster, 3)
    taken = {trial: room.take(trial) for trial in ("a", "b", "c")}
    alone = next(t for t, unit in taken.items() if list(taken.values()).count(unit) == 1)
    left = [trial for trial in taken if trial != alone]
    room.free(alone)
    cluster.others = {"other/1": Claim(0, 1)}
    room.update(2)
    assert len(cluster.sizes) == 1
    assert room.grow(left[0], 2) == 1
    assert room._placement.placed[left[0]] in room._units


def test_a_unit_that_other_studies_wait_for_is_not_kept_for_a_trial_that_cannot_return(
    cluster: FakeCluster,
) -> None:
    room = room_of(cluster, 2)
    assert room.take("a") != room.take("b")
    assert room.grow("a", 2) == 2
    room.free("a", keep=True)
    cluster.others = {"other/1": Claim(0, 2)}
    room.update(3)
    room.update(3)
    assert len(cluster.sizes) == 1, "it was given back"
    assert not room._placement.kept


def test_units_of_a_node_that_is_drained_are_asked_for_elsewhere_and_given_back(
    cluster: FakeCluster,
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
    assert list(cluster.on.values()) == ["node", "other", "other"], "b has not left"
    cluster.end("node")
    room.update(4)
    assert len(room._units) == 2, "what went with the node was asked for before"


def test_a_trial_gets_no_more_of_a_unit_in_which_it_could_not_begin_again(
    cluster: FakeCluster,
) -> None:
    room = room_of(cluster, 1)
    room.take("a")
    cluster.notices = {"node": 0.0}
    room.update(1)
    assert not room.leaves("a"), "there is no other node"
    assert room.grow("a", 2) == 1


def test_several_gpus_of_a_node_that_cannot_run_trials_are_not_taken_again(
    cluster: FakeCluster,
) -> None:
    room = room_of(cluster, 0)
    for _ in range(2):
        room.update(0, [2])
    cluster.nodes.append("other")
    assert room.leave_out("node")
    assert room.take("a", units=2) is None
    cluster.notices = {"node": 0.0}  # so that the other one is given
    for _ in range(2):
        room.update(0, [2])
    assert list(cluster.on.values()) == ["other"]
    assert room.take("a", units=2) is not None


@pytest.mark.parametrize("why", ["another study waits", "its node is drained"])
def test_a_study_that_moves_takes_no_more_gpus_than_it_may(cluster: FakeCluster, why: str) -> None:
    cluster.gpus = 8
    room = room_of(cluster, 0, most=2)
    for _ in range(2):
        room.update(0, [2])
    assert room.take("a", units=2) is not None
    if why == "another study waits":
        cluster.others = {"other/1": Claim(0, 1)}
    else:
        cluster.notices = {"node": 0.0}
        cluster.nodes.append("other")
    for _ in range(5):
        room.update(1)
        assert list(cluster.sizes.values()) == [2]
    room.free("a")
    for _ in range(3):
        room.update(1)
    assert list(cluster.sizes.values()) == [1]
