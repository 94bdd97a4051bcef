"""Studies on the GPUs of a cluster of several nodes, which Ray counts and nobody has."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from tests.support.discs import prepare_discs
from tests.support.servers.ray_clusters import Nodes, kill_raylet, ray_nodes, until
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def nodes(cluster: Nodes) -> Iterator[Nodes]:
    yield cluster
    cluster.end_studies()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("gpus")
    with ray_nodes(folder, prepare_discs(folder / "discs").root, num_gpus=2) as made:
        yield made


def check_each_epoch_once(nodes: Nodes, name: str) -> None:
    """No epoch of a study is missing, and none was trained twice."""
    for trial in StudyDir.open(nodes.study(name)).trials():
        assert [line["epoch"] for line in trial.metrics] == list(range(1, trial.epochs + 1))
    often = Counter((line["trial"], line["epoch"]) for line in nodes.trained(name))
    assert often
    assert set(often.values()) == {1}, often


def test_two_studies_never_share_a_gpu_and_take_what_the_other_gives_back(nodes: Nodes) -> None:
    first = nodes.start("first", "{concurrent: 4, gpus_per_trial: 1}", trials=4, epochs=2000)
    until("it trains on all GPUs", lambda: len({t["trial"] for t in nodes.trained("first")}) == 4)
    assert nodes.held("first") == 4
    second = nodes.start("second", "{concurrent: 4, gpus_per_trial: 1}", trials=2, epochs=4)
    until("the second has half of them", lambda: nodes.held("second") == 2)
    assert nodes.held("first") == 2
    assert second.wait(timeout=180) == 0, nodes.log("second")[-3000:]
    assert len(StudyDir.open(nodes.study("second")).trials()) == 2
    until("the first has all again", lambda: nodes.held("first") == 4)
    now = time.time()
    until("all its trials train again", lambda: len(since(nodes.trained("first"), now)) == 4)
    first.terminate()
    assert first.wait(timeout=180) == 130, nodes.log("first")[-3000:]
    until("all is given back", lambda: nodes.held("first") + nodes.held("second") == 0)
    check_each_epoch_once(nodes, "second")
    trained = nodes.trained()
    assert max(Counter((t["trial"], t["epoch"]) for t in nodes.trained("first")).values()) == 1
    assert len({(t["raylet"], t["gpus"]) for t in trained}) == 4
    for one, other in combinations(trained, 2):  # of any two studies, at any time
        if (one["raylet"], one["gpus"]) == (other["raylet"], other["gpus"]):
            assert one["ended"] <= other["begun"] or other["ended"] <= one["begun"]


def since(trained: list[dict[str, Any]], moment: float) -> set[str]:
    """The trials that began an epoch after a moment."""
    return {epoch["trial"] for epoch in trained if epoch["begun"] > moment}


def test_half_gpus_are_spread_over_the_nodes_and_a_new_node_is_used(nodes: Nodes) -> None:
    study = "{concurrent: 10, gpus_per_trial: 0.5, cpus_per_trial: 1}"
    driver = nodes.start("halves", study, trials=10, epochs=30)
    until(
        "all four GPUs train two", lambda: len({t["trial"] for t in nodes.trained("halves")}) == 8
    )
    places = {t["trial"]: (t["raylet"], t["gpus"]) for t in nodes.trained("halves")}
    assert sorted(Counter(places.values()).values()) == [2, 2, 2, 2]
    nodes.add()
    until("the new node trains", lambda: len({t["raylet"] for t in nodes.trained("halves")}) == 3)
    assert driver.wait(timeout=180) == 0, nodes.log("halves")[-3000:]
    check_each_epoch_once(nodes, "halves")


def test_trials_of_a_lost_node_go_on_elsewhere_from_their_last_epoch(nodes: Nodes) -> None:
    driver = nodes.start("lost", "{concurrent: 4, gpus_per_trial: 1}", trials=4, epochs=40)
    until("all four train", lambda: len({t["trial"] for t in nodes.trained("lost")}) == 4)
    raylet = kill_raylet(nodes.nodes[0])
    struck = {t["trial"] for t in nodes.trained("lost") if t["raylet"] == raylet}
    assert 1 <= len(struck) <= 2, "trials are spread over the nodes"
    log = nodes.study("lost") / "segtune.log"
    took = until("it is noticed", lambda: "its node was lost after epoch" in log.read_text())
    assert took < 15
    assert driver.wait(timeout=180) == 0, nodes.log("lost")[-3000:]
    found = {f"lost/{t.number}": t for t in StudyDir.open(nodes.study("lost")).trials()}
    for name, trial in found.items():
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == list(range(1, 41))
        attempts = len(list((nodes.study("lost") / "trials" / name[5:]).glob("attempt-*")))
        assert attempts == (2 if name in struck else 1), "only what was lost began again"
    often = Counter((t["trial"], t["epoch"]) for t in nodes.trained("lost"))
    again = {trial for (trial, _), n in often.items() if n > 1}
    assert again <= struck
    assert sum(often.values()) <= 4 * 40 + len(struck), "of each the running epoch at most"


def test_the_last_trials_have_the_gpus_of_a_node_each_and_give_them_back(nodes: Nodes) -> None:
    shares = "{concurrent: 4, gpus_per_trial: 1, cpus_per_trial: 1, shares: rungs}"
    first = nodes.start("last", shares, trials=2, epochs=2000, seconds=0.3)

    def now_on(n: int) -> bool:
        """Whether the last epoch of each trial was on so many GPUs, all of one node."""
        last = {t["trial"]: t for t in nodes.trained("last")}
        return len(last) == 2 and all(len(t["gpus"].split(",")) == n for t in last.values())

    until("each has both GPUs of a node", lambda: now_on(2))
    assert nodes.held("last") == 4
    last = {t["trial"]: t for t in nodes.trained("last")}
    assert len({t["raylet"] for t in last.values()}) == 2
    first.kill()
    first.wait(timeout=60)
    resumed = nodes.resume("last")
    began = time.time()
    until("it goes on", lambda: len(since(nodes.trained("last"), began)) == 2)
    assert all("," in t["gpus"] for t in nodes.trained("last") if t["begun"] > began), "as it was"

    second = nodes.start("other", "{concurrent: 2, gpus_per_trial: 1}", trials=2, epochs=8)
    until("the other has two of them", lambda: nodes.held("other") == 2)
    until("one is left to each", lambda: now_on(1))
    assert second.wait(timeout=180) == 0, nodes.log("other")[-3000:]
    until("each has two again", lambda: now_on(2))
    resumed.terminate()
    assert resumed.wait(timeout=180) == 130, nodes.log("last")[-3000:]
    check_each_epoch_once(nodes, "other")
    for trial in StudyDir.open(nodes.study("last")).trials():
        assert [line["epoch"] for line in trial.metrics] == list(range(1, trial.epochs + 1))
        assert trial.part == "2 GPUs"
        assert any(note.endswith("on it has 1 GPU") for note in trial.notes)


def test_a_node_without_the_engine_ends_the_study_with_what_to_do(nodes: Nodes) -> None:
    nodes.add(num_gpus=0, labels={"has": "nothing"}, env_vars={"PYTHONPATH": ""})
    study = "{concurrent: 1, cpus_per_trial: 1, gpus_per_trial: 0, labels: {has: nothing}}"
    driver = nodes.start("bare", study, trials=2, epochs=2)
    assert driver.wait(timeout=180) == 2, nodes.log("bare")
    log = nodes.log("bare")
    assert "cannot run trials: trainable: expected one of" in log
    assert "got awkward; expected the same segtune, with the engine's packages, on every" in log
    assert "segtune resume" in log
    assert "Traceback" not in log
    (trial,) = StudyDir.open(nodes.study("bare")).trials()
    assert trial.state == "waiting"
    assert nodes.trained("bare") == []
