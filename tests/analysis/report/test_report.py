import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.report.looks import COLOURS, SYMBOLS
from analysis.report.pareto import pareto_fronts
from analysis.report.report import write_report
from analysis.report.summary import RULES, summarise
from tests.support.rehearsed_study import rehearse
from tests.support.report_pages import OtherTrials, Page, many, opened_in_browser
from tune.directory.reader import StudyDir
from tune.stopping.decision import Rule

F1 = "seg_metrics/F1"


@pytest.fixture(scope="module")
def page(finished: StudyDir) -> Page:
    """The page of a finished study."""
    return Page(write_report(finished))


def test_the_page_loads_nothing(finished: StudyDir, page: Page) -> None:
    assert page.references
    assert all(r.startswith(("#", "data:")) for r in page.references)
    assert "default-src 'none'" in (finished.path / "report.html").read_text("utf-8")


def test_the_page_has_every_part_once(page: Page) -> None:
    parts = "history curves stopped importance together ranking failures data configuration"
    assert all(page.ids[part] == 1 for part in parts.split())
    assert max(page.ids.values()) == 1
    charts = {"history", "curves", "f1", "importance0", "slices", "parallel"}
    assert charts <= set(page.charts)


def test_every_chart_has_its_place(page: Page) -> None:
    assert {f"chart-{name}" for name in page.charts} == {
        name for name in page.ids if name.startswith("chart-")
    }


def test_the_history_shows_every_trial_at_its_best_epoch(finished: StudyDir, page: Page) -> None:
    traces = page.charts["history"]["data"]
    shown = {
        x: y for t in traces if t["mode"] == "markers" for x, y in zip(t["x"], t["y"], strict=True)
    }
    assert shown == {trial.number: trial.objective for trial in finished.trials()}
    best_so_far = next(t for t in traces if t["mode"] == "lines")
    assert list(best_so_far["y"]) == sorted(best_so_far["y"])


def test_the_best_so_far_falls_where_less_is_better(minimised: StudyDir) -> None:
    traces = Page(write_report(minimised)).charts["history"]["data"]
    best_so_far = next(t for t in traces if t["mode"] == "lines")
    assert list(best_so_far["y"]) == sorted(best_so_far["y"], reverse=True)


def test_f1_is_drawn_for_both_splits_also_where_the_objective_is_a_loss(
    minimised: StudyDir,
) -> None:
    traces = Page(write_report(minimised)).charts["f1"]["data"]
    names = [trace["name"] for trace in traces[:3]]
    assert names == ["F1, validation", "F1, training", "gap"]
    assert len(traces) == 3 * len(minimised.trials())


def test_a_short_studys_ticks_are_whole_epochs(minimised: StudyDir) -> None:
    charts = Page(write_report(minimised)).charts
    assert charts["curves"]["layout"]["xaxis"]["dtick"] == 1
    assert charts["f1"]["layout"]["xaxis2"]["dtick"] == 1


def test_the_gap_levels_are_drawn(page: Page) -> None:
    layout = page.charts["f1"]["layout"]
    texts = [note["text"] for note in layout["annotations"]]
    assert texts == ["normal 0.03", "warning 0.15", "severe 0.35"]


def test_long_names_of_neighbouring_axes_are_broken_to_keep_apart(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    names = ("positive_threshold", "negative_threshold")
    records = tuple(
        replace(trial, params=dict.fromkeys(names, trial.params["lr0"]))
        for trial in finished.trials()
    )
    study = OtherTrials(tmp_path, finished.study, finished.resolved, records)
    axes = Page(write_report(study)).charts["parallel"]["data"][0]["dimensions"]
    labels = sorted(axis["label"] for axis in axes)
    assert labels == ["mask F1", "negative_<br>threshold", "positive_<br>threshold"]
    assert all(axis["ticktext"] for axis in axes)


def test_what_stopped_whom_names_rung_value_and_cutoff(finished: StudyDir, page: Page) -> None:
    stopped = json.loads((finished.path / "report.json").read_text())["stopped"]
    by_asha = [entry for entry in stopped if entry["rule"] == "asha"]
    assert by_asha
    trials = {trial.number: trial for trial in finished.trials()}
    for entry in by_asha:
        assert entry["rung"] == entry["epoch"] == trials[entry["trial"]].epochs
        assert entry["value"] < entry["cutoff"]
    assert all(f"cut-off {entry['cutoff']:.4g}" in page.words for entry in by_asha)


def test_importance_is_taken_at_the_first_rung_and_says_so(finished: StudyDir, page: Page) -> None:
    assert "At epoch 3, the first rung" in page.words
    assert "14 trials are compared by their value at this one epoch" in page.words
    first = json.loads((finished.path / "report.json").read_text())["importance"][0]
    assert (first["epoch"], first["compared"]) == (3, 14)
    assert set(first["shares"]) == {"lr0", "batch", "optimizer"}
    assert first["not_assessed"] == ["momentum"]


def test_the_objective_is_drawn_over_hyperparameters_at_the_first_rung_that_differs(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    first, second, *_ = summarise(finished).rungs
    level = tuple(
        replace(
            trial,
            metrics=tuple(
                {**row, F1: 0.0} if row["epoch"] <= first else row for row in trial.metrics
            ),
        )
        for trial in finished.trials()
    )
    page = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, level)))
    assert f"Values at epoch {second}, the first rung at which the trials differ." in page.words
    drawn = {y for trace in page.charts["slices"]["data"] for y in trace["y"]}
    assert len(drawn) > 1
    none = tuple(
        replace(trial, metrics=tuple({**row, F1: 0.0} for row in trial.metrics)) for trial in level
    )
    page = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, none)))
    assert "slices" not in page.charts
    assert "at no epoch that trials have in common do their values differ" in page.words


