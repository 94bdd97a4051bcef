"""The processors of a machine among the stages of a job."""

import pytest

from analysis.measure.job.pipeline import Workers
from analysis.measure.job.workers import shared_out
from cluster.machines.machine import Machine
from trainables.contract import Device


@pytest.mark.parametrize(("cores", "actors", "threads"), [(1, 1, 1), (2, 2, 1), (16, 4, 4)])
def test_on_a_cpu_actors_share_the_cores_and_each_does_all_stages(
    cores: int, actors: int, threads: int
) -> None:
    shares = shared_out(Device("cpu", cpus=cores), 0, Machine(cores, 0))
    assert shares.workers == Workers(actors, 1, 0, 8, None)
    assert shares.device == Device("cpu", cpus=threads)
    assert shares.ray_cpus == cores + actors, "as many tasks of other stages as there are cores"


def test_each_gpu_has_an_actor_that_is_fed_while_it_searches() -> None:
    shares = shared_out(Device("cuda:0", cpus=16), 2, Machine(16, 2))
    assert shares.workers == Workers(2, 1, 1, 8, 32)
    assert shares.device == Device("cuda:0", cpus=8)
    assert (shares.at_once, shares.ray_cpus) == (8, 18)
