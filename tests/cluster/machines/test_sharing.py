"""Who gets which GPUs, as far as that shows without one."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.machines.machine import Machine
from cluster.machines.sharing import (
    Claim,
    Demand,
    Placement,
    fair_part,
    gpu_names,
    own_units,
    trials_a_unit,
    units_due,
)
from tests.support.study_samples import write_study
from trainables.contract import Device
from tune.plan.planning import plan_file
from tune.trial.task import Part, tasks_of


@given(
    nodes=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    part=st.integers(1, 4),
    data=st.data(),
)
def test_trials_differ_by_at_most_one_a_gpu_and_go_to_all_nodes_first(
    nodes: list[int], part: int, data: st.DataObject
) -> None:
    units = {f"{node}.{gpu}": str(node) for node, gpus in enumerate(nodes) for gpu in range(gpus)}
    n_trials = data.draw(st.integers(0, part * len(units)))
    placement = Placement(1 / part, units)
    for trial in range(n_trials):
        assert placement.place(trial) is not None
    loads = [placement.loads()[unit] for unit in units]
    assert sum(loads) == n_trials
    assert max(loads) - min(loads) <= 1
    used = {units[unit] for unit in placement.placed.values()}
    assert len(used) == min(n_trials, len(nodes)), "no node stays empty while another has two"
    if n_trials == part * len(units):
        assert placement.place("one more") is None


@given(
    units=st.integers(1, 4),
    part=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["place", "grow", "move", "free"]), st.integers(1, 4))
    ),
)
def test_trials_that_grow_never_have_more_than_there_is_and_find_kept_what_they_leave(
    units: int, part: int, steps: list[tuple[str, int]]
) -> None:
    placement, number = Placement(1 / part, {str(unit): "" for unit in range(units)}), 0
    for step, n in steps:
        trials = list(placement.placed)
        if step == "place":
            number += 1
            placement.place(number, min(n, part))
        elif trials and step == "free":
            placement.free(trials[n % len(trials)])
        elif trials:
            trial = trials[n % len(trials)]
            before = placement.slots.get(trial, 1)
            got = placement.grow(trial, min(n, part))
            assert got >= before
            if step == "move" and got > before:
                unit = placement.placed[trial]
                placement.free(trial, keep=True)
                number += 1
                assert placement.place(number, got) == unit
        assert all(load <= part for load in placement.loads().values())
    for trial in list(placement.placed):
        placement.free(trial)
    assert placement.place("whole", part) is not None, "nothing is kept for nobody"


@given(
    nodes=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    left=st.integers(1, 20),
    most=st.integers(1, 40),
)
def test_the_last_trials_have_as_many_gpus_of_one_node_as_all_of_them_can_have_at_once(
    nodes: list[int], left: int, most: int
) -> None:
    def all_fit(each: int) -> bool:
        blocks = sum(gpus // each for gpus in nodes)
        return blocks >= left and each * left <= most

    due = units_due(nodes, left, most)
    assert due == 1 or all_fit(due)
    assert not any(all_fit(more) for more in range(due + 1, max(nodes) + 1))
    assert due == 1 or due * left <= sum(nodes)
    assert due == 1 or left < sum(nodes), "only while there are fewer trials than GPUs"
    assert units_due(nodes, left + 1, most) <= due, "one that ends leaves nobody with less"


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.sampled_from([0.5, 1, 2, 3])),
        min_size=1,
        max_size=5,
    )
)
def test_all_studies_of_a_cluster_come_to_the_same_division(
    drawn: list[tuple[int, int, float]],
) -> None:
    claims = {
        str(n): Claim(held, waiting, weight) for n, (held, waiting, weight) in enumerate(drawn)
    }
    parts = {
        name: fair_part(claim, {k: v for k, v in claims.items() if k != name}, name)
        for name, claim in claims.items()
    }
    assert sum(parts.values()) == sum(claim.held for claim in claims.values()), "none is left over"
    for name, claim in claims.items():
        assert parts[name] <= claim.held + claim.waiting
        for (
            other,
            of_other,
        ) in claims.items():  # nobody short has a GPU less than another could give
            if parts[name] < claim.held + claim.waiting and parts[other] > 0:
                assert (parts[other] - 1) / of_other.weight <= parts[name] / claim.weight


def test_a_study_takes_what_it_can_spread_over_and_gives_back_where_others_wait() -> None:
    demand = Demand(trials=4, share=0.5)
    assert demand.target(0, 4, {}, "a") == 4
    assert demand.target(4, 0, {"b": Claim(0, 1)}, "a") == 3
    assert demand.target(4, 0, {"b": Claim(0, 9)}, "a") == 2
    assert demand.target(2, 0, {"b": Claim(2, 0)}, "a") == 2
    assert demand.target(2, 2, {}, "a") == 4, "the other has ended"
    assert Demand(trials=1, share=0.5).target(4, 0, {}, "a") == 1
    assert Demand(trials=8, share=1, most=3).target(0, 8, {}, "a") == 3
    assert Demand(trials=8, share=2, most=5).target(0, 4, {}, "a") == 2
    crowd = {str(n): Claim(1, 1) for n in range(9)}
    assert Demand(trials=8, share=2).target(1, 0, crowd, "a") == 1, "nobody is starved"


def test_trials_of_two_gpus_see_two_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,6,7")
    placement = Placement(2, own_units(4, 2))
    units = [placement.place(trial) or "" for trial in range(2)]
    assert [gpu_names(list(map(int, unit.split(",")))) for unit in units] == ["3,4", "6,7"]
    assert Part(4, 2, "3,4").device == Device("cuda:0", memory_fraction=1.0, cpus=4, gpus=2)


def test_a_trial_of_half_a_gpu_sees_half_its_memory_and_the_gpu_is_free_at_its_end() -> None:
    assert Part(4, 0.5, "0").device == Device("cuda:0", memory_fraction=0.5, cpus=4)
    placement = Placement(0.5, own_units(2, 0.5))
    assert [placement.place(trial) for trial in range(5)] == ["0", "1", "0", "1", None]
    placement.free(2)
    assert placement.place(5) == "0"
    assert placement.loads() == Counter({"0": 2, "1": 2})
    assert trials_a_unit(1 / 3) == 3


def test_a_task_without_a_gpu_sees_none(tmp_path: Path) -> None:
    plan = plan_file(write_study(tmp_path), machine=Machine(cpus=8, gpus=4))
    task = tasks_of(plan).first(0, {}, 0, tmp_path, Part(4))
    assert task.gpus == ""
    assert task.device == Device(cpus=4)
