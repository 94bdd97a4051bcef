"""A checkpoint that was damaged while a study was not running: its trial trains once more."""

import signal
from pathlib import Path

import pytest

from tests.support.discs import prepare_discs
from tests.support.servers.machines import WAIT_S, computers, wait_until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

EPOCHS = 6


def test_a_trial_whose_checkpoint_is_damaged_trains_from_its_beginning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    prepare_discs(tmp_path / "discs")
    with computers(tmp_path, 1) as [machine]:
        study = machine.disk / "studies" / "sample"
        file = write_study(
            tmp_path,
            trainable="unet_selftraining",
            data=str(tmp_path / "discs" / "prepared"),
            storage=str(study.parent),
            budget={"trials": 1, "epochs": EPOCHS},
            search_space={"preset": "smoke"},
            scheduler="none",
            plateau="none",
            resources={"concurrent": 1, "cpus_per_trial": 1},
            tracking={"wandb": {"mode": "disabled"}},
        )
        journal = study / "optuna.journal"
        driver = machine.start("tune", str(file))
        wait_until(
            "epochs are there",
            machine.log,
            lambda: journal.exists() and len(values_written(journal)) >= 2,
        )
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=WAIT_S) == 130, machine.log.read_text()[-3000:]
        before = values_written(journal)
        assert 2 <= len(before) < EPOCHS
        [state] = study.glob("trials/0/attempt-1/checkpoint/state.pt")
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1  # of some weight or moment, which can be any number
        state.write_bytes(content)
        said = machine.run("resume", str(study))
        assert said.endswith("exit code 0"), said[-3000:]
        assert "state.pt: expected a file written by segtune's unet_selftraining engine" in said
        assert "it trains from its beginning" in said
        assert values_written(journal) == [(0, epoch) for epoch in range(1, EPOCHS + 1)]
        [trial] = StudyDir.open(study).trials()
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == list(range(1, EPOCHS + 1))
        assert trial.best_model is not None
