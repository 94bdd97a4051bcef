"""Workers that die alone under a living driver, or live on after their driver was killed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.discs import prepare_discs
from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.servers.processes import command_of
from tests.support.servers.ray_clusters import ray_nodes, until
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


def started(machine: Computer, folder: Path) -> tuple[psutil.Process, Path]:
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
    found = [p for p in below if "ray::ResourceTrainable" in command_of(p)]
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
    for verb in ("status", "report", "compare"):  # which read beside the driver
        said = machine.run(verb, str(study))
        assert said.endswith("exit code 0"), said
    assert machine.drivers[0].wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
    said = machine.log.read_text() + (study / "segtune.log").read_text()
    assert "its worker died; it goes on from its checkpoint" in said
    assert "Traceback" not in machine.log.read_text()
    check_whole(study)
    assert sorted(attempts(study)) == [1, 1, 2]


def test_what_a_frozen_nodes_workers_do_after_the_next_driver_began_changes_nothing(
    tmp_path: Path,
) -> None:
    """A second attempt is under way before the first has wholly ended."""
    with ray_nodes(tmp_path, prepare_discs(tmp_path / "discs").root, num_gpus=0) as nodes:
        frozen: list[psutil.Process] = []
        try:
            driver = nodes.start("late", "{concurrent: 2, cpus_per_trial: 4}", trials=2, epochs=30)
            until("both train", lambda: len({t["raylet"] for t in nodes.trained("late")}) == 2)
            raylet = psutil.Process(nodes.nodes[0].all_processes["raylet"][0].process.pid)
            frozen = [raylet, *raylet.children(recursive=True)]
            for process in frozen:
                process.suspend()
            driver.kill()
            driver.wait(timeout=60)
            study, before = nodes.study("late"), len(nodes.trained("late"))
            resumed = nodes.resume("late")
            until("it goes on", lambda: len(nodes.trained("late")) >= before + 2)
            engines = [process for process in frozen if "forkserver" in command_of(process)]
            assert engines, "nothing was left to write late"
            for process in frozen:
                process.resume()
            assert resumed.wait(timeout=300) == 0, nodes.log("late")[-3000:]
            epochs = [(trial, epoch) for trial in range(2) for epoch in range(1, 31)]
            assert sorted(written(study)) == epochs
            for trial in StudyDir.open(study).trials():
                assert trial.state == "complete"
                assert [line["epoch"] for line in trial.metrics] == list(range(1, 31))
        finally:
            for process in frozen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
            nodes.end_studies()
