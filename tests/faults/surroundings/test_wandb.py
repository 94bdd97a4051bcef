"""A W&B that refuses, hangs or is gone under a real driver: no epoch waits for it or lacks there.

What it did not take stays in the study, and `segtune wandb upload` brings it there.
"""

from pathlib import Path

import pytest

from tests.support.servers.machines import WAIT_S, computers, wait_until
from tests.support.servers.wandb_server import Behaviour, wandb_server
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

KEY = "0123456789abcdef" * 2 + "01234567"

TRIALS, EPOCHS = 4, 5


@pytest.mark.parametrize("behaviour", ["refuses", "hangs"])
def test_a_study_ends_without_it_and_is_uploaded_when_it_is_back(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    with computers(tmp_path, 1) as [machine], wandb_server() as server:
        study = machine.disk / "studies" / "sample"
        file = write_study(
            tmp_path,
            storage=str(study.parent),
            budget={"trials": TRIALS, "epochs": EPOCHS},
            scheduler="none",
            plateau="none",
            fixed={"epoch_seconds": 0.5},
            resources={"concurrent": 2, "cpus_per_trial": 1},
        )
        online = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        driver = machine.start("tune", str(file), **online)
        journal = study / "optuna.journal"
        wait_until("runs are there", machine.log, lambda: len(server.runs) >= 2)
        wait_until("epochs are", machine.log, lambda: len(values_written(journal)) >= 4)
        server.behaviour = behaviour
        assert driver.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
        assert "Traceback" not in machine.log.read_text()
        trials = StudyDir.open(study).trials()
        assert [(trial.state, trial.epochs) for trial in trials] == [("complete", EPOCHS)] * TRIALS
        server.behaviour = "well"
        uploading = machine.start("wandb", "upload", str(study), **online)
        assert uploading.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
        assert len(server.runs) == TRIALS
        for run in server.runs.values():
            assert run.steps == list(range(1, EPOCHS + 1))
