"""Which configurations race."""

import re
from pathlib import Path
from typing import Any

import pytest

from analysis.confirm.candidates import choices, contenders, points, shared
from analysis.confirm.planning import plan_race
from analysis.confirm.words import race_lines
from analysis.errors import ConfirmError
from tests.support.rehearsed_study import rehearse
from tune.directory.ranking import ranked
from tune.driver.search import trial_seed
from tune.stopping.race import level_of


def test_the_best_race_against_the_default_with_what_the_study_fixed(ram_path: Path) -> None:
    study = rehearse(ram_path, budget={"trials": 8, "epochs": 4}, fixed={"noise": 0.02})
    trials = study.trials()
    *best, default = contenders(study, trials, 5)
    assert [one.number for one in best] == [
        t.number for t in ranked(trials, study.study.objective.goal)[:5]
    ]
    assert [one.searched for one in best] == [trials[one.number or 0].objective for one in best]
    assert (default.name, default.is_default, default.searched) == ("the default", True, None)
    own = {"lr0": 0.01, "batch": 16, "optimizer": "AdamW", "momentum": 0.9, "noise": 0.02}
    assert default.params == {k: v for k, v in own.items() if k in default.params}
    assert {"lr0", "batch", "optimizer", "noise"} <= set(default.params)
    racing = [*best, default]
    assert shared(racing)["noise"] == 0.02
    for one, point in zip(racing, points(racing), strict=True):  # nothing of any is lost
        assert {**shared(racing), **point} == one.params
        assert all(value in choices(racing)[key]["choice"] for key, value in point.items())


def test_a_best_trial_that_is_the_default_races_once(ram_path: Path) -> None:
    point = {"lr0": 0.01, "batch": 16, "optimizer": "AdamW"}
    study = rehearse(
        ram_path, budget={"trials": 3, "epochs": 4}, warm_start={"points": [point]}, search="random"
    )
    found = contenders(study, study.trials(), 5)
    assert len(found) == 3
    assert [one.name for one in found if one.is_default] == ["trial 0 (the default)"]


def test_a_race_is_not_raced_again(ram_path: Path) -> None:
    study = rehearse(ram_path, budget={"trials": 3, "epochs": 2})
    race = type(study)(
        study.path, study.study.model_copy(update={"search": "race"}), study.resolved
    )
    with pytest.raises(ConfirmError, match="expected a study that searched, got a race"):
        plan_race(race)


def test_a_default_that_no_study_may_train_counts_as_0_with_a_word(ram_path: Path) -> None:
    space: dict[str, Any] = {"lr0": {"loguniform": [1e-4, 1e-2]}, "batch": {"choice": [2, 4]}}
    study = rehearse(ram_path, budget={"trials": 4, "epochs": 3}, search_space=space)
    plan = plan_race(study)
    assert not any(one.refused for one in plan.verdict.contenders)
    broken = study.study.model_copy(update={"fixed": {"momentum": 7.0}})
    told = type(study)(study.path, broken, study.resolved)
    *others, default = plan_race(told).verdict.contenders
    assert "momentum" in default.refused
    assert not any(one.refused for one in others)
    assert plan_race(told).verdict.level == level_of(len(others))


def test_the_plan_states_budget_level_and_time_and_takes_seeds_the_search_never_saw(
    ram_path: Path,
) -> None:
    study = rehearse(ram_path, budget={"trials": 8, "epochs": 4})
    plan = plan_race(study, trainings=20)
    used = {t.seed for t in study.trials()}
    assert len(used) == 8
    assert not used & {trial_seed(plan.study.study.seed, n) for n in range(20)}
    text = "\n".join(race_lines(plan))
    for words in ("12 to 20 trainings of 4 epochs", "t test at 0.005", "by 5 trials of sample"):
        assert words in text
    fewest = "\n".join(race_lines(plan_race(study, trainings=12)))
    assert "budget      12 trainings of 4 epochs: " in fewest
    assert re.search(r"time        about [\d.]+ \w+, by 5 trials of sample", fewest)
    assert "(0.05 / 5 comparisons / 2)" in fewest
    assert not plan.study.directory.exists()
    with pytest.raises(ConfirmError, match=r"--trainings: expected at least 12, .* got 9"):
        plan_race(study, trainings=9)


def test_a_study_without_a_value_has_nothing_to_confirm(ram_path: Path) -> None:
    study = rehearse(ram_path, run=False, budget={"trials": 2, "epochs": 2})
    with pytest.raises(ConfirmError, match="nothing to confirm"):
        plan_race(study)
