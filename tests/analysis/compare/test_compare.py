"""Studies beside each other: what is ranked together, what was spent, and the page."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.compare.courses import spent_and_best
from analysis.compare.differing import differing
from analysis.compare.entries import read_entries
from analysis.compare.groups import differences, grouped
from analysis.compare.lines import comparison_lines, row_of
from analysis.compare.page import write_page
from analysis.compare.panel import members, panel_of
from analysis.compare.pictures import (
    Finds,
    disagreement,
    of_each_data_set,
    side_by_side,
    worst_first,
)
from analysis.compare.spaces import contours, parallel
from analysis.errors import CompareError
from analysis.models.confirmed import Contender, Verdict
from analysis.pages.packing import unpack
from tests.support.command_line import segtune
from tests.support.rehearsed_study import rehearse
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate import SPECS, simulate
from trainables.engines.simulated.engine import SimulatedPredictor
from trainables.metrics.matching import ground_truth
from trainables.results import Instances
from tune.datasets import copies
from tune.directory.reader import StudyDir
from tune.study.study import Mirror

KEYS: dict[str, Any] = {
    "search": "random",
    "budget": {"trials": 14, "epochs": 6},
    "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with pictures, and three studies; the third has another objective."""
    made = tmp_path_factory.mktemp("compared")
    simulate(SPECS["demo"].model_copy(update={"images": 8}), made / "raw")
    prepare(made / "raw", made / "data")
    rehearse(made, study="first", seed=1, price=0.5, **KEYS)
    rehearse(made, study="second", seed=2, **KEYS)
    rehearse(made, study="third", objective={"metric": "measure/count_error"}, **KEYS)
    return made


@pytest.fixture(scope="module")
def studies(folder: Path) -> list[StudyDir]:
    return [StudyDir.open(folder / "studies" / name) for name in ("first", "second", "third")]


def packed(page: Path) -> dict[str, Any]:
    """What a page's charts are drawn from."""
    text = page.read_text().split('id="packed">')[1].split("</script>")[0]
    values: dict[str, Any] = json.loads(unpack(text))
    return values


def test_only_studies_of_one_setting_are_ranked_in_one_list(studies: list[StudyDir]) -> None:
    entries = read_entries(studies)
    groups = grouped(entries)
    assert [[entry.name for entry in group.entries] for group in groups][1] == ["third"]
    first = groups[0].entries
    assert {entry.name for entry in first} == {"first", "second"}
    values = [entry.best.objective for entry in first if entry.best is not None]
    assert values == sorted((v for v in values if v is not None), reverse=True)
    (sentence,) = differences(groups)
    assert "2 settings, which differ in the objective:" in sentence
    other = replace(studies[1], resolved={**studies[1].resolved, "fingerprint": "another"})
    apart = grouped(read_entries([studies[0], other]))
    assert "the data set or its parts" in differences(apart)[0]


def test_the_table_has_what_each_study_reached_and_spent(studies: list[StudyDir]) -> None:
    lines = comparison_lines(grouped(read_entries(studies)))
    head = next(line for line in lines if line.lstrip().startswith("study"))
    assert "price per F1" in head
    row = next(line for line in lines if line.split()[:1] == ["first"])
    entry = read_entries(studies[:1])[0]
    best = entry.best
    assert best is not None
    assert row.split()[1:4] == ["simulated", f"{best.objective:.4f}", str(best.best_epoch)]
    assert f" {sum(t.epochs for t in studies[0].trials())} " in row
    assert row.endswith("finished")


def test_seeds_are_those_of_the_leader_beside_what_they_reached(studies: list[StudyDir]) -> None:
    entry = read_entries(studies[:1])[0]
    assert entry.best is not None
    leader = Contender(
        name="leader", number=entry.best.number, params={}, values=(0.3, 0.5), mean=0.4
    )
    leader = leader.model_copy(update={"half_width": 0.2})
    other = Contender(name="other", number=10**6, params={}, values=(0.6,) * 5, mean=0.6)
    verdict = Verdict(
        study=entry.name,
        metric=entry.summary.metric,
        mode="max",
        fingerprint=entry.study.resolved["fingerprint"],
        budget=9,
        level=0.05,
        contenders=(other, leader),
        recommended=0,
    )
    row = row_of(replace(entry, verdict=verdict))
    assert (row["best"], row["confirmed"], row["seeds"]) == (
        f"{entry.best.objective:.4f}",
        "0.4000 ± 0.2000",
        "2",
    )
    for elsewhere in (
        {"resplit": True},
        {"fingerprint": "another"},
        {"contenders": (other,)},
    ):
        row = row_of(replace(entry, verdict=verdict.model_copy(update=elsewhere)))
        assert (row["confirmed"], row["seeds"]) == ("", "1")


