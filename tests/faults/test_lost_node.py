"""A lost node and a lost way to the head: trials go on, none is run twice, and nothing is ended."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from cluster.templates.environment import HEARTBEAT
from tests.support.places import ROOT
from tests.support.servers.heads import LOOPBACK, Head, running_head
from tests.support.servers.network import Line, line, why_no_namespaces
from tests.support.servers.processes import raylet_below
from tests.support.servers.ray_clusters import until
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked, log_of, reports, wait_for_reports
from tune.directory.journal import SET_VALUE
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

TRIALS, EPOCHS = 4, 30

NOTICED_S = 15.0
"""From the cut to the driver's word."""

needs_namespaces = pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())


def write(folder: Path) -> Path:
    """Write a study that stops no trial; returns where it will be."""
    write_study(
        folder,
        study="lost",
        storage=str(folder / "studies"),
        budget={"trials": TRIALS, "epochs": EPOCHS},
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": TRIALS, "cpus_per_trial": 1},
        scheduler="none",
        plateau="none",
    )
    return folder / "studies" / "lost"


@pytest.mark.parametrize(
    "way", ["its raylet killed", pytest.param("its network cut, and back", marks=needs_namespaces)]
)
def test_trials_of_a_lost_node_go_on_and_no_epoch_is_missing_or_double(
    way: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    study = write(tmp_path)
    with ExitStack() as opened:
        link = None if way == "its raylet killed" else opened.enter_context(line(0))
        ip = LOOPBACK if link is None else link.here
        head = opened.enter_context(running_head(cpus=2, ip=ip, **HEARTBEAT))
        node = head.add_node(2, line=link)
        submit_to_two_nodes(head, tmp_path)
        until("all train", partial(all_trained, study, 1))
        raylet = raylet_below(node.pid)
        if link is None:
            raylet.kill()
        else:
            link.cut()
        log = study / "segtune.log"
        took = until("it is noticed", lambda: "its node was lost after epoch" in log.read_text())
        record_property("noticed", f"{took:.1f} s")
        if link is not None:
            link.mend()
            until("what is left of the node ends", lambda: not raylet.is_running())
        until("it ends", lambda: state_of(head, "lost") == "SUCCEEDED", 300)
    assert took < NOTICED_S
    trials = StudyDir.open(study).trials()
    assert [trial.state for trial in trials] == ["complete"] * TRIALS
    expected = {(n, epoch): 1 for n in range(TRIALS) for epoch in range(1, EPOCHS + 1)}
    assert journalled(study) == expected
    for trial in trials:
        assert [line["epoch"] for line in trial.metrics] == list(range(1, EPOCHS + 1))
    attempts = [len(list((study / "trials" / f"{t.number}").glob("attempt-*"))) for t in trials]
    assert sorted(attempts) == [1, 1, 2, 2], "only what was lost began again, and once"


def test_a_study_whose_worker_node_is_lost_twice_ends_every_trial_once(tmp_path: Path) -> None:
    study = write(tmp_path)
    with running_head(cpus=0, **HEARTBEAT) as head:
        node = head.add_node(TRIALS)
        submit_to_two_nodes(head, tmp_path)
        for attempt in (1, 2):
            until("all train", partial(all_trained, study, attempt))
            head.lose(node)
            node = head.add_node(TRIALS)
        until("it ends", lambda: state_of(head, "lost") == "SUCCEEDED", 300)
        said = log_of(head, "lost")
    assert [said.count(f"trial {n} ended: ") for n in range(TRIALS)] == [1] * TRIALS
    assert journalled(study) == {(n, e): 1 for n in range(TRIALS) for e in range(1, EPOCHS + 1)}
    for trial in StudyDir.open(study).trials():
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == list(range(1, EPOCHS + 1))
        assert len(list((study / "trials" / f"{trial.number}").glob("attempt-*"))) == 3


def all_trained(study: Path, attempt: int) -> bool:
    """Whether every trial has a checkpoint of such an attempt."""
    return len(list(study.glob(f"trials/*/attempt-{attempt}/checkpoint"))) == TRIALS


def submit_to_two_nodes(head: Head, folder: Path) -> None:
    """Submit the study, again and again until the second node has joined."""
    while "2 nodes" not in (sent := asked(folder, head.user, "submit", "study.yaml")).stderr:
        assert sent.returncode == 0, sent.stderr
        assert asked(folder, head.user, "stop", "lost").returncode == 0


def journalled(study: Path) -> Counter[tuple[int, int]]:
    """How often the journal has each epoch of each trial."""
    entries = [json.loads(text) for text in (study / JOURNAL).read_text().splitlines()]
    return Counter((e["trial_id"], e["step"]) for e in entries if e["op_code"] == SET_VALUE)


def state_of(head: Head, name: str) -> str:
    shown = asked(head.folder, head.user, "jobs").stdout
    return next((row.split()[1].upper() for row in shown.splitlines() if row.startswith(name)), "")


@contextmanager
def following(
    link: Line, head: Head, name: str, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """`segtune logs --follow` on another machine: its process, and what it shows and tells."""
    shown, told = folder / "shown.txt", folder / "told.txt"
    address = f"http://{link.here}:{head.dashboard_port}"
    words = ["logs", name, "--follow", "--address", address, "--insecure"]
    with shown.open("wb") as out, told.open("wb") as errors:
        follower = subprocess.Popen(
            link.inside([sys.executable, "-m", "tune.cli", *words]),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **head.user},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
        )
    try:
        yield follower, shown, told
    finally:
        follower.kill()
        follower.wait()


@needs_namespaces
def test_a_follower_that_loses_contact_says_so_and_goes_on_where_it_was(tmp_path: Path) -> None:
    study = write(tmp_path)
    with line(1) as link, running_head(ip=link.here) as head:
        assert asked(tmp_path, head.user, "submit", "study.yaml").returncode == 0
        with following(link, head, "lost", tmp_path) as (follower, shown, told):
            until("it shows the log", lambda: "study lost begins" in shown.read_text())
            link.cut()
            until("it says so", lambda: "the job goes on" in told.read_text())
            before = reports(study)
            wait_for_reports(study, before + 2)
            assert follower.poll() is None
            link.mend()
            until("contact is back", lambda: "contact is back" in told.read_text())
            assert follower.wait(timeout=300) == 0, told.read_text()
        assert told.read_text().count("contact with") == 1
        log = json.loads(log_of(head, "lost"))["logs"]
    assert shown.read_text() == log
    assert len(StudyDir.open(study).trials()) == TRIALS
