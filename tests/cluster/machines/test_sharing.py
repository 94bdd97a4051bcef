"""Who gets which GPUs, as far as that shows without one."""

from pathlib import Path

import pytest

from cluster.machines.machine import Machine
from cluster.machines.sharing import Placement
from tests.support.study_samples import write_study
from trainables.contract import Device
from tune.plan.planning import plan_file
from tune.trial.task import TrialTask, tasks_of

MACHINE = Machine(cpus=8, gpus=4)


def tasks(folder: Path, share: float, n: int) -> list[TrialTask]:
    path = write_study(folder, resources={"concurrent": 2})
    plan = plan_file(path, machine=MACHINE)
    placement = Placement(MACHINE.gpus, share)
    made = tasks_of(plan)
    return [made.first(number, {}, number, folder, placement) for number in range(n)]


def test_trials_of_two_gpus_see_two_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,6,7")
    first, second = tasks(tmp_path, 2, 2)
    assert (first.gpus, second.gpus) == ("3,4", "6,7")
    assert first.device == Device("cuda:0", memory_fraction=1.0, cpus=4, gpus=2)


def test_a_trial_of_half_a_gpu_sees_one_and_half_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    trials = tasks(tmp_path, 0.5, 5)
    assert [trial.gpus for trial in trials] == ["0", "1", "2", "3", "0"]
    assert trials[0].device == Device("cuda:0", memory_fraction=0.5, cpus=4)


def test_gpus_are_free_again_when_their_trial_has_ended() -> None:
    placement = Placement(n_gpus=4, share=2)
    assert placement.place(0) == (0, 1)
    assert placement.place(1) == (2, 3)
    placement.free(0)
    assert placement.place(2) == (0, 1)


def test_a_trial_without_a_gpu_sees_none(tmp_path: Path) -> None:
    (trial,) = tasks(tmp_path, 0, 1)
    assert trial.gpus == ""
    assert trial.device == Device(cpus=4)
