"""The last trials of a study on several GPUs each, on a cluster that is made up."""

from pathlib import Path
from typing import Any

import pytest

from cluster.machines.looking import Wish
from cluster.machines.nodes import Nodes
from cluster.machines.reservations import Reservations
from cluster.machines.sharing import Claim
from tests.cluster.machines.test_reservations import FakeCluster
from tests.tune.driver.test_allotments import end, out_of_memory
from tests.tune.driver.test_bridge import Study, checkpoint, closed, report, suggested
from trainables.contract import Device
from tune.directory.layout import trial_dir
from tune.directory.trials import part_words
from tune.driver.bridge import Bridge
from tune.driver.room import Cores
from tune.stopping.decision import Rule


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster(gpus=4)
    made.stand_in(monkeypatch)
    return made


@pytest.fixture
def study(ram_path: Path) -> Study:
    return Study(ram_path, epochs=9)


def room_on(cluster: FakeCluster, share: float) -> Reservations:
    seconds, wish = iter(range(100_000)), Wish("try", share=share, cpus=1)
    nodes = Nodes({}, wish.fits, cluster.living, lambda: cluster.notices)
    return Reservations(wish, nodes, lambda: float(next(seconds)))


def started(
    study: Study, cluster: FakeCluster, trials: int, gpus: int = 8, share: float = 1
) -> Bridge:
    """A driver of a study whose trials can use so many GPUs."""
    bridge = study.bridge(
        trials,
        4,
        room_on(cluster, share),
        rungs=(5, 6),
        reshare=True,
        useful_gpus=lambda params: gpus,
    )
    looked(bridge)
    return bridge


def looked(bridge: Bridge) -> None:
    """Let the driver look at the cluster, and the cluster answer."""
    for _ in range(4):
        bridge.tick()


def begun(bridge: Bridge, ray_id: str, epoch: int = 0) -> Device:
    """Start the next trial, which has trained to an epoch then; its device."""
    task = suggested(bridge, ray_id)
    checkpoint(task, max(1, epoch))
    for number in range(task.trial.reported + 1, epoch + 1):
        bridge.result(ray_id, report(number))
    return task.trial.device


def moved(bridge: Bridge, ray_id: str, epoch: int) -> None:
    """Train another epoch, after which the trial leaves its place."""
    bridge.result(ray_id, report(epoch))
    assert not bridge.result(ray_id, closed())
    bridge.complete(ray_id, error=False)
    looked(bridge)


def attributes(study: Study, number: int) -> dict[str, Any]:
    return dict(study.controller._journal.trials()[number].user_attrs)


def test_the_last_two_trials_have_two_gpus_each_then_the_last_one_all_four(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=3)
    for ray_id in "abc":
        begun(bridge, ray_id, 1)
    assert "gpus" not in attributes(study, 0), "three trials and four GPUs"
    end(bridge, "c", *map(report, range(2, 10)))
    looked(bridge)
    for ray_id, then in (("a", "d"), ("b", "e")):
        moved(bridge, ray_id, 2)
        assert begun(bridge, then) == Device("cuda:0", 1.0, cpus=2, gpus=2)
    assert sorted(cluster.sizes.values()) == [2, 2]
    assert attributes(study, 0)["gpus"] == [2, 2]
    assert study.written(0, "notes.json")["notes"][-1] == "from epoch 3 on it has 2 GPUs"
    for epoch in range(3, 10):
        bridge.result("d", report(epoch))
    looked(bridge)
    assert not bridge.room.leaves("e", ""), "the other has ended, and still draws"
    end(bridge, "d")
    looked(bridge)
    moved(bridge, "e", 3)
    assert study.written(1, "outcome.json")["message"] == "goes on with 4 GPUs after epoch 3"
    assert begun(bridge, "f") == Device("cuda:0", 1.0, cpus=4, gpus=4)
    assert part_words(attributes(study, 1)) == "4 GPUs"
    assert list(cluster.sizes.values()) == [4]
    assert [line for line in study.watcher.told if "has" in line] == [
        *("0 has 1 GPU", "1 has 1 GPU", "2 has 1 GPU"),
        *("0 has 2 GPUs", "1 has 2 GPUs", "1 has 4 GPUs"),
    ]


def test_a_trial_gives_its_gpus_back_where_another_study_waits_and_a_new_driver_knows(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=1, share=0.5)
    assert begun(bridge, "a") == Device("cuda:0", 0.5, cpus=1)
    moved(bridge, "a", 1)
    assert begun(bridge, "b", 2) == Device("cuda:0", 1.0, cpus=8, gpus=4)

    cluster.sizes.clear()
    cluster.on.clear()  # what a killed driver holds is free
    again = started(study, cluster, trials=1, share=0.5)
    assert begun(again, "a").gpus == 4, "as the journal says"
    cluster.others = {"other/1": Claim(0, 2)}
    looked(again)
    moved(again, "a", 3)
    assert study.written(0, "outcome.json")["stop_reason"] == Rule.MOVED
    assert begun(again, "b") == Device("cuda:0", 1.0, cpus=2)
    assert attributes(study, 0)["gpus"] == [0, 3]
    assert attributes(study, 0)["slots"] == [2, 1], "one whole GPU is left to it"
    assert set(cluster.sizes.values()) == {1}
    assert study.written(0, "notes.json")["notes"][-1] == "from epoch 4 on it has 1 GPU"
    cluster.others = {"other/1": Claim(1, 0)}
    looked(again)
    moved(again, "b", 4)
    assert begun(again, "c").gpus == 3, "the other has one"


