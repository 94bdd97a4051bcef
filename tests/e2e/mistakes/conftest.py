"""A folder without a mistake."""

import shutil
from pathlib import Path

import pytest

from tests.support.raw_samples import (
    labelme_set,
)
from tests.support.rehearsed_study import rehearse
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, TrainedOn
from tune.best.file import to_yaml
from tune.study.file import write_yaml

STUDY = {
    "study": "sample",
    "data": "data",
    "trainable": "simulated",
    "budget": {"trials": 2, "epochs": 4},
    "tracking": {"wandb": {"mode": "disabled"}},
}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a mistake: raw and prepared data, a study file, two studies."""
    folder = tmp_path_factory.mktemp("right")
    labelme_set(folder / "raw")
    prepare(folder / "raw", folder / "data")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("notes\n")
    (folder / "study.yaml").write_text(write_yaml(STUDY))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    begun = rehearse(elsewhere, run=False, study="begun")
    budget = {"trials": 1, "epochs": 2}
    done = rehearse(elsewhere, study="done", budget=budget, scheduler={"kind": "none"})
    for study in (begun, done):
        shutil.copytree(study.path, folder / study.study.study)
    return folder


@pytest.fixture
def folder(tmp_path: Path, right: Path) -> Path:
    """A copy of it, with a best.yaml that was tuned on the copy's data."""
    folder = tmp_path / "here"
    shutil.copytree(right, folder)
    data = PreparedDataset.load(folder / "data")
    config = BestConfig(
        engine="simulated",
        params={"lr0": 0.003, "epoch_seconds": 0.05},
        epochs=3,
        objective=Reached(metric="seg_metrics/F1", value=0.5, epoch=2),
        data=TrainedOn(path=data.root, fingerprint=data.fingerprint),
        classes=data.classes,
        source=ConfigOrigin(study="sample"),
    )
    (folder / "best.yaml").write_text(to_yaml(config))
    return folder
