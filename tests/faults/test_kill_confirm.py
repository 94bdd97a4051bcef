"""A real `kill -9` of a race halfway, on a real Ray: the same command goes on with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.models.confirmed import read_verdict
from tests.support.places import ROOT
from tests.support.rehearsed_study import rehearse
from tests.support.simulation import values_written
from tune.directory.reader import StudyDir

WAIT_S = 300  # for what takes seconds where the machine has nothing else to do
EPOCHS = 6


def confirm(study: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", "confirm", str(study), "--trainings", "16"],
            stdout=file,
            stderr=file,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            start_new_session=True,
        )


def reports(journal: Path) -> int:
    return len(values_written(journal)) if journal.exists() else 0


@pytest.mark.ray
@pytest.mark.long
def test_a_race_that_is_killed_halfway_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path,
        budget={"trials": 6, "epochs": EPOCHS},
        fixed={"noise": 0.02, "epoch_seconds": 0.1},
        resources={"concurrent": 2, "cpus_per_trial": 1},
        tracking={"wandb": {"mode": "disabled"}},
        storage=str(tmp_path / "studies"),
    )
    race, log = study.path.with_name("sample-confirm"), tmp_path / "log"
    driver = confirm(study.path, log)
    deadline = time.monotonic() + WAIT_S
    while reports(race / "optuna.journal") < 5 * EPOCHS:
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    stated = read_verdict(race)
    assert stated is not None
    assert not stated.over
    assert confirm(study.path, log).wait(timeout=WAIT_S) == 0, log.read_text()
    said = read_verdict(race)
    assert said is not None
    assert said.over
    assert said.winner is not None
    assert said.test is not None
    assert [one.name for one in said.contenders] == [one.name for one in stated.contenders]
    trials = StudyDir.open(race).trials()
    assert {t.state for t in trials} == {"complete"}
    assert sum(len(one.values) for one in said.contenders) == len(trials) <= 16
    pairs = values_written(race / "optuna.journal")
    assert sorted(pairs) == [(n, e) for n in range(len(trials)) for e in range(1, EPOCHS + 1)]
    assert (race / "best" / "best.yaml").is_file()
    assert (race / "confirm.html").is_file()
