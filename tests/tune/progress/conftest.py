"""A study to be shown."""

from pathlib import Path

import pytest

from tests.support.shown_studies import plan_of
from tune.plan.plan import StudyPlan


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    return plan_of(tmp_path, trials=4, epochs=50)