def test_what_a_machine_gives_is_no_version_and_what_nobody_asked_of_a_mirror_no_difference(
    studies: list[StudyDir],
) -> None:
    study = studies[0]
    mirrored = study.study.model_copy(update={"mirror": Mirror(place="gs://bucket/there")})
    resolved = {**study.resolved, "cpus_per_trial": 7}
    other = replace(study, study=mirrored, resolved=resolved)
    found = [(d.part, d.key, d.values[1]) for d in differing(study, other)]
    assert found == [
        ("configuration", "mirror.place", "gs://bucket/there"),
        ("machine", "cpus_per_trial", "7"),
    ]


def test_a_study_named_twice_is_refused(studies: list[StudyDir]) -> None:
    with pytest.raises(CompareError, match="expected each study once, got it 2 times"):
        read_entries([studies[0], studies[0]])


def test_best_so_far_ends_at_the_best_value_and_at_all_that_was_spent(
    studies: list[StudyDir],
) -> None:
    (member, _) = members(read_entries(studies[:2]))
    trials = studies[0].trials()
    points = list(spent_and_best(member, "epochs"))
    best = member.entry.best
    assert best is not None
    assert points[-1] == (sum(t.epochs for t in trials), best.objective)
    assert [y for _, y in points] == sorted(y for _, y in points)
    before = sum(t.epochs for t in trials if t.number < best.number)
    assert best.best_epoch is not None
    assert points[-2][0] == before + best.best_epoch
    hours = list(spent_and_best(member, "hours"))
    assert hours[-1][0] == pytest.approx(sum(t.seconds for t in trials) / 3600)


def test_trials_of_one_engine_are_drawn_together_each_with_its_number(
    studies: list[StudyDir],
) -> None:
    panel = panel_of("p", members(read_entries(studies[:2])))
    assert panel.epoch == 2  # the rung that both have
    drawn = parallel(panel)
    assert drawn is not None
    (trace,) = drawn.chart.traces
    numbers = drawn.owners[0]["trials"]
    assert len(numbers) == len(set(numbers)) == len(trace["dimensions"][-1]["values"])
    assert trace["dimensions"][0]["ticktext"] == ["first", "second"]
    rows = {number: trial for _, number, trial in panel.rows()}
    objective = trace["dimensions"][-1]["values"]
    assert [rows[number].objective for number in numbers] == objective


def test_contours_are_drawn_between_the_trials_alone(studies: list[StudyDir]) -> None:
    drawn = contours(panel_of("p", members(read_entries(studies[:2]))))
    assert drawn is not None
    field, points = drawn.chart.traces[:2]
    values = [z for row in field["z"] for z in row if z is not None]
    assert field["zmin"] <= min(values) <= max(values) <= field["zmax"]
    assert any(z is None for row in field["z"] for z in row)
    assert min(field["x"]) == pytest.approx(min(points["x"]))


def test_the_page_loads_nothing_and_every_point_has_an_owner(
    folder: Path, studies: list[StudyDir], tmp_path: Path
) -> None:
    done = segtune(
        folder, "compare", *(str(study.path) for study in studies), "--out", str(tmp_path / "out")
    )
    assert done.returncode == 0, done.stderr
    page = tmp_path / "out" / "compare.html"
    text = page.read_text()
    assert 'src="http' not in text
    assert "2 settings, which differ in the objective" in text
    assert len(text) < 3_000_000
    values = packed(page)
    assert len(values["trials"]) == sum(len(study.trials()) for study in studies)
    assert {name.split("-")[-1] for name in values["charts"]} == {
        *("epochs", "hours", "gap", "stopped", "errors"),
        *("parallel", "slices", "contours", "importance"),
    }
    for name, chart in values["charts"].items():
        assert f'data-chart="{name}"' in text
        for trace, owner in zip(chart["data"], chart["owners"], strict=True):
            if "trials" in owner and trace["type"] == "scatter":
                assert len(owner["trials"]) == len(trace["x"]) == len(trace["y"])


def test_studies_without_a_value_are_compared(tmp_path: Path) -> None:
    empty = rehearse(tmp_path, study="empty", run=False)
    groups = grouped(read_entries([empty]))
    assert comparison_lines(groups)[-1].split() == [
        "empty",
        "simulated",
        "0",
        "0",
        "0",
        "0",
        "seconds",
        "not",
        "running",
    ]
    page = write_page(tmp_path, groups)
    assert "No trial has reported a value yet." in page.read_text()


def found(*boxes: tuple[float, float, float, float]) -> Instances:
    n = len(boxes)
    return Instances(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.6, n, dtype=np.float32),
        np.zeros(n, np.int64),
    )