def test_three_pictures_of_the_best_models_finds_are_shown_or_said_to_be_missing(
    finished: StudyDir, page: Page, tmp_path: Path
) -> None:
    best = summarise(finished).best
    assert best is not None
    missing = "Finds of the best model are not shown: simulated left no pictures of trial"
    assert f"{missing} {best.number}'s epoch {best.best_epoch}." in page.words
    artifacts = tmp_path / "attempt-1" / "artifacts"
    artifacts.mkdir(parents=True)
    for epoch in (best.best_epoch or 0, (best.best_epoch or 0) + 1):
        for place in ("worst", "median", "best"):
            drawn = np.full((40, 60, 3), 90, np.uint8)
            cv2.imwrite(str(artifacts / f"finds-epoch-{epoch}-{place}-grid_{place[0]}.png"), drawn)
    shutil.copy(finished.path / "study.yaml", tmp_path)
    records = tuple(
        replace(trial, attempt=artifacts.parent) if trial.number == best.number else trial
        for trial in finished.trials()
    )
    shown = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, records)))
    titles = re.findall(r"Trial (\d+), epoch (\d+), validation part, (\w+) F1: (\w+)", shown.words)
    asked = (str(best.number), str(best.best_epoch))
    assert titles == [(*asked, p, f"grid_{p[0]}") for p in ("best", "median", "worst")]
    assert missing not in shown.words


def test_every_searched_hyperparameter_is_drawn_or_said_to_be_left_out(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    names = [f"p{n}" for n in range(11)]
    records = tuple(
        replace(trial, params={name: trial.params["lr0"] * (n + 1) for n, name in enumerate(names)})
        for trial in finished.trials()
    )
    page = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, records)))
    axes = {axis["label"] for axis in page.charts["parallel"]["data"][0]["dimensions"]}
    slices = {note["text"] for note in page.charts["slices"]["layout"]["annotations"]}
    full = re.findall(r"Not in the chart, as it holds \d: ([^.]*)\.", page.words)
    assert len(full) == 2
    assert slices | set(full[0].split(", ")) == set(names)
    assert (axes - {"mask F1"}) | set(full[1].split(", ")) == set(names)
    same = re.findall(r"Not in the chart, as they did not vary: ([^.]*)\.", page.words)
    assert [set(keys.split(", ")) for keys in same] == [set(summarise(finished).domains)] * 2


def test_hyperparameters_that_do_not_differ_take_no_place_from_those_that_do(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    held = {f"held{n}": 0.5 for n in range(10)}
    records = tuple(
        replace(trial, params={**held, "last": trial.params["lr0"]}) for trial in finished.trials()
    )
    page = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, records)))
    assert [note["text"] for note in page.charts["slices"]["layout"]["annotations"]] == ["last"]
    none = tuple(replace(trial, params=held) for trial in finished.trials())
    page = Page(write_report(OtherTrials(tmp_path, finished.study, finished.resolved, none)))
    assert "slices" not in page.charts
    assert "not drawn over the hyperparameters: none differs between trials" in page.words


