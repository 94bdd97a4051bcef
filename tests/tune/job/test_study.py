"""A study file sent to where its study is already: gone on with, unless it is another study."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_study
from tune.errors import StudyError
from tune.job.study import planned_study


def sent(folder: Path, **changes: Any) -> Path:
    point = {"points": list[Any]()}  # as `rehearse` has it
    return write_study(folder, search_space="default", warm_start=point, **changes)


def test_a_study_that_is_not_there_begins(tmp_path: Path) -> None:
    made, goes_on = planned_study(sent(tmp_path))
    assert (made.directory, goes_on) == (tmp_path / "studies" / "sample", False)


def test_the_same_file_goes_on_and_may_raise_the_budget(tmp_path: Path) -> None:
    rehearse(tmp_path, stop_after=3, search_space="default")
    made, goes_on = planned_study(sent(tmp_path))
    assert goes_on
    assert made.study.budget.trials == 8
    made, goes_on = planned_study(sent(tmp_path, budget={"trials": 9, "epochs": 40}))
    assert goes_on
    assert made.study.budget.trials == 9


def test_another_study_of_the_same_name_is_refused_by_key(tmp_path: Path) -> None:
    rehearse(tmp_path, stop_after=3, search_space="default")
    with pytest.raises(StudyError, match="seed: expected the value that the study there began"):
        planned_study(sent(tmp_path, seed=7))