def test_disagreement_is_one_less_the_f1_of_two_models(studies: list[StudyDir]) -> None:
    image = PreparedDataset.load(Path(studies[0].resolved["data"])).images("val")[0]
    a, b = (0.0, 0.0, 10.0, 10.0), (30.0, 30.0, 40.0, 40.0)
    assert disagreement([found(a, b), found(a, b)], image) == 0.0
    assert disagreement([found(a), found(b)], image) == 1.0
    assert disagreement([found(a, b), found(a)], image) == pytest.approx(1 / 3)
    assert disagreement([found(), found()], image) == 0.0


def test_studies_of_one_data_set_share_its_pictures_the_best_of_each_setting_first(
    studies: list[StudyDir],
) -> None:
    groups = grouped(read_entries(studies))
    (together,) = of_each_data_set(groups)
    first, second = (entry.name for entry in groups[0].entries)
    assert [entry.name for entry in together] == [first, "third", second]


def test_the_best_models_are_asked_about_the_same_pictures(studies: list[StudyDir]) -> None:
    (entries,) = of_each_data_set(grouped(read_entries(studies)))
    asked: list[str] = []
    album = side_by_side(entries, lambda stage, done, total: asked.append(stage))
    n = len(PreparedDataset.load(Path(studies[0].resolved["data"])).images("val"))
    assert len(asked) == 3 * n
    assert album.note == "Not shown: none of the best models finds anything in them."
    assert album.rows == ()


def test_why_pictures_are_not_shown_is_said_as_it_is(
    studies: list[StudyDir], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bucket that cannot be reached has not lost the data set."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(copies, "_PATIENCE_S", 0.1)
    simulate(SPECS["demo"].model_copy(update={"images": 7}), tmp_path / "raw")
    prepare(tmp_path / "raw", tmp_path / "other")
    (entries,) = of_each_data_set(grouped(read_entries(studies)))
    for place, said in (
        ("gs://lab/powder", "gs://lab/powder: cannot be reached: connection refused"),
        ("/no/where", "/no/where: expected a prepared data set, the folder does not exist"),
        (f"{tmp_path}/other", f"{tmp_path}/other: the data set is another one by now"),
    ):
        moved = [
            replace(e, study=replace(e.study, resolved={**e.study.resolved, "data": place}))
            for e in entries
        ]
        note = side_by_side(moved, lambda stage, done, total: None).note
        assert re.match(f"Not shown: {said}", note), note


def test_a_model_that_fails_at_a_picture_leaves_the_page_its_other_parts(
    studies: list[StudyDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(images: object) -> list[Instances]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(SimulatedPredictor, "__call__", lambda self, images: no_memory(images))
    (entries,) = of_each_data_set(grouped(read_entries(studies)))
    album = side_by_side(entries, lambda stage, done, total: None)
    assert album.note == "Not shown: RuntimeError: out of memory"


def test_pictures_show_the_truth_and_every_models_finds_worst_first(
    studies: list[StudyDir],
) -> None:
    data = PreparedDataset.load(Path(studies[0].resolved["data"]))
    images = data.images("train")[:3]
    truths = [ground_truth(data, image) for image in images]
    seen = [
        Instances(t.boxes, np.full(len(t), 0.8, np.float32), t.classes, t.masks) for t in truths
    ]
    missed = [found(), *seen[1:]]  # the first picture's are not found
    rows = worst_first(data, images, [Finds("good", 0.5, seen), Finds("bad", 0.5, missed)])
    assert len(rows) == len(images) == 3
    assert rows[0].title.startswith(images[0].path.name)
    assert rows[0].title.endswith("disagreement 1.00")
    n = len(truths[0])
    titles = [f"truth: {n}", f"good: {n} from confidence 0.5", "bad: 0 from confidence 0.5"]
    assert [panel.title for panel in rows[0].panels] == titles
    truth, good, bad = (panel.uri for panel in rows[0].panels)
    assert truth.startswith("data:image/jpeg")
    assert truth == good != bad
    assert worst_first(data, images, [Finds("sure of nothing", 0.9, seen)] * 2) == ()


def test_what_two_studies_differ_in_is_told_and_nothing_else(studies: list[StudyDir]) -> None:
    told = {(d.part, d.key): d.values for d in differing(studies[0], studies[2])}
    assert told["configuration", "objective.metric"] == ("seg_metrics/F1", "measure/count_error")
    assert told["configuration", "price.hour"] == ("0.5", "-")
    assert {part for part, _ in told} == {"configuration", "result"}
    assert differing(studies[0], studies[0]) == []
