"""Names that a spreadsheet would run or a markdown page would take for markup."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from analysis.models.card import model_card
from analysis.models.export import config_of
from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from tune.directory.reader import StudyDir, TrialRecord

FORMULA, MARKUP = '=HYPERLINK("http://x","a")', "<img src=x>[a](http://b)|*c*"


@dataclass(frozen=True)
class Planted(StudyDir):
    """A study directory whose trials have such values."""

    records: tuple[TrialRecord, ...] = ()

    def trials(self) -> tuple[TrialRecord, ...]:
        return self.records


@pytest.fixture
def planted(finished: StudyDir, tmp_path: Path) -> Planted:
    """The finished study, every trial with a planted message and value."""
    records = tuple(
        replace(trial, message=FORMULA, params={**trial.params, "optimizer": MARKUP, "shift": -0.5})
        for trial in finished.trials()
    )
    for name in ("study.yaml", "optuna.journal", "resolved.json"):
        (tmp_path / name).write_bytes((finished.path / name).read_bytes())
    return Planted(tmp_path, finished.study, finished.resolved, records)


def test_the_leaderboard_runs_nothing_and_its_numbers_stay_numbers(planted: Planted) -> None:
    with write_leaderboard(planted).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert {row["message"] for row in rows} == {f"'{FORMULA}"}
    assert {row["params/shift"] for row in rows} == {"-0.5"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@"))]


def test_the_leaderboards_header_runs_nothing(planted: Planted) -> None:
    named = {"-1+1": 0.5}  # as an engine of others may name a metric
    records = tuple(
        replace(
            trial,
            params={"lr0": 0.1, "=1+1": 2},
            metrics=tuple({**epoch, **named} for epoch in trial.metrics),
        )
        for trial in planted.records
    )
    with write_leaderboard(replace(planted, records=records)).open(newline="") as file:
        header = next(csv.reader(file))
    assert {"params/=1+1", "'-1+1"} <= set(header)
    assert not [name for name in header if name.startswith(("=", "+", "-", "@"))]


def test_the_markdown_report_shows_a_value_as_it_is(planted: Planted) -> None:
    text = (write_report(planted).parent / "report.md").read_text()
    assert r"| optimizer | \<img src=x\>[a\](http:\//b)\|\*c\* |" in text
    assert MARKUP not in text


def test_a_model_card_shows_the_names_of_classes_as_they_are(finished: StudyDir) -> None:
    config = config_of(finished, finished.trials()[0], None, 14)
    card = model_card(config.model_copy(update={"classes": (MARKUP,)}), None)
    assert r"A model that finds \<img src=x\>[a\](http:\//b)\|\*c\* in micrographs" in card
    assert MARKUP not in card
