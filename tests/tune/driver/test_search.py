"""Proposals of configurations."""

from pathlib import Path
from typing import Any, Literal

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from search_spaces.schema import Hyperparameters
from search_spaces.space import SearchSpace, parse_space
from tune.directory.journal import Journal
from tune.directory.trials import Proposal
from tune.driver.search import Search, point_id, trial_seed
from tune.study.configurations import Configurations

SPACE = {
    "lr0": {"loguniform": [1e-4, 0.1]},
    "depth": {"randint": [2, 6]},
    "optimizer": {"choice": ["SGD", "AdamW"]},
    "momentum": {"uniform": [0.5, 0.9], "when": {"optimizer": "SGD"}},
}


def parsed(given: dict[str, Any]) -> SearchSpace:
    space, problems = parse_space(given)
    assert not problems
    return space


def make(
    kind: Literal["tpe", "random", "grid"] = "tpe",
    points: tuple[dict[str, Any], ...] = (),
    trials: int = 20,
    given: dict[str, Any] = SPACE,
    seed: int = 0,
) -> Search:
    return Search(Configurations(parsed(given), Hyperparameters, {}), kind, points, seed, trials)


@pytest.fixture
def journal(ram_path: Path) -> Journal:
    return Journal(ram_path / "optuna.journal", "try", "max")


def begin(search: Search, journal: Journal) -> Proposal:
    proposal = search.propose(journal.study, journal.trials())
    assert proposal is not None
    journal.create(search.template(proposal, len(journal.trials())))
    return proposal


def test_domains_are_known_to_optuna_parents_of_conditions_first() -> None:
    assert list(make().distributions.items()) == [
        ("lr0", FloatDistribution(1e-4, 0.1, log=True)),
        ("depth", IntDistribution(2, 5)),
        ("optimizer", CategoricalDistribution(("SGD", "AdamW"))),
        ("momentum", FloatDistribution(0.5, 0.9)),
    ]


def test_a_grid_has_no_more_trials_than_points() -> None:
    grid = {"a": {"choice": [1, 2]}, "b": {"choice": [1, 2, 3]}}
    assert make("grid", given=grid, trials=50).trials([]) == 6
    assert make("grid", given=grid, trials=4).trials([]) == 4
    assert make("tpe", given=grid, trials=50).trials([]) == 6, "each is tried once"
    assert make("tpe", trials=50).trials([]) == 50


def test_seeds_differ_from_trial_to_trial_and_from_study_to_study() -> None:
    seeds = {make(seed=study).seed_of(number) for study in range(3) for number in range(50)}
    assert len(seeds) == 150
    assert make(seed=2).seed_of(7) == trial_seed(2, 7)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_proposal_is_the_same_again_and_writes_nothing(
    kind: Literal["tpe", "random"], journal: Journal
) -> None:
    search = make(kind)
    for value in range(12):
        begin(search, journal)
        journal.tell(value, TrialState.COMPLETE, value / 12)
    before = journal.path.read_bytes()
    first, second = (search.propose(journal.study, journal.trials()) for _ in range(2))
    assert first == second
    assert journal.path.read_bytes() == before


def test_a_point_is_named_by_its_content_whatever_its_order() -> None:
    assert point_id({"a": 1, "b": 2}) == point_id({"b": 2, "a": 1}) != point_id({"a": 1, "b": 3})


def test_points_are_tried_once_in_their_order_and_completed_also_after_a_restart(
    journal: Journal,
) -> None:
    points = ({"lr0": 0.01, "optimizer": "SGD"}, {"optimizer": "AdamW", "depth": 3})
    first = begin(make(points=points), journal)
    second = begin(make(points=points), journal)
    third = begin(make(points=points), journal)
    assert [proposal.warm_start for proposal in (first, second, third)] == [0, 1, None]
    assert (first.params["lr0"], first.params["optimizer"]) == (0.01, "SGD")
    assert 0.5 <= first.params["momentum"] <= 0.9
    assert second.params["depth"] == 3
    assert "momentum" not in second.params
    search = make(points=points[::-1])
    indices = [search.warm_start_index(trial) for trial in journal.trials()]
    assert indices == [1, 0, None], "its place may change, its content may not"
    assert make().warm_start_index(journal.trials()[0]) is None
