"""The journal cut at random bytes and replayed: what `segtune resume` promises."""

import random
from collections import Counter
from pathlib import Path

import pytest

from search_spaces.schema import Hyperparameters
from search_spaces.space import parse_space
from tests.support.simulation import (
    ERROR,
    METRIC,
    World,
    decisions,
    reference_asha,
    values_written,
)
from trainables.goal import Goal, Limit
from tune.directory.arrivals import arrivals
from tune.directory.journal import Journal
from tune.driver.controller import Rules
from tune.driver.search import Search
from tune.stopping.asha import Asha, Rungs
from tune.stopping.plateau import Slope
from tune.study.configurations import Configurations

N_CUTS = 200
EPOCHS, TRIALS, FACTOR = 20, 16, 2
SCHEDULER = Asha(grace_period=3, reduction_factor=FACTOR)
RUNGS = SCHEDULER.rungs(EPOCHS)


def rules(limits: tuple[Limit, ...] = ()) -> Rules:
    return Rules(
        goal=Goal(METRIC, "max", limits),
        epochs=EPOCHS,
        rungs=RUNGS,
        reduction_factor=FACTOR,
        plateau=Slope(window=5, grace=12),
    )


def search() -> Search:
    space, problems = parse_space({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}})
    assert not problems
    return Search(
        Configurations(space, Hyperparameters, {}),
        "tpe",
        ({"x": 0.5}, {"x": 0.1, "y": 0.2}),
        seed=0,
        trials=TRIALS,
    )


LIMITS = (Limit(ERROR, at_most=0.2),)


@pytest.fixture(
    scope="module",
    params=[(1, ()), (4, ()), (1, LIMITS)],
    ids=["one at a time", "four at a time", "one at a time with a constraint"],
)
def unbroken(request: pytest.FixtureRequest, session_ram_path: Path) -> World:
    concurrent, limits = request.param
    path = session_ram_path / f"unbroken-{concurrent}-{len(limits)}.journal"
    world = World(rules(limits), search(), path, concurrent)
    world.run()
    return world


def cut_world(unbroken: World, at: int, path: Path, dice: random.Random) -> World:
    """The world after everything died when the journal was `at` bytes long."""
    path.write_bytes(unbroken.path.read_bytes()[:at])
    world = World(unbroken.rules, unbroken.search, path, unbroken.concurrent)
    whole = path.read_bytes().rpartition(b"\n")[0]
    probe = path.with_suffix(".probe")
    probe.write_bytes(whole + b"\n" if whole else b"")
    ended = {t for t, _, go_on, _ in decisions(probe) if not go_on}
    for trial, epoch in Counter(t for t, *_ in decisions(probe)).items():
        # a checkpoint is written before its epoch is reported, so it may be one ahead
        ahead = 0 if trial in ended or epoch == EPOCHS else dice.randint(0, 1)
        world.checkpoints[trial] = epoch + ahead
    return world


def test_a_journal_cut_anywhere_ends_as_if_unbroken(unbroken: World, ram_path: Path) -> None:
    dice = random.Random(1)
    size = unbroken.path.stat().st_size
    whole = decisions(unbroken.path)
    for n in range(N_CUTS):
        world = cut_world(unbroken, dice.randrange(size), ram_path / f"{n}.journal", dice)
        finished_before = finished(world)
        world.run()
        again = decisions(world.path)
        written = values_written(world.path)
        assert len(written) == len(set(written)), "a (trial, epoch) is double"
        assert sorted(written) == sorted((t, e) for t, e, *_ in again), (
            "a (trial, epoch) is missing"
        )
        for trial, count in Counter(t for t, *_ in again).items():
            assert [e for t, e, *_ in again if t == trial] == list(range(1, count + 1))
        assert not finished_before & set(world.started), "a finished trial ran again"
        if world.concurrent == 1:
            assert set(again) == set(whole)
            assert told(world.path) == told(unbroken.path)
        check_against_reference(world.path)


def told(path: Path) -> list[tuple[float | None, dict[str, float]]]:
    """Value and constraints of every trial, as samplers read them."""
    return [(trial.value, trial.constraints) for trial in Journal(path, "cuts", "max").trials()]


def test_a_constraint_decides_which_epoch_of_a_trial_counts(unbroken: World) -> None:
    highest = [
        max(a.value for a in arrivals(unbroken.path) if a.trial == number)
        for number in range(TRIALS)
    ]
    values = [value for value, _ in told(unbroken.path)]
    assert (values != highest) == bool(unbroken.rules.goal.limits)


def finished(world: World) -> set[int]:
    """Trials whose end the cut journal holds, told or only decided."""
    probe = world.path.with_suffix(".probe")
    return {t for t, _, go_on, _ in decisions(probe) if not go_on}


def check_against_reference(path: Path) -> None:
    ours = {(t, e): (go_on, rule) for t, e, go_on, rule in decisions(path)}
    answers = reference_asha(path, RUNGS, FACTOR)
    assert len(answers) > TRIALS
    for trial, rung, passes in answers:
        go_on, rule = ours[trial, rung]
        if rule == "asha":
            assert go_on == passes, (trial, rung)
        else:
            assert rule in {"epochs", "plateau", "collapsed"}
            assert passes or rule == "epochs", (trial, rung)


def test_the_unbroken_study_stops_a_quarter_of_its_trials(unbroken: World) -> None:
    stopped = [t for t, _, go_on, rule in decisions(unbroken.path) if not go_on and rule == "asha"]
    assert len(stopped) >= TRIALS / 4
    check_against_reference(unbroken.path)


def test_reversing_the_arrival_order_changes_some_decision(unbroken: World) -> None:
    at_rung = [(a.trial, a.value) for a in arrivals(unbroken.path) if a.epoch == RUNGS[0]]

    def stops(order: list[tuple[int, float]]) -> set[int]:
        rungs, stopped = Rungs(RUNGS, FACTOR), set()
        for trial, value in order:
            if not rungs.compare(RUNGS[0], value).go_on:
                stopped.add(trial)
            rungs.record(trial, RUNGS[0], value)
        return stopped

    assert stops(at_rung) != stops(at_rung[::-1])


def test_warm_start_points_are_tried_once_however_often_the_study_is_resumed(
    unbroken: World, ram_path: Path
) -> None:
    size = unbroken.path.stat().st_size
    path = ram_path / "optuna.journal"
    path.write_bytes(unbroken.path.read_bytes()[: size // 10])
    for _ in range(3):
        world = World(unbroken.rules, unbroken.search, path, unbroken.concurrent)
        world.run()
    trials = Journal(path, "cuts", "max").trials()
    ids = [t.user_attrs["warm_start"] for t in trials if "warm_start" in t.user_attrs]
    assert len(ids) == len(set(ids)) == 2
    assert trials[0].params["x"] == 0.5
    assert "y" in trials[0].params, "the sampler completes a partial point"
    assert trials[1].params == {"x": 0.1, "y": 0.2}
    assert len(trials) == TRIALS