def test_the_last_epoch_is_drawn_as_no_rung_as_nothing_can_be_stopped_there(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    epochs = int(finished.resolved["epochs"])
    resolved = {**finished.resolved, "rungs": [1, 2, epochs]}
    page = Page(write_report(OtherTrials(tmp_path, finished.study, resolved, finished.trials())))
    drawn = [note["text"] for note in page.charts["curves"]["layout"]["annotations"]]
    assert drawn == ["rung 1", "rung 2"]


def test_the_pages_speak_of_hyperparameters_parts_and_pictures(
    finished: StudyDir, page: Page
) -> None:
    markdown = (finished.path / "report.md").read_text()
    assert "\n\n\n" not in markdown
    for words in (page.words.partition("study.yaml#")[0], markdown):
        assert not re.search(r"(?<!-)\b(keys?|splits?|images?)\b", words), words


def test_too_few_trials_for_importance_are_said(troubled: StudyDir) -> None:
    page = Page(write_report(troubled))
    assert "too few trials to say" in page.words
    assert "importance0" not in page.charts


def test_failures_come_with_their_reasons(troubled: StudyDir) -> None:
    page = Page(write_report(troubled))
    assert "simulated crash" in page.words
    assert "the training loss is nan in epoch 3" in page.words
    failures = json.loads((troubled.path / "report.json").read_text())["failures"]
    assert [failure["trial"] for failure in failures] == [0, 2]
    assert "simulated crash" in (troubled.path / "report.md").read_text()


def test_a_study_of_which_all_trials_failed_has_a_report(all_failed: StudyDir) -> None:
    page = Page(write_report(all_failed))
    assert "Every trial failed" in page.words
    assert "history" in page.charts


def test_a_study_without_trials_has_a_report(not_begun: StudyDir) -> None:
    page = Page(write_report(not_begun))
    assert "No trial has reported a value yet" in page.words
    assert page.charts == {}
    assert json.loads((not_begun.path / "report.json").read_text())["best"] is None


def test_a_study_of_one_trial_has_a_report(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 1, "epochs": 3}, scheduler={"kind": "none"})
    page = Page(write_report(study))
    assert {"history", "curves", "f1"} == set(page.charts)


def test_a_running_study_has_a_report(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 3, "epochs": 5}, stop_after=3)
    page = Page(write_report(study))
    assert "the best so far, has not ended: it is waiting" in page.words


def test_a_study_of_60_trials_has_a_report_with_all_of_them(
    finished: StudyDir, tmp_path: Path
) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    study = many(finished, 60, tmp_path)
    page = Page(write_report(study))
    assert len(page.charts["f1"]["data"]) == 180
    assert len(page.charts["parallel"]["data"][0]["dimensions"]) == 5


def test_what_a_study_says_cannot_become_code(finished: StudyDir, tmp_path: Path) -> None:
    shutil.copy(finished.path / "study.yaml", tmp_path)
    evil = "</script><script>alert(1)</script>"
    records = tuple(
        replace(trial, message=evil, params={**trial.params, "key": evil}, state="failed")
        for trial in finished.trials()
    )
    path = write_report(OtherTrials(tmp_path, finished.study, finished.resolved, records))
    text = path.read_text("utf-8")
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_best_trials_confusion_matrix_is_on_the_page(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 1, "epochs": 2}, scheduler={"kind": "none"})
    attempt = study.trials()[0].attempt
    assert attempt is not None
    (attempt / "artifacts").mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (2400, 2400, 3), np.uint8)
    cv2.imwrite(str(attempt / "artifacts" / "confusion_matrix.png"), picture)
    (attempt / "artifacts" / "confusion_matrix_normalized.png").write_bytes(b"no picture")
    page = Page(write_report(study))
    pictures = [r for r in page.references if r.startswith("data:image/")]
    assert len(pictures) == 1
    assert "Trial 0: confusion matrix" in page.words


def test_no_file_is_left_half_written(finished: StudyDir, page: Page) -> None:
    assert page.ids
    names = {path.name for path in finished.path.iterdir()}
    assert {"report.html", "report.json", "report.md"} <= names
    assert not [name for name in names if name.endswith(".tmp")]


def test_the_saving_counts_what_the_trials_would_have_trained(finished: StudyDir) -> None:
    summary = summarise(finished)
    trained = sum(trial.epochs for trial in finished.trials())
    assert summary.epochs_trained == trained
    assert summary.epochs_full == 14 * 12
    assert summary.saving == pytest.approx(1 - trained / 168)


def test_a_failed_trial_saves_nothing(all_failed: StudyDir) -> None:
    assert summarise(all_failed).saving == 0


def test_a_best_trial_that_overfits_is_pointed_out(finished: StudyDir) -> None:
    leader = summarise(finished).best
    assert leader is not None
    metrics = tuple({**row, "overfit_gap": 0.4} for row in leader.metrics)
    others = tuple(t for t in finished.trials() if t.number != leader.number)
    records = (replace(leader, metrics=metrics), *others)
    study = OtherTrials(finished.path, finished.study, finished.resolved, records)
    assert any("overfits (severe)" in hint for hint in summarise(study).hints)


