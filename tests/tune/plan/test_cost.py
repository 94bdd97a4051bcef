"""What a study costs, in plan and status, where its file has a price."""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report.report import write_report
from cluster.machines.machine import Machine
from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_study
from trainables.files.whole import write_json
from tune.directory.layout import SESSION
from tune.errors import StudyError
from tune.plan.lines import plan_lines
from tune.plan.pace import Pace
from tune.plan.planning import plan_file
from tune.progress.status import status_lines

BOTH = {"spot": 0.7, "on_demand": 2.1}


def lines_of(folder: Path, gpus: int, pace: Pace | None, **changes: Any) -> list[str]:
    plan = plan_file(write_study(folder, **changes), machine=Machine(8, gpus))
    return [line for line in plan_lines(plan, pace) if line.startswith("cost")]


def test_nothing_is_said_without_a_price(tmp_path: Path) -> None:
    assert lines_of(tmp_path, 0, None) == []
    assert not [line for line in status_lines(rehearse(tmp_path)) if "cost" in line]


def test_a_plan_says_what_the_gpus_cost_that_its_trials_take_at_once(tmp_path: Path) -> None:
    resources = {"concurrent": 4, "gpus_per_trial": 0.5}
    (told,) = lines_of(tmp_path, 4, None, price=BOTH, resources=resources)
    assert told.endswith("1.4 USD spot, 4.2 USD on demand an hour of 2 GPUs")
    (told,) = lines_of(tmp_path, 0, None, price=0.5)
    assert told.endswith("0.5 USD an hour of the machine")


def test_status_says_what_was_spent(tmp_path: Path) -> None:
    study = rehearse(tmp_path, price={"hour": 3.0, "currency": "EUR"})
    write_json(study.path / SESSION, {"elapsed_s": 1800.0})
    assert "cost so far 1.5 EUR, of the machine" in status_lines(study)


def test_the_report_says_what_was_spent_to_people_and_to_programs(tmp_path: Path) -> None:
    study = rehearse(tmp_path, price=BOTH)
    write_json(study.path / SESSION, {"elapsed_s": 7200.0})
    page = write_report(study).read_text()
    assert "<b>1.4 USD spot, 4.2 USD on demand</b><span>for 2 h of the machine" in page
    assert (
        "1.4 USD spot, 4.2 USD on demand for 2 h of the" in (study.path / "report.md").read_text()
    )
    cost = json.loads((study.path / "report.json").read_text())["cost"]
    assert cost["amounts"] == pytest.approx({"spot": 1.4, "on_demand": 4.2})
    assert (cost["currency"], cost["gpus"], cost["hours"]) == ("USD", 0, 2.0)


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (-1, "price.hour: expected a number above 0, got -1"),
        ({}, "expected hour, or spot and on_demand, got none of them"),
        ({"hour": 1.0, "spot": 0.5}, "expected hour, or spot and on_demand, got all of them"),
        ({"spott": 0.5}, "did you mean spot?"),
    ],
    ids=str,
)
def test_a_price_that_is_none_is_refused(price: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="1 problem") as error:
        plan_file(write_study(tmp_path, price=price))
    assert said in str(error.value).replace("\n", " ")
