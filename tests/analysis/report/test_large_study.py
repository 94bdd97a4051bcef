"""The report of a study of more trials than a page shows whole."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import plotly.offline
import pytest

from analysis.report.chart import Chart
from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from analysis.report.summary import MOST_WHOLE, summarise
from tests.support.report_pages import OtherTrials, Page, many
from tune.directory.reader import StudyDir, TrialRecord

N = 260


@dataclass(frozen=True)
class Unread(StudyDir):
    """A study directory whose trials nobody may read."""

    def trials(self) -> tuple[TrialRecord, ...]:
        raise AssertionError("the trials were read again")


@pytest.fixture(scope="module")
def make(
    finished: StudyDir, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], OtherTrials]:
    def made(n: int) -> OtherTrials:
        folder = tmp_path_factory.mktemp(f"of_{n}")
        shutil.copy(finished.path / "study.yaml", folder)
        return many(finished, n, folder)

    return made


@pytest.fixture(scope="module")
def large(make: Callable[[int], OtherTrials]) -> OtherTrials:
    return make(N)


@pytest.fixture(scope="module")
def page(large: OtherTrials) -> Page:
    return Page(write_report(large))


@pytest.fixture(scope="module")
def whole(make: Callable[[int], OtherTrials]) -> Page:
    """The page of the largest study that is shown whole."""
    return Page(write_report(make(MOST_WHOLE)))


def test_the_best_100_trials_are_drawn_and_the_page_says_so(large: OtherTrials, page: Page) -> None:
    best = [trial.label for trial in summarise(large).trials[:100]]
    drawn = [t["hovertemplate"].partition(",")[0] for t in page.charts["curves"]["data"]]
    assert drawn == best[::-1]
    assert len(page.charts["f1"]["data"]) == 3 * 100
    assert "The best 100 of 260 trials are drawn." in page.words
    assert "The best 100 of 260 trials can be chosen." in page.words
    assert "of every trial" not in page.words


def test_the_best_200_trials_have_rows_and_the_page_says_where_all_are(
    large: OtherTrials, page: Page
) -> None:
    rows = [name for name in page.ids if name.startswith("trial-")]
    assert rows == [f"trial-{trial.number}" for trial in summarise(large).trials[:200]]
    said = "The best 200 of 260 trials are listed; all of them are in leaderboard.csv."
    assert said in page.words
    with write_leaderboard(large).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == N


def test_the_first_200_stops_are_listed_and_report_json_has_all(
    make: Callable[[int], OtherTrials],
) -> None:
    study = make(440)
    page = Page(write_report(study))
    stopped = json.loads((study.path / "report.json").read_text())["stopped"]
    assert len(stopped) > 200
    assert page.rows["stopped"] == 1 + 200
    said = f"The first 200 of {len(stopped)} by number are listed; all of them are in report.json."
    assert said in page.words


def test_charts_of_marks_show_every_trial(page: Page) -> None:
    marks = [t for t in page.charts["history"]["data"] if t["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in marks) == N
    assert len(page.charts["parallel"]["data"][0]["dimensions"][0]["values"]) == N
    first = [t for t in page.charts["slices"]["data"] if t["xaxis"] == "x"]
    assert sum(len(trace["x"]) for trace in first) == N


def test_a_trial_on_a_front_is_linked_only_where_it_has_a_row(page: Page) -> None:
    linked = {link.removeprefix("#") for link in page.references if link.startswith("#trial-")}
    assert linked
    assert linked <= set(page.ids)


def test_the_keys_are_compared_at_one_epoch_and_the_page_names_the_others(
    large: OtherTrials, page: Page
) -> None:
    values = json.loads((large.path / "report.json").read_text())
    assert [found["epoch"] for found in values["importance"]] == [3]
    assert values["importance_not_compared"] == [6, 12]
    assert (
        "Of 260 trials the keys are compared at this one epoch, which most of them reached, and "
        "not at the later rungs 6, 12." in page.words
    )


def test_a_study_of_200_trials_is_shown_whole(whole: Page) -> None:
    assert len(whole.charts["curves"]["data"]) == 200
    assert len(whole.charts["f1"]["data"]) == 600
    assert sum(name.startswith("trial-") for name in whole.ids) == 200
    assert "of 200" not in whole.words
    assert all(f"At epoch {epoch}" in whole.words for epoch in (3, 6, 12))
    assert "seg_metrics/F1 of every trial" in whole.words


def test_numbers_of_a_large_study_are_rounded_beyond_what_is_shown(
    large: OtherTrials, page: Page
) -> None:
    objectives = {trial.number: trial.objective for trial in large.trials()}
    marks = [t for t in page.charts["history"]["data"] if t["mode"] == "markers"]
    shown = {x: y for t in marks for x, y in zip(t["x"], t["y"], strict=True)}
    assert shown == pytest.approx(objectives, abs=5e-7)
    assert shown != objectives


@pytest.mark.parametrize(
    ("value", "exact", "rounded"),
    [
        pytest.param(0.123456789, "0.123456789", "0.123457", id="below 1"),
        pytest.param(0.000123456789, "0.000123456789", "0.000123457", id="small"),
        pytest.param(1234.567891, "1234.567891", "1234.5679", id="above 1"),
        pytest.param(7, "7", "7", id="whole"),
        pytest.param(math.nan, "null", "null", id="not a number"),
        pytest.param(-math.inf, "null", "null", id="infinite"),
    ],
)
def test_a_chart_writes_numbers_as_json_has_them(value: float, exact: str, rounded: str) -> None:
    chart = Chart([{"y": [value]}], go.Figure())
    assert chart.to_json().startswith(f'{{"data":[{{"y":[{exact}]}}]')
    assert chart.to_json(rounded=True).startswith(f'{{"data":[{{"y":[{rounded}]}}]')


def test_the_page_holds_plotly_packed(page: Page, large: OtherTrials) -> None:
    assert page.script == plotly.offline.get_plotlyjs()
    assert "plotly.js v" in page.script[:200]
    assert page.script not in (large.path / "report.html").read_text("utf-8")


def test_the_page_is_small(large: OtherTrials, page: Page) -> None:
    assert page.ids
    assert (large.path / "report.html").stat().st_size < 2_500_000  # 1,960,000 of it are Plotly's


def test_leaderboard_and_report_take_the_trials_that_were_read(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    study = Unread(tmp_path, finished.study, finished.resolved)
    trials = finished.trials()
    with write_leaderboard(study, trials).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(trials)
    assert Page(write_report(study, trials)).rows["ranking"] == 1 + len(trials)
