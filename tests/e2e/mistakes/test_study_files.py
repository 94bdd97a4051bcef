"""Mistakes that people make in study files, each refused at once and with a remedy.

Every row is one mistake in an otherwise right study: what is changed, the key that the message
must name, and what it must say: the value, what is allowed, and the nearest valid one.
"""

import time
from pathlib import Path

import pytest

from cluster.machines.machine import Machine
from tests.e2e.mistakes.in_studies import MISTAKES, Mistake
from tests.support.study_samples import minimal, write_data
from tune.errors import StudyError
from tune.plan.planning import plan_file
from tune.study.file import write_yaml

MACHINE = Machine(cpus=4, gpus=1)
LIMIT_S = 2.0


def seeded(folder: Path, mistake: Mistake) -> Path:
    """Write the study with its mistake."""
    if mistake.data is not None:
        write_data(folder / "data", **mistake.data)
    path = folder / "study.yaml"
    path.write_text(mistake.text or write_yaml(minimal(**mistake.changes)))
    return path


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_refused_at_once_with_one_message(tmp_path: Path, mistake: Mistake) -> None:
    path = seeded(tmp_path, mistake)
    started = time.perf_counter()
    with pytest.raises(StudyError) as error:
        plan_file(path, mistake.sets, machine=MACHINE)
    assert time.perf_counter() - started < LIMIT_S
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    if mistake.key:
        first, *problems = message.splitlines()
        assert first == f"{path}: 1 problem"
        assert len(problems) == 1
        assert f" {mistake.key}: " in problems[0]
    else:
        assert "\n" not in message
    for fragment in mistake.says:
        assert fragment in message


def test_the_study_without_a_mistake_is_accepted(tmp_path: Path) -> None:
    right = seeded(tmp_path, Mistake("none", "", []))
    assert plan_file(right, machine=MACHINE).study.study == "sample"


def test_the_table_is_long_and_its_rows_differ() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 40


def test_a_file_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = seeded(tmp_path, Mistake("none", "", []))
    with pytest.raises(StudyError) as error:
        plan_file(path.with_name("studi.yaml"))
    assert "studi.yaml: expected a study file (YAML), found none; did you mean" in str(error.value)
    assert str(path) in str(error.value)
