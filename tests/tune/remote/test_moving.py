"""A study moved to a cluster: refused before anybody is asked to pause, or gone on with there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.jobs.cluster import Cluster
from cluster.jobs.login import find_login
from cluster.storage.lease import read_lease
from tests.support.command_line import segtune
from tests.support.rehearsed_study import rehearse
from tests.support.servers.heads import Head, running_head
from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked, log_of, reports, wait_for_reports
from tune.directory.reader import StudyDir
from tune.mirror.mirror import mirror_address, mirrored, place_of


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """A study that is half done, and shipped to a folder."""
    mirror = {"place": str(tmp_path / "shared"), "lease_seconds": 1}
    made = rehearse(tmp_path, budget={"trials": 2, "epochs": 5}, mirror=mirror, stop_after=7)
    with mirrored(made.study, made.path, resume=True):
        pass
    return StudyDir.open(made.path)


@pytest.mark.parametrize(
    "option", [("--keep-alive", "2"), ("--send-data",), ("--through", "gs://b/f")]
)
def test_options_of_clusters_are_refused_where_there_is_none(
    option: tuple[str, ...], study: StudyDir, tmp_path: Path
) -> None:
    done = segtune(tmp_path, "move", str(study.path), "--to", "gs://nowhere/else", *option)
    assert done.returncode == 2
    assert "expected with the URL of a cluster alone" in done.stderr


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with running_head(cpus=1) as head:
        yield head


@pytest.mark.ray
@pytest.mark.slow
def test_what_cannot_go_on_there_stays_where_it_is(
    head: Head, study: StudyDir, tmp_path: Path
) -> None:
    address = mirror_address(study.study)
    before = read_lease(place_of(address).documents)
    to = ["--to", head.address, "--set", f"storage={tmp_path / 'there'}"]
    for more, said in (
        (["--set", "data=/no/such/place"], "data: expected /no/such/place"),
        (["--set", "seed=7"], "seed: expected the value the study began with"),
        (["--through", "gs://other/place"], "--through: expected none, as the study is at"),
    ):
        refused = asked(tmp_path, head.user, "move", address, *to, *more)
        assert refused.returncode == 2, refused.stderr
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    unshipped = rehearse(tmp_path / "other", run=False)
    refused = asked(tmp_path, head.user, "move", str(unshipped.path), *to)
    assert refused.returncode == 2
    assert "--through gs://BUCKET/FOLDER gives it one" in refused.stderr
    assert read_lease(place_of(address).documents) == before, "somebody was asked to pause"
    assert not (tmp_path / "there" / "sample").exists()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_study_that_runs_here_without_a_mirror_goes_on_there(head: Head, tmp_path: Path) -> None:
    with computers(tmp_path, 1) as [laptop]:
        here = laptop.disk / "studies" / "moving"
        file = write_study(tmp_path, **_endless(storage=str(here.parent)))
        driver = laptop.start("tune", str(file))
        wait_until("it runs", laptop.log, lambda: reports(here) >= 3)
        moved = _moved(laptop, head, here, tmp_path)
        assert moved.returncode == 0, moved.stderr
        assert driver.wait(timeout=WAIT_S) == 0, laptop.log.read_text()[-3000:]
        assert "it goes on elsewhere" in laptop.log.read_text()
        there = tmp_path / "there" / "moving"
        assert f"study moving goes on: {there}" in log_of(head, "moving")
        left = (here / "optuna.journal").read_bytes()
        wait_for_reports(there, reports(here) + 2)
        revived = laptop.run("resume", str(here))
        assert revived.endswith("exit code 2"), revived
        assert "is running this study (term" in revived
    cluster = Cluster(find_login(head.address, head.user, head.folder, insecure=False))
    assert cluster.named("moving").metadata["mirror"] == f"{tmp_path / 'shared'}/moving"
    stopped = asked(tmp_path, head.user, "stop", "moving")
    assert stopped.returncode == 0, stopped.stderr
    assert (there / "optuna.journal").read_bytes().startswith(left)
    counted = values_written(there / "optuna.journal")
    assert len(counted) == len(set(counted)), "an epoch is double"


def _endless(**changes: Any) -> dict[str, Any]:
    """A study that no machine ends in time."""
    return {
        "study": "moving",
        "budget": {"trials": 400, "epochs": 30},
        "fixed": {"epoch_seconds": 0.5},
        "resources": {"concurrent": 1, "cpus_per_trial": 1},
        "tracking": {"wandb": {"mode": "disabled"}},
        **changes,
    }


def _moved(
    laptop: Computer, head: Head, study: Path, folder: Path
) -> "subprocess.CompletedProcess[str]":
    storage, through = f"storage={folder / 'there'}", str(folder / "shared")
    words = ["--to", head.address, "--through", through, "--set", storage]
    return asked(laptop.disk, head.user, "move", str(study), *words)