def test_a_training_part_far_below_validation_is_said_and_is_not_called_normal(
    finished: StudyDir, tmp_path: Path
) -> None:
    leader = summarise(finished).best
    assert leader is not None
    metrics = tuple({**row, "overfit_gap": -0.73} for row in leader.metrics)
    shutil.copy(finished.path / "study.yaml", tmp_path)
    study = OtherTrials(
        tmp_path, finished.study, finished.resolved, (replace(leader, metrics=metrics),)
    )
    assert any("0.73 below validation's. Are all objects" in h for h in summarise(study).hints)
    page = Page(write_report(study))
    assert "training below validation" in page.words
    assert "overfits" not in page.words
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ranking"][0]["overfit"] == "negative"


def test_every_rule_has_words_a_colour_and_a_mark_of_its_own() -> None:
    rules = {str(rule) for rule in Rule}
    assert set(RULES) == rules
    assert rules <= set(COLOURS) == set(SYMBOLS)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_marks_are_readable_on_light_and_on_dark_ground(finished: StudyDir, page: Page) -> None:
    assert page.ids
    text = (finished.path / "report.html").read_text("utf-8")
    grounds = re.findall(r"--ground: (#[0-9a-f]{6})", text)
    assert len(grounds) == 2
    for ground in grounds:
        for colour in COLOURS.values():
            high, low = sorted((luminance(ground), luminance(colour)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3, (colour, ground)


@pytest.mark.slow
def test_a_browser_draws_every_chart_without_an_error(finished: StudyDir, tmp_path: Path) -> None:
    path = write_report(finished)
    content, said = opened_in_browser(path, tmp_path)
    drawn = re.findall(r'id="chart-(\w+)"[^>]*class="[^"]*js-plotly-plot', content)
    drawn += re.findall(r'class="[^"]*js-plotly-plot[^>]*id="chart-(\w+)"', content)
    assert set(drawn) == set(Page(path).charts)
    assert said == []


@pytest.mark.slow
def test_a_browser_too_old_to_unpack_the_charts_says_so_in_their_place(
    finished: StudyDir, tmp_path: Path
) -> None:
    text = write_report(finished).read_text("utf-8")
    old = tmp_path / "old.html"
    old.write_text(text.replace("<body>", "<body><script>delete DecompressionStream</script>"))
    content, said = opened_in_browser(old, tmp_path)
    words = "This browser cannot unpack the charts: Chrome or Edge from 80, Firefox from 113"
    assert content.count(f">{words}") == len(Page(old).charts)
    assert said == []


def test_the_fronts_are_drawn_and_their_trials_listed_with_a_link_to_their_row(
    finished: StudyDir, page: Page
) -> None:
    fronts = pareto_fronts(finished.trials())
    drawn = [t for t in page.charts["pareto"]["data"] if t["name"] == "Pareto front"]
    assert [[point[0] for point in trace["customdata"]] for trace in drawn] == [
        [trial.number for trial in front.trials] for front in fronts
    ]
    for front, trace in zip(fronts, drawn, strict=True):
        assert trace["x"] == [trial.best_metrics[front.error] for trial in front.trials]
    linked = {link for link in page.references if link.startswith("#trial-")}
    assert linked == {f"#trial-{trial.number}" for front in fronts for trial in front.trials}
    assert all(page.ids[link.removeprefix("#")] == 1 for link in linked)


def test_a_broken_constraint_is_told_and_drawn(constrained: StudyDir) -> None:
    page = Page(write_report(constrained))
    assert "measure/count_error at most 0.535" in page.words
    texts = [note["text"] for note in page.charts["pareto"]["layout"]["annotations"]]
    assert "at most 0.535" in texts
    history = page.charts["history"]["data"]
    best_so_far = next(t for t in history if t["mode"] == "lines")["y"]
    best = summarise(constrained).best
    assert best is not None
    assert best_so_far[-1] == best.objective


def test_where_no_trial_keeps_the_constraints_the_report_says_so(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path,
        objective={"constraints": {"measure/size_distance": {"at_most": 0}}},
        budget={"trials": 2, "epochs": 3},
    )
    (hint,) = [hint for hint in summarise(study).hints if "constraints" in hint]
    assert hint.startswith("No trial keeps the constraints.")
    assert "measure/size_distance" in hint
    assert hint in Page(write_report(study)).words


def test_a_study_may_minimise_a_measurement_error(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path,
        objective={"metric": "measure/size_distance"},
        budget={"trials": 5, "epochs": 6},
        search="random",
        scheduler={"kind": "none"},
    )
    best = summarise(study).best
    assert best is not None
    rows = [row for trial in study.trials() for row in trial.metrics]
    assert best.objective == min(row["measure/size_distance"] for row in rows)
    page = Page(write_report(study))
    assert "best size distance" in page.words
    assert {"history", "curves", "f1", "pareto"} <= set(page.charts)
