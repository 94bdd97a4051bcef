"""A head that is killed and started again on the tables it kept on disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.faults.test_lost_cluster import GONE_S, victims
from tests.faults.test_lost_node import EPOCHS, TRIALS, journalled, state_of, write
from tests.support.places import ROOT
from tests.support.servers.heads import running_head
from tests.support.servers.ray_clusters import until
from tests.tune.remote.test_jobs import LIMIT_S, asked, reports, wait_for_reports, with_mark
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]


def test_a_job_of_a_head_that_came_back_is_lost_and_gone_on_with(tmp_path: Path) -> None:
    """Ray itself calls it running for ever: its driver went with the head's first node."""
    study = write(tmp_path)
    tables = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(tmp_path / "tables")}
    with running_head(cpus=TRIALS, **tables) as head:
        assert asked(tmp_path, head.user, "submit", "study.yaml").returncode == 0
        wait_for_reports(study, 2 * TRIALS)
        with (tmp_path / "told.txt").open("wb") as told:
            follower = subprocess.Popen(
                [sys.executable, "-m", "tune.cli", "logs", "lost", "--follow"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), **head.user},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
            )
        try:
            said = tmp_path / "told.txt"
            until("it shows the log", lambda: "study lost begins" in said.read_text())
            ours = with_mark(head, "lost")
            for process in victims(head, "all of Ray"):
                os.kill(process.pid, signal.SIGKILL)
            until("contact is lost", lambda: "the job goes on" in said.read_text())
            _, alive = psutil.wait_procs(ours, timeout=GONE_S)
            assert alive == []
            before = reports(study)
            head.start(TRIALS)
            assert follower.wait(timeout=LIMIT_S) == 1, said.read_text()
        finally:
            follower.kill()
            follower.wait()
        assert "the node of its driver is gone" in said.read_text()
        assert "Traceback" not in said.read_text()
        assert state_of(head, "lost") == "LOST"
        shown = asked(tmp_path, head.user, "logs", "lost")
        assert (shown.returncode, "goes on with it" in shown.stderr) == (2, True)
        again = asked(tmp_path, head.user, "submit", "study.yaml")
        assert (again.returncode, "attempt 2" in again.stderr) == (0, True), again.stderr
        until("it ends", lambda: state_of(head, "lost") == "SUCCEEDED", 300)
    assert reports(study) >= before
    trials = StudyDir.open(study).trials()
    assert [trial.state for trial in trials] == ["complete"] * TRIALS
    expected = {(n, epoch): 1 for n in range(TRIALS) for epoch in range(1, EPOCHS + 1)}
    assert journalled(study) == expected
