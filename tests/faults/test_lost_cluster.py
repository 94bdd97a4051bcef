"""A driver whose cluster dies under it ends, with what it started, and says what to do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.places import ROOT
from tests.support.servers.heads import Head, running_head
from tests.support.servers.processes import command_of, raylet_below
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import (
    asked,
    log_of,
    reports,
    wait_for_reports,
    with_mark,
)

pytestmark = [pytest.mark.ray, pytest.mark.long]

GONE_S = 60.0
TOLD = (
    "its node was lost after epoch",
    "its worker died; it goes on from its checkpoint",
)


@pytest.mark.parametrize("killed", ["raylet", "all of Ray"])
def test_a_driver_ends_within_a_minute_of_its_cluster(killed: str, tmp_path: Path) -> None:
    write_study(
        tmp_path,
        study="orphan",
        storage=str(tmp_path / "studies"),
        budget={"trials": 40, "epochs": 30},
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )
    study = tmp_path / "studies" / "orphan"
    with running_head() as head:
        assert asked(tmp_path, head.user, "submit", "study.yaml").returncode == 0
        wait_for_reports(study, 1)
        ours = [p for p in with_mark(head, "orphan") if "tune.job.entry" in command_of(p)]
        assert ours
        for process in victims(head, killed):
            os.kill(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(ours, timeout=GONE_S)
        assert alive == []
        deadline = time.monotonic() + GONE_S
        while left := with_mark(head, "orphan"):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)


def test_a_node_that_dies_is_told_in_the_log_alone_and_its_trials_go_on(tmp_path: Path) -> None:
    write_study(
        tmp_path,
        study="nodes",
        storage=str(tmp_path / "studies"),
        budget={"trials": 4, "epochs": 400},
        fixed={"epoch_seconds": 0.5},
        scheduler={"kind": "none"},
        plateau={"kind": "none"},
        resources={"concurrent": 4, "cpus_per_trial": 1},
    )
    study = tmp_path / "studies" / "nodes"
    with running_head() as head:
        node = head.add_node(cpus=2)
        while "2 nodes" not in (sent := asked(tmp_path, head.user, "submit", "study.yaml")).stderr:
            assert asked(tmp_path, head.user, "stop", "nodes").returncode == 0, sent.stderr
        wait_for_reports(study, 40)  # four that run, half of them on the node
        raylet_below(node.pid).kill()
        log = study / "segtune.log"
        deadline = time.monotonic() + 2 * GONE_S
        while not dump_and_death(words := log.read_text()):
            assert time.monotonic() < deadline, words
            time.sleep(0.5)
        wait_for_reports(study, reports(study) + 4)
        shown = log_of(head, "nodes")
    assert any(words in shown for words in TOLD)
    assert "raylet" not in shown.lower()


def dump_and_death(log: str) -> bool:
    """Whether a log has the node's dump and the death of a trial, which Ray tells in two ways."""
    return "Ray: Raylet is terminated" in log and any(words in log for words in TOLD)


def victims(head: Head, killed: str) -> list[psutil.Process]:
    """Ray's own processes of a cluster that a kind of kill hits."""
    names = ("raylet/raylet",) if killed == "raylet" else ("ray/", "ray::", "ray.scripts")
    lines = [(p, command_of(p)) for p in head.processes()]
    found = [p for p, line in lines if any(n in line for n in names) and "tune.job" not in line]
    assert found
    return found


def test_a_study_on_a_ray_of_its_own_ends_when_that_dies(tmp_path: Path) -> None:
    write_study(
        tmp_path,
        budget={"trials": 40, "epochs": 30},
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )

    command = [sys.executable, "-m", "tune.cli", "tune", "study.yaml"]
    driver = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_reports(tmp_path / "studies" / "sample", 1)
        below = psutil.Process(driver.pid).children(recursive=True)
        raylet_below(driver.pid).kill()
        _, errors = driver.communicate(timeout=GONE_S)
    finally:
        driver.kill()
    assert driver.returncode in (2, 3)
    assert "the Ray cluster under this driver is gone" in errors
    assert "goes on" in errors
    _, alive = psutil.wait_procs(below, timeout=GONE_S)
    assert alive == []
