"""Disks that fill up, or may only be read, under a real driver: what is there stays whole."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tune.directory.reader import StudyDir

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False
    )
    if made.returncode:
        pytest.skip("this machine lets nobody mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Computer]:
    with computers(tmp_path, 1) as [made]:
        yield made


def study_on(disk: Path, folder: Path) -> str:
    return str(
        write_study(
            folder,
            storage=str(disk / "studies"),
            budget={"trials": 3, "epochs": 8},
            scheduler={"kind": "none"},
            plateau="none",
            fixed={"epoch_seconds": 0.5},
            resources={"concurrent": 1, "cpus_per_trial": 1},
            tracking={"wandb": {"mode": "disabled"}},
        )
    )


def fill(disk: Path) -> Path:
    """Leave no room on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return filler


def written(study: Path) -> list[tuple[int, int]]:
    journal = study / "optuna.journal"
    return values_written(journal) if journal.exists() else []


def check_whole(study: Path) -> None:
    assert sorted(written(study)) == [(t, e) for t in range(3) for e in range(1, 9)]
    trials = StudyDir.open(study).trials()
    assert [(trial.state, trial.epochs) for trial in trials] == [("complete", 8)] * 3


def test_a_disk_that_fills_up_ends_the_study_and_none_of_its_trials(
    disk: Path, machine: Computer, tmp_path: Path
) -> None:
    study = disk / "studies" / "sample"
    driver = machine.start("tune", study_on(disk, tmp_path))
    wait_until("epochs are there", machine.log, lambda: len(written(study)) >= 3)
    filler = fill(disk)
    assert driver.wait(timeout=WAIT_S) == 2, machine.log.read_text()[-3000:]
    said = machine.log.read_text()
    assert f"expected room for its files in {study}" in said
    assert "Traceback" not in said
    assert {trial.state for trial in StudyDir.open(study).trials()} <= {"waiting", "complete"}
    filler.unlink()
    assert machine.run("resume", str(study)).endswith("exit code 0")
    check_whole(study)


def test_a_disk_that_may_only_be_read_is_told_and_nothing_is_changed(
    disk: Path, machine: Computer, tmp_path: Path
) -> None:
    study = disk / "studies" / "sample"
    driver = machine.start("tune", study_on(disk, tmp_path))
    wait_until("epochs are there", machine.log, lambda: len(written(study)) >= 3)
    driver.terminate()
    assert driver.wait(timeout=WAIT_S) == 130
    before = (study / "optuna.journal").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    said = machine.run("resume", str(study))
    assert said.endswith("exit code 2")
    assert "Traceback" not in said
    assert "make it writable" in said
    assert "sample" in machine.run("status", str(study))
    assert (study / "optuna.journal").read_bytes() == before
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert machine.run("resume", str(study)).endswith("exit code 0")
    check_whole(study)
