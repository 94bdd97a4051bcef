"""Workers that die alone under a living driver, or live on after their driver was killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

TRIALS, EPOCHS = 3, 12


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Computer]:
    with computers(tmp_path, 1) as [made]:
        yield made


def written(study: Path) -> list[tuple[int, int]]:
    journal = study / "optuna.journal"
    return values_written(journal) if journal.exists() else []


def started(machine: Computer, folder: Path, **changes: object) -> tuple[psutil.Process, Path]:
    """The driver of a study that has trained some epochs, and the study's directory."""
    file = write_study(
        folder,
        storage=str(machine.disk / "studies"),
        budget={"trials": TRIALS, "epochs": EPOCHS},
        scheduler="none",
        plateau="none",
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": 2, "cpus_per_trial": 1},
        tracking={"wandb": {"mode": "disabled"}},
    )
    driver = machine.start("tune", str(file))
    study = machine.disk / "studies" / "sample"
    wait_until("epochs are there", machine.log, lambda: len(written(study)) >= 6)
    return psutil.Process(driver.pid), study


def workers(driver: psutil.Process) -> list[psutil.Process]:
    """The processes in which trials train."""
    below = driver.children(recursive=True)
    found = [p for p in below if "ray::ResourceTrainable" in " ".join(p.cmdline())]
    assert found
    return found


def attempts(study: Path) -> list[int]:
    return [len(list((study / "trials" / f"{n}").glob("attempt-*"))) for n in range(TRIALS)]


def check_whole(study: Path) -> None:
    assert sorted(written(study)) == [(t, e) for t in range(TRIALS) for e in range(1, EPOCHS + 1)]
    for trial in StudyDir.open(study).trials():
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == list(range(1, EPOCHS + 1))


def test_a_worker_that_is_killed_costs_its_trial_the_running_epoch(
    machine: Computer, tmp_path: Path
) -> None:
    driver, study = started(machine, tmp_path)
    workers(driver)[0].kill()
    assert machine.drivers[0].wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
    said = machine.log.read_text() + (study / "segtune.log").read_text()
    assert "its worker died; it goes on from its checkpoint" in said
    assert "Traceback" not in machine.log.read_text()
    check_whole(study)
    assert sorted(attempts(study)) == [1, 1, 2]


def test_what_a_dead_drivers_workers_do_later_changes_nothing(
    machine: Computer, tmp_path: Path
) -> None:
    """A second attempt is under way before the first has wholly ended."""
    driver, study = started(machine, tmp_path)
    sleepers = driver.children(recursive=True)
    old = workers(driver)
    try:
        for process in sleepers:
            process.suspend()
        os.kill(driver.pid, signal.SIGKILL)
        machine.drivers.pop().wait(timeout=60)
        before = len(written(study))
        resumed = machine.start("resume", str(study))
        wait_until("it goes on", machine.log, lambda: len(written(study)) >= before + 2)
        assert all(worker.is_running() for worker in old)
        for process in sleepers:
            process.resume()
        assert resumed.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
        check_whole(study)
        deadline = time.monotonic() + 60
        while left := [worker for worker in old if worker.is_running()]:
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
    finally:
        for process in sleepers:
            if process.is_running():
                process.kill()
