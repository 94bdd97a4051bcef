"""A head that is killed and started again on the tables it kept on disk, with another token."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.faults.test_lost_cluster import GONE_S, victims
from tests.faults.test_lost_node import EPOCHS, TRIALS, journalled, state_of, write
from tests.support.places import ROOT
from tests.support.servers.heads import running_head
from tests.support.servers.ray_clusters import until
from tests.tune.remote.test_jobs import asked, reports, wait_for_reports, with_mark
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

OTHER = "another-token-0123456789abcdef0123456789abcdef"


@contextmanager
def following(
    folder: Path, user: Mapping[str, str], name: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`segtune logs --follow` that shows the log: its process, and what it tells."""
    shown, told = folder / "shown.txt", folder / "told.txt"
    with shown.open("wb") as out, told.open("wb") as errors:
        follower = subprocess.Popen(
            [sys.executable, "-m", "tune.cli", "logs", name, "--follow"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **user},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
        )
    try:
        until("it shows the log", lambda: "study lost begins" in shown.read_text())
        yield follower, told
    finally:
        follower.kill()
        follower.wait()


def test_a_study_goes_on_at_a_head_that_came_back_with_another_token(tmp_path: Path) -> None:
    study = write(tmp_path)
    tables = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(tmp_path / "tables")}
    with running_head(cpus=TRIALS, **tables) as head:
        assert asked(tmp_path, head.user, "submit", "study.yaml").returncode == 0
        wait_for_reports(study, 2 * TRIALS)
        with following(tmp_path, head.user, "lost") as (follower, told):
            ours = [p for p in with_mark("lost") if "tune.job.entry" in " ".join(p.cmdline())]
            assert ours
            for process in victims(head, "all of Ray"):
                os.kill(process.pid, signal.SIGKILL)
            until("it says so", lambda: "the job goes on" in told.read_text())
            _, alive = psutil.wait_procs(ours, timeout=GONE_S)
            assert alive == []
            before = reports(study)
            head.start_again(TRIALS, OTHER)
            assert follower.wait(timeout=GONE_S) == 2, told.read_text()
            assert "expected the cluster's token, got another one (403)" in told.read_text()
            assert "Traceback" not in told.read_text()
        assert state_of(head, "lost") != "RUNNING"
        again = asked(tmp_path, head.user, "submit", "study.yaml")
        assert again.returncode == 0, again.stderr
        until("it ends", lambda: state_of(head, "lost") == "SUCCEEDED", 300)
    assert reports(study) >= before
    trials = StudyDir.open(study).trials()
    assert [trial.state for trial in trials] == ["complete"] * TRIALS
    expected = {(n, epoch): 1 for n in range(TRIALS) for epoch in range(1, EPOCHS + 1)}
    assert journalled(study) == expected
