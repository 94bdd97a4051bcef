"""Checkpoints of ended trials are removed, and never what resuming or exporting needs."""

import shutil
from pathlib import Path

import pytest

from analysis.models.export import export_best
from tests.support.command_line import segtune
from tests.support.rehearsed_study import go_on, rehearse
from trainables.trials.layout import BEST_FOLDER, CHECKPOINT_FOLDER, MODEL_FILE
from tune.directory.leftovers import Leftover, clean, leftovers, size_of
from tune.directory.lock import DriverLock
from tune.directory.reader import StudyDir
from tune.directory.writer import Recorder
from tune.errors import StoreError


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """Two trials of five epochs: the first has ended and is closed, the second is half trained."""
    made = rehearse(
        tmp_path, budget={"trials": 2, "epochs": 5}, scheduler={"kind": "none"}, stop_after=8
    )
    (made.path / "trials" / "0" / "closed.json").write_text('{"attempts": 1}')
    return StudyDir.open(made.path)


def folder(study: StudyDir, trial: int, name: str) -> Path:
    return study.path / "trials" / str(trial) / "attempt-1" / name


def test_what_can_be_removed_is_listed_with_its_size_and_nothing_is(study: StudyDir) -> None:
    checkpoint = folder(study, 0, CHECKPOINT_FOLDER)
    files = sorted(study.path.rglob("*"))
    assert leftovers(study) == [Leftover(checkpoint, size_of(checkpoint))]
    assert size_of(checkpoint) == sum(path.stat().st_size for path in checkpoint.iterdir()) > 0
    assert sorted(study.path.rglob("*")) == files


def test_a_cleaned_study_exports_and_goes_on(study: StudyDir) -> None:
    before = study.trials()
    assert [one.path for one in clean(study)] == [folder(study, 0, CHECKPOINT_FOLDER)]
    assert not folder(study, 0, CHECKPOINT_FOLDER).exists()
    assert folder(study, 1, CHECKPOINT_FOLDER).is_dir()
    assert study.trials() == before
    assert clean(study) == []
    assert (export_best(study) / MODEL_FILE).is_file()
    whole = go_on(study)
    assert [trial.epochs for trial in whole.trials()] == [5, 5]
    assert whole.trials()[0] == before[0]


def test_a_trial_that_is_not_closed_keeps_its_checkpoint(study: StudyDir) -> None:
    (study.path / "trials" / "0" / "closed.json").unlink()
    assert leftovers(study) == []


def test_a_trial_without_a_best_model_keeps_what_it_has(study: StudyDir) -> None:
    shutil.rmtree(folder(study, 0, BEST_FOLDER))
    assert leftovers(study) == []


def test_earlier_attempts_are_left_over(study: StudyDir) -> None:
    trial = study.path / "trials" / "0"
    shutil.copytree(trial / "attempt-1", trial / "attempt-2")
    assert [one.path.relative_to(trial).as_posix() for one in leftovers(study)] == [
        "attempt-1",
        "attempt-2/checkpoint",
    ]


def test_a_study_that_is_driven_is_not_cleaned(study: StudyDir) -> None:
    lock = DriverLock(study.path / ".driver")
    assert lock.acquire() is None
    with pytest.raises(StoreError, match="a driver is running this study"):
        clean(study)
    lock.release()
    assert folder(study, 0, CHECKPOINT_FOLDER).is_dir()


def test_a_trial_that_is_closed_keeps_its_best_model_alone(study: StudyDir) -> None:
    Recorder(study.path, {}).close(0)
    assert not folder(study, 0, CHECKPOINT_FOLDER).exists()
    assert (folder(study, 0, BEST_FOLDER) / MODEL_FILE).is_file()
    assert folder(study, 1, CHECKPOINT_FOLDER).is_dir()


@pytest.mark.slow
def test_the_verb_says_what_it_would_remove_and_then_removes_it(study: StudyDir) -> None:
    checkpoint = folder(study, 0, CHECKPOINT_FOLDER)
    size = f"{size_of(checkpoint) / 1e6:10.1f} MB"
    said = (
        f"{size}  {checkpoint}\n{size}  would be freed, 1 folder; best models and artifacts stay\n"
    )
    ran = segtune(study.path, "clean", str(study.path), "--dry-run")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said, "")
    assert checkpoint.is_dir()
    ran = segtune(study.path, "clean", str(study.path))
    assert (ran.returncode, ran.stdout) == (0, said.replace("would be freed", "freed"))
    assert not checkpoint.exists()
