"""Nodes that are taken away with notice, by Ray's own `drain-node`: no epoch is lost."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support.discs import prepare_discs
from tests.support.servers.ray_clusters import Nodes, ray_nodes, until
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]

TRIALS, EPOCHS, NOTICE_S = 6, 60, 30

LOST = ("its node was lost", "its node was preempted", "its worker died")


@pytest.fixture
def nodes(cluster: Nodes) -> Iterator[Nodes]:
    yield cluster
    cluster.end_studies()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("notice")
    with ray_nodes(folder, prepare_discs(folder / "discs").root, num_cpus=2, num_gpus=2) as made:
        yield made


def drain(address: str, node: Any, seconds: int = NOTICE_S) -> float:
    """Have Ray told that a node will be taken away; returns when."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node"]
    to_whom = ["--address", address, "--node-id", node.node_id]
    why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    deadline = time.time() + seconds
    subprocess.run(
        [*command, *to_whom, *why, "--deadline-remaining-seconds", str(seconds)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return deadline


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def take_away(raylet: int, deadline: float) -> None:
    """End a node at its deadline, if it has not ended by itself before."""
    time.sleep(max(0.0, deadline - time.time()))
    if psutil.pid_exists(raylet):
        psutil.Process(raylet).kill()


def of_most(nodes: Nodes, name: str) -> Any:
    """The node on which most trials of a study train; it is struck off the list."""
    n = {raylet_of(node): len(struck(nodes, name, raylet_of(node))) for node in nodes.nodes}
    return nodes.nodes.pop(max(range(len(n)), key=list(n.values()).__getitem__))


def struck(nodes: Nodes, name: str, raylet: int) -> set[str]:
    """The trials of a study that trained on a node."""
    return {epoch["trial"] for epoch in nodes.trained(name) if epoch["raylet"] == raylet}


def losses(nodes: Nodes, name: str) -> dict[int, int]:
    """How often each trial of a study has lost its node, where it has."""
    journal = Journal(nodes.study(name) / JOURNAL, name, "max")
    lost = {trial.number: trial.user_attrs.get("lost", (0, 0))[0] for trial in journal.trials()}
    return {number: n for number, n in lost.items() if n}


def check_each_epoch_once(nodes: Nodes, name: str) -> None:
    often = Counter((line["trial"], line["epoch"]) for line in nodes.trained(name))
    assert often == {
        (f"{name}/{n}", epoch): 1 for n in range(TRIALS) for epoch in range(1, EPOCHS + 1)
    }
    for trial in StudyDir.open(nodes.study(name)).trials():
        assert (trial.state, len(trial.metrics)) == ("complete", EPOCHS)


@pytest.mark.parametrize(
    ("name", "resources"),
    [
        ("cores", "{concurrent: 4, cpus_per_trial: 1, gpus_per_trial: 0}"),
        ("gpus", "{concurrent: 4, cpus_per_trial: 1, gpus_per_trial: 1}"),
    ],
)
def test_trials_leave_a_node_before_it_is_taken_away_and_lose_nothing(
    name: str, resources: str, nodes: Nodes
) -> None:
    nodes.nodes.append(nodes.add())
    driver = nodes.start(name, resources, trials=TRIALS, epochs=EPOCHS)
    until("four train", lambda: len({t["trial"] for t in nodes.trained(name)}) == 4)
    doomed = of_most(nodes, name)
    raylet = raylet_of(doomed)
    deadline = drain(nodes.cluster.address, doomed)
    log = nodes.study(name) / "segtune.log"
    words = "no trial begins there any more"
    until("it is told", lambda: words in log.read_text())
    left = struck(nodes, name, raylet)
    until(
        "all have left",
        lambda: all(f"trial {t.split('/')[1]}: leaves its place" in log.read_text() for t in left),
    )
    assert time.time() < deadline
    there = [epoch for epoch in nodes.trained(name) if epoch["raylet"] == raylet]
    take_away(raylet, deadline)
    assert driver.wait(timeout=240) == 0, nodes.log(name)[-3000:]
    check_each_epoch_once(nodes, name)
    assert [e for e in nodes.trained(name) if e["raylet"] == raylet] == there, "none began there"
    assert log.read_text().count(words) == 1
    assert not any(words in log.read_text() for words in LOST)
    assert losses(nodes, name) == {}
    for trial in range(TRIALS):
        attempts = list((nodes.study(name) / "trials" / f"{trial}").glob("attempt-*"))
        assert len(attempts) == 1 + (f"{name}/{trial}" in left)


def test_trials_of_the_only_node_train_on_until_it_ends_and_then_on_the_next(nodes: Nodes) -> None:
    name, mark, epochs = "only", {"disk": "here"}, 100
    doomed = nodes.add(labels=mark)
    raylet = raylet_of(doomed)
    resources = "{concurrent: 2, cpus_per_trial: 1, gpus_per_trial: 0, labels: {disk: here}}"
    driver = nodes.start(name, resources, trials=2, epochs=epochs)
    until("two train", lambda: len(struck(nodes, name, raylet)) == 2)
    deadline = drain(nodes.cluster.address, doomed, 8)
    log = nodes.study(name) / "segtune.log"
    until("it is told", lambda: "there is no other one" in log.read_text())
    told = time.time()
    take_away(raylet, deadline)
    assert any(epoch["ended"] > told + 1 for epoch in nodes.trained(name)), "they trained on"
    until("it is noticed", lambda: re.search("its node was (lost|preempted)", log.read_text()))
    nodes.add(labels=mark)
    assert driver.wait(timeout=240) == 0, nodes.log(name)[-3000:]
    again = Counter((line["trial"], line["epoch"]) for line in nodes.trained(name))
    assert sum(again.values()) <= 2 * epochs + 2, "of each the running epoch at most"
    for trial in StudyDir.open(nodes.study(name)).trials():
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == list(range(1, epochs + 1))
    assert "its worker died" not in log.read_text(), "it counts as no crash"
