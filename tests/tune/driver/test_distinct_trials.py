"""What is tried next: after failures, and where there are few configurations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.study_samples import write_study
from trainables.engines.simulated.engine import curve
from trainables.engines.simulated.params import SimulatedParams
from tune.directory.journal import Journal
from tune.driver.parts import controller_of
from tune.plan.lines import plan_lines
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.stopping.decision import Rule

F1 = "seg_metrics/F1"
EPOCHS = 3

SPACE: Mapping[str, Any] = {
    "lr0": {"loguniform": [1e-5, 1e-1]},
    "momentum": {"uniform": [0.6, 0.98]},
    "behaviour": {"choice": ["learns", "nan"]},
}


def planned(folder: Path, trials: int, **changes: Any) -> StudyPlan:
    changes = {"scheduler": "none", "plateau": "none", "warm_start": {"points": []}, **changes}
    budget = {"trials": trials, "epochs": EPOCHS}
    return plan_file(write_study(folder, budget=budget, **changes))


def run(
    plan: StudyPlan, fails: Callable[[Mapping[str, Any]], bool] = lambda params: False
) -> list[Mapping[str, Any]]:
    """Run a study of simulated curves; what was tried, in order."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    controller = controller_of(plan, Journal(plan.directory / "journal", "s", "max"))
    while assignment := controller.next_trial():
        params = assignment.proposal.params
        if fails(params):
            rule = Rule.DIVERGED if assignment.number % 2 else Rule.ERROR
            controller.fail(assignment.number, rule, "it was to be expected")
            continue
        learning = SimulatedParams(**{**params, "behaviour": "learns"})
        for epoch in range(1, EPOCHS + 1):
            values = {F1: curve(learning, assignment.seed, epoch), "measure/count_error": 0.5}
            controller.report(assignment.number, epoch, values)
    assert controller.complete
    return [trial.params for trial in controller._journal.trials()]


FAILURES: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "one of two kinds": lambda params: bool(params["behaviour"] == "nan"),
    "a quarter of a range": lambda params: bool(params["lr0"] > 1e-2),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", FAILURES)
def test_what_diverges_or_crashes_is_hardly_proposed_any_more(
    tmp_path: Path, kind: str, seed: int
) -> None:
    fails = FAILURES[kind]
    tried = run(planned(tmp_path, 50, search_space=dict(SPACE), seed=seed), fails)
    begun, later = tried[:10], tried[15:]
    assert any(map(fails, begun)), "there was something to learn from"
    assert sum(map(fails, later)) <= 12, "of 35, where they were 25 on the mean"


def test_a_failure_is_worse_than_any_broken_constraint(tmp_path: Path) -> None:
    limits = {"constraints": {"measure/count_error": {"at_most": 0.1}}}
    made = planned(tmp_path, 50, search_space=dict(SPACE), objective=limits)
    fails = FAILURES["one of two kinds"]
    tried = run(made, fails)
    assert sum(map(fails, tried[15:])) <= 10, "all others break the constraint"


def test_where_everything_fails_the_proposals_stay_random(tmp_path: Path) -> None:
    tried = run(planned(tmp_path, 40, search_space=dict(SPACE)), lambda params: True)
    assert len(tried) == 40
    later = [params["lr0"] for params in tried[20:]]
    assert min(later) < 1e-4
    assert max(later) > 1e-2


# --- few configurations

FINITE: Mapping[str, Any] = {
    "batch": {"choice": [4, 8, 16]},
    "momentum": {"quniform": [0.8, 0.9, 0.1], "when": {"optimizer": "SGD"}},
    "optimizer": {"choice": ["AdamW", "SGD"]},
}


@pytest.mark.parametrize("search", ["tpe", "random", "grid"])
def test_a_finite_space_trains_each_configuration_once_and_stops(
    tmp_path: Path, search: str
) -> None:
    made = planned(tmp_path, 45, search_space=dict(FINITE), search=search)
    tried = run(made)
    assert len(tried) == made.trials == 3 + 3 * 2
    assert all(params not in tried[:i] for i, params in enumerate(tried))


def test_plan_says_how_many_configurations_there_are(tmp_path: Path) -> None:
    made = planned(tmp_path, 45, search_space=dict(FINITE))
    said = plan_lines(made)
    assert "budget      9 trials (every configuration; budget.trials is 45) of 3 epochs" in said
    assert "search      tpe, seed 0; 9 configurations in all, each trained once at most" in said
    assert said[-1] == (
        "note        the search space has 9 configurations, fewer than budget.trials = 45: the "
        "study ends when each was trained once"
    )
    few = plan_lines(planned(tmp_path, 4, search_space=dict(FINITE)))
    assert "budget      4 trials of 3 epochs" in few
    assert not [line for line in few if line.startswith("note")]
    assert "search      tpe, seed 0" in plan_lines(planned(tmp_path, 4, search_space=dict(SPACE)))


def test_values_without_effect_make_no_other_configuration(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        30,
        trainable="unet_selftraining",
        fixed={"rounds": 0},
        search_space={
            "optimizer": {"choice": ["adam", "sgd"]},
            "momentum": {"choice": [0.8, 0.9, 0.95]},
        },
    )
    assert made.trials == 1 + 3, "adam has no momentum"
    key = made.configurations.key
    assert key({"optimizer": "adam", "momentum": 0.8}) == key({"optimizer": "adam"})
    assert key({"optimizer": "sgd", "momentum": 0.8}) != key({"optimizer": "sgd", "momentum": 0.9})


def test_a_point_that_was_tried_already_is_passed_over(tmp_path: Path) -> None:
    points = [{"optimizer": "AdamW"}, {"batch": 4}, {"batch": 4, "optimizer": "AdamW"}]
    space = {"batch": {"choice": [4, 8]}, "optimizer": {"choice": ["AdamW", "SGD"]}}
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        warm_start = {"points": points}
        tried = run(planned(folder, 9, search_space=space, warm_start=warm_start, seed=seed))
        assert len(tried) == 4
        assert all(params not in tried[:i] for i, params in enumerate(tried))


def test_a_study_of_an_earlier_version_that_repeated_itself_ends_when_all_were_tried(
    tmp_path: Path,
) -> None:
    space = {"batch": {"choice": [4, 8, 16]}}
    first = planned(tmp_path, 1, search_space=space)
    (only,) = run(first)
    journal = Journal(first.directory / "journal", "s", "max")
    repeated = journal.trials()[0]
    for _ in range(3):
        journal.create(repeated)
    more = planned(tmp_path, 12, search_space=space)
    tried = run(more)
    assert tried[:4] == [only] * 4
    assert len(tried) == 4 + 2, "the two that were left"


def test_proposals_in_a_finite_space_depend_on_the_journal_alone(tmp_path: Path) -> None:
    def tried(name: str, *budgets: int) -> list[Mapping[str, Any]]:
        (tmp_path / name).mkdir()
        return [run(planned(tmp_path / name, n, search_space=dict(FINITE))) for n in budgets][-1]

    assert tried("parts", 3, 6, 9) == tried("whole", 9)
