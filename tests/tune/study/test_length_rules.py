"""Hyperparameters that do not fit into a study's epochs, for an engine with a loop of ours."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.study_samples import write_study
from tune.errors import StudyError
from tune.plan.planning import plan_file
from tune.study.study import Study

PARAMS = """
from search_spaces.training import LoopParams
from trainables.contract import EngineInfo

INFO = EngineInfo("looping", LoopParams, ("seg_metrics",), "seg_metrics/F1", "default")
"""


@pytest.fixture(autouse=True)
def looping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine of somebody's, as far as a study is checked."""
    plugins = tmp_path / "plugins"
    (plugins / "looping_engine").mkdir(parents=True)
    (plugins / "looping_engine" / "__init__.py").touch()
    (plugins / "looping_engine" / "params.py").write_text(PARAMS)
    (plugins / "looping-1.dist-info").mkdir()
    entry = "[segtune.engines]\nlooping = looping_engine\n"
    (plugins / "looping-1.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(plugins)


def load(folder: Path, epochs: int, **changes: Any) -> Study:
    space = {"learning_rate": {"loguniform": [1e-4, 1e-2]}, **changes.pop("search_space", {})}
    values = {"budget": {"trials": 4, "epochs": epochs}, "search_space": space, **changes}
    return plan_file(write_study(folder, trainable="looping", **values)).study


def test_a_study_whose_warm_up_fits_is_taken(tmp_path: Path) -> None:
    assert load(tmp_path, 6).budget.epochs == 6
    assert load(tmp_path, 5, fixed={"warmup_epochs": 2}).fixed == {"warmup_epochs": 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "fixed.warmup_epochs: expected fewer than the 5 epochs of the training, got 5, its"),
        ({"fixed": {"warmup_epochs": 7}}, "fixed.warmup_epochs: expected fewer than .* got 7; the"),
        (
            {"search_space": {"warmup_epochs": {"randint": [0, 10]}}},
            "search_space.warmup_epochs: expected fewer than .* got 9; the nearest is 4",
        ),
        (
            {"fixed": {"warmup_epochs": 1, "scheduler": "multistep", "milestones": [3, 9]}},
            r"fixed.milestones: expected epochs after the warm-up \(1\) and before .* \(5\), got 9",
        ),
    ],
    ids=["default", "fixed", "searched", "milestones"],
)
def test_what_does_not_fit_into_the_epochs_is_told_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        load(tmp_path, 5, **changes)


def test_a_milestone_that_is_not_rising_is_told_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"fixed.milestones: expected rising epochs, got \[8, 6\]"):
        load(tmp_path, 20, fixed={"scheduler": "multistep", "milestones": [8, 6]})
