import json
from pathlib import Path

import pytest

from analysis.models.experiment import load_hyperparameters, save_hyperparameters
from search_spaces.tasks import (
    ClassificationTraining,
    DetectionTraining,
    SegmentationTraining,
    edited_fields,
    refill,
)
from tune.errors import StudyError

RECORD = {"id": "exp-0123abcd", "status": "created", "split_name": "all"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(RECORD))
    return path


def test_what_is_saved_is_what_is_loaded(file: Path) -> None:
    params = SegmentationTraining(scheduler="multistep", milestones=(20, 40), learning_rate=1e-3)
    save_hyperparameters(file, params)
    assert load_hyperparameters(file, SegmentationTraining) == params
    assert json.loads(file.read_text())["hyperparameters"]["milestones"] == [20, 40]


def test_the_rest_of_the_record_stays(file: Path) -> None:
    save_hyperparameters(file, SegmentationTraining())
    content = json.loads(file.read_text())
    del content["hyperparameters"]
    assert content == RECORD
    assert list(file.parent.iterdir()) == [file]


def test_an_experiment_is_made_where_there_is_none(tmp_path: Path) -> None:
    save_hyperparameters(tmp_path / "experiment.json", DetectionTraining(batch_size=4))
    loaded = load_hyperparameters(tmp_path / "experiment.json", DetectionTraining)
    assert loaded.batch_size == 4


def test_after_loading_a_default_follows_the_architecture_and_an_edited_field_stays(
    file: Path,
) -> None:
    save_hyperparameters(file, ClassificationTraining(learning_rate=0.02))
    loaded = load_hyperparameters(file, ClassificationTraining)
    assert edited_fields(loaded) == {"learning_rate": 0.02}
    assert refill(loaded, DetectionTraining) == DetectionTraining(learning_rate=0.02)


def test_all_problems_of_the_section_come_at_once(file: Path) -> None:
    section = {"learning_rate": -1, "optimiser": "adam", "loss": "mse", "gamma": "0.1"}
    file.write_text(json.dumps({**RECORD, "hyperparameters": section}))
    with pytest.raises(StudyError) as caught:
        load_hyperparameters(file, SegmentationTraining)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{file}: 4 problems"
    said = {line.strip().split(":")[0]: line for line in lines[1:]}
    assert "did you mean optimizer?" in said["hyperparameters.optimiser"]
    assert "a number above 0, got -1" in said["hyperparameters.learning_rate"]
    assert "one of cross_entropy, dice" in said["hyperparameters.loss"]
    assert "got '0.1'" in said["hyperparameters.gamma"]


def test_values_that_contradict_each_other_are_told(file: Path) -> None:
    file.write_text(json.dumps({"hyperparameters": {"warmup_epochs": 60}}))
    with pytest.raises(StudyError, match="hyperparameters: warmup_epochs: expected fewer than"):
        load_hyperparameters(file, SegmentationTraining)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "expected a JSON file"),
        ("{", "expected a JSON file"),
        ("[]", "expected a JSON object, got a list"),
        ("{}", "hyperparameters: expected a mapping, got None"),
    ],
)
def test_what_is_no_experiment_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "experiment.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(StudyError, match=said):
        load_hyperparameters(file, SegmentationTraining)


def test_a_file_that_is_no_experiment_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "experiment.json"
    file.write_text("not JSON")
    with pytest.raises(StudyError, match="expected a JSON file"):
        save_hyperparameters(file, SegmentationTraining())
    assert file.read_text() == "not JSON"
