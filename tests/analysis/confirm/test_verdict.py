"""What a race says: its set, its recommendation, and where it was cut in two."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.compare.entries import read_entries
from analysis.compare.groups import grouped
from analysis.compare.lines import comparison_lines
from analysis.confirm.page import forest, write_page
from analysis.confirm.planning import RacePlan, plan_race
from analysis.confirm.verdict import cheapest, judged
from analysis.confirm.words import verdict_lines
from analysis.errors import ConfirmError
from analysis.models.confirmed import (
    Contender,
    Verdict,
    confirmed_first,
    read_verdict,
    write_verdict,
)
from analysis.models.export import export_best
from analysis.models.stored import to_stored
from tests.support.rehearsed_study import go_on, rehearse, rehearse_plan
from tune.best.file import load_best
from tune.best.store import BestStore
from tune.directory.reader import StudyDir
from tune.directory.running import study_state
from tune.errors import StoreError
from tune.plan.planning import plan_file
from tune.progress.status import status_lines
from tune.verbs.listing import list_studies

FIXED = {"noise": 0.02}


def planned(folder: Path, **changes: Any) -> RacePlan:
    asked = {"budget": {"trials": 8, "epochs": 4}, "fixed": FIXED, **changes}
    plan = plan_race(rehearse(folder, **asked))
    plan.study.directory.mkdir()
    write_verdict(plan.study.directory, plan.verdict)
    return plan


def raced(folder: Path, **changes: Any) -> tuple[StudyDir, Verdict]:
    plan = planned(folder, **changes)
    race = rehearse_plan(plan.study)
    return race, judged(plan.verdict, race)


def test_a_decided_race_is_finished_and_a_cut_one_is_not(ram_path: Path) -> None:
    plan = planned(ram_path)
    race = rehearse_plan(plan.study, stop_after=6)
    assert study_state(race, race.trials()) == "not running"
    race = go_on(race)
    assert judged(plan.verdict, race).over
    assert study_state(race, race.trials()) == "finished"
    assert status_lines(race)[-1] == "the race is over"


def outcomes(race: StudyDir) -> list[tuple[int, int | None, int, float | None]]:
    return [(t.number, t.warm_start, t.seed, t.objective) for t in race.trials()]


@pytest.mark.parametrize("cut", [3, 30, 50])
def test_a_race_that_was_cut_goes_on_to_the_very_same_verdict(ram_path: Path, cut: int) -> None:
    whole, said = raced(ram_path / "whole")
    plan = planned(ram_path / "cut")
    half = rehearse_plan(plan.study, stop_after=cut)
    assert not judged(plan.verdict, half).over
    assert plan_race(StudyDir.open(plan.study.directory.with_name("sample"))).begun
    race = go_on(half)
    assert outcomes(race) == outcomes(whole)
    again = judged(plan.verdict, race)
    assert [one.values for one in again.contenders] == [one.values for one in said.contenders]
    assert again.alive == said.alive


def test_the_verdict_names_the_set_its_cheapest_the_gain_and_the_overtuning(
    ram_path: Path,
) -> None:
    race, said = raced(ram_path)
    assert said.over
    assert sum(len(one.values) for one in said.contenders) == len(race.trials()) <= said.budget
    assert all(len(one.values) >= 2 for one in said.contenders)
    assert said.winner is not None
    costs = [said.contenders[c].seconds or 0.0 for c in said.alive]
    as_cheap = [c for c, cost in zip(said.alive, costs, strict=True) if cost <= 1.1 * min(costs)]
    assert said.recommended == as_cheap[0]  # the leader stands first
    values = [race.trials()[n].objective for n in said.winner.trials]
    assert said.winner.mean == pytest.approx(sum(v or 0 for v in values) / len(values))
    assert (
        race.trials()[said.trial or 0].objective
        == sorted(v or 0 for v in values)[(len(values) - 1) // 2]
    )
    default = said.default
    assert default is not None
    text = "\n".join(verdict_lines(said))
    if default is not said.winner:
        assert said.gain == pytest.approx((said.winner.mean or 0) - (default.mean or 0))
        assert f"by {abs(said.gain or 0):.4f} ± {said.gain_half_width:.4f} (95 %)" in text
    half = (said.winner.half_width or 0) * (len(values) + 1) ** 0.5
    assert f"a single one reaches {said.winner.mean:.4f} ± {half:.4f} (95 %)" in text
    first = said.contenders[0]
    assert f"the search said {first.searched:.4f} of its best, {first.name}" in text
    assert f"reach {first.mean:.4f} on average" in text
    assert f"after {len(race.trials())} trainings of at most 25" in text


def test_a_default_that_fails_counts_as_0_and_drops_out(ram_path: Path) -> None:
    space = {"lr0": {"loguniform": [1e-3, 1e-2]}, "behaviour": {"choice": ["learns", "slow"]}}
    plan = planned(ram_path, search_space=space, search="random", budget={"trials": 5, "epochs": 4})
    crashing = [  # as an engine whose defaults fail would
        one.model_copy(update={"params": {**one.params, "behaviour": "crash"}})
        if one.is_default
        else one
        for one in plan.verdict.contenders
    ]
    written = plan.study.study.model_dump(mode="json")
    written["search_space"]["behaviour"]["choice"].append("crash")
    written["warm_start"]["points"][-1]["behaviour"] = "crash"
    file = ram_path / "race.yaml"
    file.write_text(json.dumps(written))
    race = rehearse_plan(plan_file(file))
    said = judged(plan.verdict.model_copy(update={"contenders": tuple(crashing)}), race)
    default = said.default
    assert default is not None
    assert (default.values, default.mean) == ((None, None), 0.0)
    assert "failed and counts as 0: RuntimeError: simulated crash" in default.failures[0]
    assert said.contenders.index(default) not in said.alive
    assert any("the default: trial" in line for line in verdict_lines(said))


def test_a_default_that_cannot_be_trained_counts_as_the_worst_error_and_not_as_0(
    ram_path: Path,
) -> None:
    race, said = raced(ram_path, objective={"metric": "measure/count_error"})
    refused = said.contenders[-1].model_copy(
        update={"refused": "no such weights", "is_default": True, "trials": (), "values": ()}
    )
    others = [one.model_copy(update={"is_default": False}) for one in said.contenders[:-1]]
    without = said.model_copy(update={"contenders": (*others, refused)})
    again = judged(without, race)
    worst = max(v for one in again.contenders for v in one.values if v is not None)
    assert again.default is not None
    assert again.default.mean == pytest.approx(worst)
    chosen = {"over": True, "alive": (0,), "recommended": 0, "gain": -0.25}
    again = again.model_copy(update=chosen)
    gain = f"better than the default by 0.2500, which counts as {worst:.4g}: no such weights"
    text = "\n".join(verdict_lines(again))
    assert gain in text
    assert f"cannot be trained, counts as {worst:.4g}" in text
    page = write_page(ram_path, again).read_text()
    assert f"cannot be trained and counts as {worst:.4g}: no such weights" in page


def test_of_those_that_dropped_out_the_least_error_comes_first(ram_path: Path) -> None:
    _, said = raced(ram_path, objective={"metric": "measure/count_error"})
    lead, *others = (
        one.model_copy(update={"name": f"trial {c}", "mean": mean})
        for c, (one, mean) in enumerate(zip(said.contenders, (0.1, 0.9, 0.5), strict=False))
    )
    update = {"contenders": (lead, *others), "alive": (0,), "over": True, "recommended": 0}
    text = "\n".join(verdict_lines(said.model_copy(update=update)))
    rows = [line.split()[1] for line in text.splitlines() if line.split()[:1] == ["trial"]]
    assert rows == ["0", "2", "1"]


@pytest.mark.parametrize(
    ("means", "seconds", "lost", "chosen"),
    [
        ((0.9, 0.88), (3.0, 2.0), 0.0, 1),  # the cheapest, as they cannot be told apart
        ((0.9, 0.88), (2.1, 2.0), 0.0, 0),  # as cheap: the best
        ((0.14, 0.0), (3.0, 2.0), 0.0, 0),  # the cheaper one found nothing, in any training
        ((0.0, 0.0), (3.0, 2.0), 0.0, 1),
        ((0.2, 0.7), (3.0, 2.0), 0.7, 0),  # smaller is better
    ],
)
def test_the_cheapest_of_the_set_is_recommended_unless_it_is_of_no_use(
    means: tuple[float, float], seconds: tuple[float, float], lost: float, chosen: int
) -> None:
    entered = [
        Contender(name=f"trial {n}", params={}, mean=mean, seconds=cost)
        for n, (mean, cost) in enumerate(zip(means, seconds, strict=True))
    ]
    assert cheapest([0, 1], entered, lost) == chosen


def test_the_file_is_refused_where_it_is_not_as_it_was_written(ram_path: Path) -> None:
    race, said = raced(ram_path)
    path = write_verdict(race.path, said)
    assert read_verdict(race.path) == said
    path.write_text(path.read_text().replace('"budget": 25', '"budget": 26'))
    with pytest.raises(StoreError, match="another checksum"):
        read_verdict(race.path)


def test_a_race_goes_on_by_the_rules_it_began_with(ram_path: Path) -> None:
    plan = planned(ram_path)
    rehearse_plan(plan.study, stop_after=9)
    study = StudyDir.open(plan.study.directory.with_name("sample"))
    with pytest.raises(ConfirmError, match=r"--trainings: expected 25, .* got 30"):
        plan_race(study, trainings=30)


def test_a_confirmed_winner_is_exported_and_set_before_an_unconfirmed_one(ram_path: Path) -> None:
    race, said = raced(ram_path)
    write_verdict(race.path, said)
    study = StudyDir.open(race.path.with_name("sample"))
    lucky = to_stored(load_best(export_best(study)))
    sure = to_stored(load_best(export_best(race)))
    assert load_best(confirmed_first(study.path)).plain() == load_best(race.path).plain()
    assert said.winner is not None
    assert sure.confirmed is not None
    assert (sure.confirmed.mean, sure.confirmed.seeds) == (
        said.winner.mean,
        len(said.winner.trials),
    )
    assert sure.params.items() >= said.winner.params.items()
    store = BestStore(str(ram_path / "store"))
    store.put(lucky, everywhere=False)
    better = sure.objective.model_copy(update={"value": 0.0})  # a value says nothing against it
    assert store.put(sure.model_copy(update={"objective": better}), everywhere=False) is not None
    with pytest.raises(StoreError, match="confirmed as"):
        store.put(lucky, everywhere=False)


def test_beside_a_races_best_single_training_stands_what_the_race_says(ram_path: Path) -> None:
    race, said = raced(ram_path)
    assert read_entries([race])[0].race is not None
    assert [one.cells["best"] for one in list_studies(race.path.parent)][1:] == [""]
    (line,) = read_entries([race])[0].lines
    assert line.endswith("which has recommended nothing so far")
    write_verdict(race.path, said)
    winner = said.winner
    assert winner is not None
    assert winner.mean is not None
    seeds = len(winner.values)
    best = max(t.objective for t in race.trials() if t.objective is not None)
    assert f"{best:.4f}" != f"{winner.mean:.4f}"
    lines = comparison_lines(grouped(read_entries([race])))
    assert f"{best:.4f}" in lines[2]
    assert lines[3] == (
        f"  {race.path.name}: best is that of a single training of the race; {winner.name}, which "
        f"it recommends, has {winner.mean:.4f} over {seeds} seeds"
    )
    entry = read_entries([StudyDir.open(race.path.with_name("sample"))])[0]
    assert entry.best is not None
    own = next(one for one in said.contenders if one.number == entry.best.number)
    assert entry.seeds == len(own.values)  # of its best, whatever the race recommends
    search, listed = list_studies(race.path.parent)
    assert listed.cells["best"] == f"{winner.mean:.4f}, mean of {seeds}"
    assert re.fullmatch(r"\d\.\d{4}", search.cells["best"])


def test_the_page_shows_every_candidate_and_loads_nothing(ram_path: Path) -> None:
    race, said = raced(ram_path)
    rows, _ = forest(said)
    assert [row.one for row in rows if row.alive] == [said.contenders[c] for c in said.alive]
    assert all(row.low < row.mean < row.high for row in rows if row.low and row.mean and row.high)
    text = write_page(race.path, said).read_text()
    assert text.count("<circle") == sum(len(one.values) for one in said.contenders) + 5
    assert all(one.name in text for one in said.contenders)
    assert "<script" not in text
    assert "http:" not in text
