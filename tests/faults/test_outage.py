"""A bucket that is away under a real driver: the study goes on, then pauses; back, it ships all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.bucket_server import bucket_server, troubled
from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tune.mirror.bringing import bring, read_mirror
from tune.mirror.mirror import place_of

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Computer]:
    with computers(tmp_path, 1) as [made]:
        yield made


def test_a_study_goes_on_without_its_bucket_pauses_and_ships_when_it_is_back(
    machine: Computer, tmp_path: Path
) -> None:
    with bucket_server() as bucket, troubled() as trouble:
        address = f"{bucket}/outage/sample"
        study = machine.disk / "studies" / "sample"
        file = write_study(
            tmp_path,
            storage=str(study.parent),
            mirror={
                "place": f"{bucket}/outage",
                "every_seconds": 0.5,
                "lease_seconds": 3.0,
                "alone_minutes": 0.2,
            },
            budget={"trials": 200, "epochs": 5},
            scheduler={"kind": "none"},
            plateau="none",
            fixed={"epoch_seconds": 0.3},
            resources={"concurrent": 1, "cpus_per_trial": 1},
            tracking={"wandb": {"mode": "disabled"}},
        )
        driver = machine.start("tune", str(file))
        wait_until("it is shipped", machine.log, lambda: epochs_at(address) >= 2)
        trouble.how = "503"
        before = len(values_written(study / "optuna.journal"))
        assert driver.wait(timeout=WAIT_S) == 2, machine.log.read_text()[-3000:]
        said = machine.log.read_text()
        assert "goes on here for 0.2 minutes without it, then pauses" in said
        assert "cannot be written" in said
        assert "the trials have paused" in said
        assert "Traceback" not in said
        here = values_written(study / "optuna.journal")
        assert len(here) > before, "it did not go on alone"
        trouble.how = "none"
        assert epochs_at(address) < len(here)
        resumed = machine.run("resume", str(study), "--set", "budget.hours=0.000001")
        assert resumed.endswith("exit code 0"), resumed
        bring(place_of(address), tmp_path / "elsewhere" / "sample")
        there = values_written(tmp_path / "elsewhere/sample/optuna.journal")
        assert there[: len(here)] == here


def epochs_at(address: str) -> int:
    text = read_mirror(place_of(address)).files.get("optuna.journal", b"")
    return bytes(text).count(b'"op_code":7')
