"""The model that a path means."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.best_config import export_best
from analysis.errors import AnalysisError, EvaluateError
from analysis.evaluation.model import TrainedModel, find_model
from analysis.leaderboard import best_trial
from analysis.retrain import retrain
from tests.analysis.rehearsed_study import rehearse
from tests.discs import CLASSES, prepare_discs
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import EngineError
from tune.errors import StoreError
from tune.store import StudyDir


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def study(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """Three trials of a simulated engine on pictures that are there."""
    return rehearse(
        tmp_path_factory.mktemp("study"),
        data=str(discs.root),
        budget={"trials": 3, "epochs": 4},
        search="random",
        scheduler={"kind": "none"},
    )


@pytest.fixture(scope="module")
def leader(study: StudyDir) -> int:
    best = best_trial(study.trials(), "max")
    assert best is not None
    return best.number


@pytest.fixture
def attempt(study: StudyDir) -> Path:
    return study.path / "trials" / "1" / "attempt-1"


def test_a_study_is_its_best_trial(study: StudyDir, leader: int) -> None:
    model = find_model(study.path)
    assert model.path == study.path / f"trials/{leader}/attempt-1/best/model.pt"
    assert (model.engine, model.classes) == ("simulated", CLASSES)
    assert f"study {study.study.study}, trial {leader}, epoch " in model.origin
    assert model.fingerprint == study.resolved["fingerprint"]
    assert model.metrics["seg_metrics/F1"] > 0


@pytest.mark.parametrize("given", ["folder", "best.yaml", "model.pt"])
def test_an_export_is_known_wherever_it_lies(study: StudyDir, tmp_path: Path, given: str) -> None:
    best = export_best(study, tmp_path / "elsewhere")
    model = find_model(best if given == "folder" else best / given)
    assert model.path == best / "model.pt"
    assert (model.engine, model.classes) == ("simulated", CLASSES)


def test_a_retrained_folder_and_its_best_are_one_model(study: StudyDir, tmp_path: Path) -> None:
    retrain(export_best(study, tmp_path / "best"), None, tmp_path / "again", epochs=2)
    model = find_model(tmp_path / "again")
    assert model == find_model(tmp_path / "again" / "best")
    assert model.path == tmp_path / "again" / "best" / "model.pt"
    assert "retrained" in model.origin
    assert model.name.endswith("-retrained")


def test_an_unfinished_retraining_is_known_by_what_it_trains(
    study: StudyDir, tmp_path: Path
) -> None:
    retrain(export_best(study, tmp_path / "best"), None, tmp_path / "again", epochs=2)
    for name in ("best.yaml", "best.json"):
        (tmp_path / "again" / "best" / name).unlink()
    model = find_model(tmp_path / "again")
    assert model.engine == "simulated"
    assert "unfinished retraining" in model.origin
    assert model.fingerprint == study.resolved["fingerprint"]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("", "best"),
        ("attempt-1", "best"),
        ("attempt-1/best", "best"),
        ("attempt-1/checkpoint", "checkpoint"),
        ("attempt-1/checkpoint/model.pt", "checkpoint"),
    ],
)
def test_a_folder_of_a_trial_is_that_trial(
    study: StudyDir, attempt: Path, place: str, found: str
) -> None:
    model = find_model(attempt.parent / place)
    assert model.path == attempt / found / "model.pt"
    assert model.engine == "simulated"
    assert model.origin.startswith(f"study {study.study.study}, trial 1, epoch ")
    assert "lr0" in model.params
    assert model.metrics


def test_a_checkpoint_is_of_the_last_epoch(attempt: Path) -> None:
    assert find_model(attempt / "checkpoint").origin.endswith("epoch 4")


def test_a_file_alone_needs_the_name_of_its_engine(attempt: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(attempt / "best" / "model.pt", tmp_path / "mine.pt"))
    with pytest.raises(EvaluateError, match=r"mine\.pt: .*--trainable .*simulated"):
        find_model(alone)
    model = find_model(alone, "simulated")
    assert model == TrainedModel("simulated", alone, "mine", "a file")
    assert model.limit is None


def test_another_engine_than_the_one_that_trained_it_is_refused(study: StudyDir) -> None:
    with pytest.raises(EvaluateError, match=r"--trainable: expected simulated, .*got yolo_seg"):
        find_model(study.path, "yolo_seg")
    assert find_model(study.path, "simulated").engine == "simulated"


def test_an_unknown_engine_is_refused_by_name(attempt: Path) -> None:
    with pytest.raises(EngineError, match="did you mean simulated"):
        find_model(attempt, "simulatd")


def test_a_path_that_is_not_there_is_told_with_the_nearest_one(study: StudyDir) -> None:
    wrong = study.path.with_name(study.path.name + "s")
    with pytest.raises(EvaluateError, match=f"did you mean {study.path.name}"):
        find_model(wrong)
    with pytest.raises(EvaluateError, match="does not exist either"):
        find_model(wrong / "more")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"got a folder without model\.pt"):
        find_model(tmp_path)


def test_a_study_without_a_trial_is_refused(not_begun: StudyDir, all_failed: StudyDir) -> None:
    with pytest.raises(AnalysisError, match=r"expected a trial with a value of .*, got 0 trials"):
        find_model(not_begun.path)
    failed = all_failed.path / "trials" / "0"
    for place in failed.rglob("model.pt"):
        assert find_model(place).origin.startswith("study")


def test_a_damaged_study_says_what_cannot_be_read(study: StudyDir, tmp_path: Path) -> None:
    copy = shutil.copytree(study.path, tmp_path / study.path.name)
    (copy / "resolved.json").write_text('{"engine": ')
    with pytest.raises(StoreError, match=r"resolved\.json: .* cannot be read"):
        find_model(copy)


def test_metrics_that_cannot_be_read_are_left_out(attempt: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(attempt / "best", tmp_path / "loose")
    assert find_model(folder, "simulated").metrics
    (folder / "metrics.json").write_text(json.dumps(["nothing"]))
    assert find_model(folder, "simulated").metrics == {}