def test_no_trial_has_more_gpus_than_its_training_can_use(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=1, gpus=1)
    begun(bridge, "a", 2)
    assert "gpus" not in attributes(study, 0)
    bridge = started(study, cluster, trials=1, gpus=3)
    begun(bridge, "a")
    moved(bridge, "a", 3)
    assert begun(bridge, "b").gpus == 3


def test_a_trial_that_does_not_fit_on_several_gpus_goes_back_to_one_and_stays_there(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=1)
    begun(bridge, "a", 1)
    moved(bridge, "a", 2)
    assert begun(bridge, "b").gpus == 4
    bridge.result("b", out_of_memory(2))
    bridge.complete("b", error=False)
    looked(bridge)
    assert begun(bridge, "c", 3) == Device("cuda:0", 1.0, cpus=1, micro_batch=2)
    assert attributes(study, 0)["gpus"] == [0, 2]
    assert (
        "it goes on with one GPU and micro_batch=2" in (study.written(0, "notes.json")["notes"][-1])
    )
    assert 0 not in study.controller.outcomes


def test_trials_on_the_cpu_and_with_fixed_shares_never_have_several(
    study: Study, cluster: FakeCluster
) -> None:
    assert (Cores(1, 4).due(1), Cores(1, 4).roomy("a", 2)) == (1, False)
    bridge = study.bridge(1, 4, room_on(cluster, 1), rungs=(2,), useful_gpus=lambda params: 8)
    looked(bridge)
    begun(bridge, "a", 5)
    assert "gpus" not in attributes(study, 0)


def test_several_gpus_of_the_only_node_are_kept_until_it_is_taken_away(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=1)
    begun(bridge, "a")
    moved(bridge, "a", 1)
    assert begun(bridge, "b", 1).gpus == 4
    cluster.notices = {"node": 0.0}
    looked(bridge)
    bridge.result("b", report(2))
    assert not trial_dir(study.folder, 0).joinpath("outcome.json").exists(), "it trains on"
    cluster.nodes.append("other")
    looked(bridge)
    moved(bridge, "b", 3)
    assert begun(bridge, "c").gpus == 4


def test_a_trial_keeps_its_gpus_where_another_one_is_refused_as_many(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=2)
    for ray_id in "ab":
        begun(bridge, ray_id)
    moved(bridge, "a", 1)
    assert begun(bridge, "c", 1).gpus == 2
    bridge.result("b", report(1))
    bridge.result("b", closed())
    cluster.waits = True  # somebody has them whom Ray's table does not show
    bridge.complete("b", error=False)
    for _ in range(9):
        bridge.tick()
        assert not bridge.room.leaves("c", "")
    cluster.waits = False
    cluster.waiting.clear()
    assert begun(bridge, "d").gpus == 1
    assert attributes(study, 1)["gpus"] == [0, 1]
    bridge.result("c", report(2))
    assert not trial_dir(study.folder, 0).joinpath("outcome.json").exists()


def test_gpus_are_held_for_as_many_trials_as_may_run(study: Study, cluster: FakeCluster) -> None:
    bridge = started(study, cluster, trials=2)
    for ray_id in "ab":
        begun(bridge, ray_id)
    for ray_id, then in (("a", "c"), ("b", "d")):
        moved(bridge, ray_id, 1)
        assert begun(bridge, then, 1).gpus == 2
    cluster.sizes.clear()
    cluster.on.clear()
    again = study.bridge(
        2, 1, room_on(cluster, 1), rungs=(5, 6), reshare=True, useful_gpus=lambda params: 8
    )
    looked(again)
    assert begun(again, "a").gpus == 2
    looked(again)
    assert list(cluster.sizes.values()) == [2]


def test_a_trial_that_does_not_get_the_gpus_it_left_for_holds_none_besides(
    study: Study, cluster: FakeCluster
) -> None:
    bridge = started(study, cluster, trials=1)
    begun(bridge, "a")
    bridge.result("a", report(1))
    assert study.written(0, "outcome.json")["message"] == "goes on with 4 GPUs after epoch 1"
    cluster.others = {"other/1": Claim(0, 1)}
    looked(bridge)
    bridge.result("a", closed())
    bridge.complete("a", error=False)
    looked(bridge)
    assert begun(bridge, "b").gpus == 1
    cluster.others = {"other/1": Claim(4, 0)}
    end(bridge, "b", *map(report, range(2, 10)))
    looked(bridge)
    assert not cluster.sizes
