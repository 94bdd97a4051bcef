"""The cluster's token exchanged under a running study: nothing is lost, and nobody waits for ever.

The token lies in a file that every process of a node reads as it starts, or in each node's own
environment, as a Kubernetes secret that is rotated while pods start anew one after the other.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from cluster.templates.environment import HEARTBEAT
from tests.faults.test_lost_cluster import GONE_S
from tests.faults.test_lost_node import (
    journalled,
    needs_namespaces,
    state_of,
    submit_to_two_nodes,
)
from tests.support.places import ROOT
from tests.support.servers.heads import TOKEN, TOKEN_FILE, running_head
from tests.support.servers.network import Line, line
from tests.support.servers.ray_clusters import until
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked, reports, wait_for_reports, with_mark
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

NEW = "canary-token-fedcba9876543210fedcba9876543210"

TRIALS, EPOCHS = 2, 60

OLD = {"RAY_AUTH_TOKEN": TOKEN}
"""What a user who has the old token has beside the rest."""


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
        tracking={"wandb": {"mode": "disabled"}},
    )
    return folder / "studies" / "lost"


def both_train(study: Path) -> bool:
    """Whether every trial has a checkpoint."""
    return len(list(study.glob("trials/*/attempt-1/checkpoint"))) == TRIALS


class Verb:
    """A verb that runs beside the test, and what it says."""

    def __init__(self, folder: Path, environment: Mapping[str, str], command: list[str]) -> None:
        self._file = folder / "said.txt"
        with self._file.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._file.read_text()


@contextmanager
def running(
    folder: Path, environment: Mapping[str, str], *words: str, link: Line | None = None
) -> Iterator[Verb]:
    """A verb that is killed where it outlives the block."""
    command = [sys.executable, "-m", "tune.cli", *words]
    verb = Verb(folder, environment, command if link is None else link.inside(command))
    try:
        yield verb
    finally:
        verb.process.kill()
        verb.process.wait()


def check_whole(study: Path) -> None:
    """Every trial is complete, and every epoch was decided once."""
    trials = StudyDir.open(study).trials()
    assert [trial.state for trial in trials] == ["complete"] * TRIALS
    expected = {(n, epoch): 1 for n in range(TRIALS) for epoch in range(1, EPOCHS + 1)}
    assert journalled(study) == expected


def test_a_token_file_exchanged_under_a_running_head_is_told_and_ends_what_cannot_go_on(
    tmp_path: Path,
) -> None:
    study, file = write(tmp_path), tmp_path / "token"
    file.write_text(TOKEN)
    with running_head(cpus=TRIALS, **{TOKEN_FILE: str(file)}) as head:
        assert asked(tmp_path, head.user, "submit", "study.yaml").returncode == 0
        until("both train", partial(both_train, study))
        head.exchange_token(NEW)
        workers = [p for p in with_mark(head, "lost") if p.name().startswith("ray::Resource")]
        assert len(workers) == TRIALS
        workers[0].kill()
        log = study / "segtune.log"
        until("it is told", lambda: f"{file} has another token than" in log.read_text())
        wait_for_reports(study, reports(study) + 2)  # of the other one
        workers[1].kill()
        refused = asked(tmp_path, head.user, "logs", "lost", "--follow")
        assert (refused.returncode, "got another one (403)" in refused.stderr) == (2, True)
        until("it ends", lambda: not with_mark(head, "lost"), 2 * GONE_S)
        shown = asked(tmp_path, {**head.user, **OLD}, "logs", "lost")
        assert "the Ray cluster under this driver starts no process any more" in shown.stdout
        assert f"`segtune resume {study}` goes on" in shown.stdout
        assert "Traceback" not in shown.stdout
        before = reports(study)
        assert before < TRIALS * EPOCHS
        head.lose(head.nodes[-1])
        head.start(TRIALS)
        sent = asked(tmp_path, head.user, "submit", "study.yaml", "--follow")
        assert sent.returncode == 0, sent.stderr
        assert "study lost goes on" in sent.stdout
    assert reports(study) >= before
    check_whole(study)


@needs_namespaces
@pytest.mark.parametrize("tables", ["on disk", "in memory"])
def test_a_job_of_a_head_that_comes_back_with_another_token_is_gone_on_with(
    tables: str, tmp_path: Path
) -> None:
    study, on_disk = write(tmp_path), tables == "on disk"
    kept = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(tmp_path / "tables")}
    with ExitStack() as opened:
        link = opened.enter_context(line(0))
        head = opened.enter_context(
            running_head(cpus=0, ip=link.here, **HEARTBEAT, **(kept if on_disk else {}))
        )
        node = head.add_node(TRIALS, line=link)
        submit_to_two_nodes(head, tmp_path)
        until("both train", partial(both_train, study))
        follower = opened.enter_context(running(tmp_path, head.user, "logs", "lost", "--follow"))
        until("it shows the log", lambda: "study lost begins" in follower.said)
        head.lose(head.nodes[0])
        before = reports(study)
        head.exchange_token(NEW)
        head.start(0)
        assert follower.process.wait(timeout=GONE_S) == 2, follower.said
        assert follower.said.count("got another one (403)") == 1
        assert "Traceback" not in follower.said
        node.wait(timeout=2 * GONE_S)  # its own head refuses it
        head.add_node(TRIALS, line=link)
        assert state_of(head, "lost") == ("LOST" if on_disk else "")
        sent = asked(tmp_path, head.user, "submit", "study.yaml")
        assert (sent.returncode, "attempt 2" in sent.stderr) == (0, on_disk), sent.stderr
        followed = asked(tmp_path, head.user, "logs", "lost", "--follow")
        assert (followed.returncode, "study lost goes on" in followed.stdout) == (0, True)
    assert reports(study) >= before > 0
    check_whole(study)


@needs_namespaces
def test_a_driver_that_outlives_its_head_ends_where_the_next_one_has_another_token(
    tmp_path: Path,
) -> None:
    """As one on a worker's pod, whose raylet lives on: Ray itself ended the process with a dump."""
    study = write(tmp_path)
    with line(0) as link, running_head(cpus=0, ip=link.here, **HEARTBEAT) as head:
        head.add_node(TRIALS, line=link)
        there = {**head.environment, "RAY_ADDRESS": f"{link.here}:{head.port}"}
        with running(tmp_path, there, "tune", "study.yaml", link=link) as driver:
            until("both train", partial(both_train, study))
            head.lose(head.nodes[0])
            head.exchange_token(NEW)
            head.start(0)
            assert driver.process.wait(timeout=GONE_S) in (2, 3), driver.said
        assert driver.said.count("the Ray cluster under this driver is gone") == 1
        assert f"`segtune resume {study}` goes on" in driver.said
        assert not re.search(r"Traceback|StackTrace|Check failed", driver.said)
        before = reports(study)
        head.add_node(TRIALS, line=link)
        again = {**head.environment, "RAY_ADDRESS": f"{link.here}:{head.port}"}
        with running(tmp_path, again, "resume", str(study), link=link) as driver:
            assert driver.process.wait(timeout=300) == 0, driver.said
    assert reports(study) >= before > 0
    check_whole(study)
