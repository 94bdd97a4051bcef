"""The processors of a machine, shared out among the stages of a job."""

from dataclasses import dataclass
from typing import Final

from analysis.measure.job.pipeline import Workers
from cluster.machines.machine import Machine
from trainables.contract import Device

_ON_CPU: Final = 4
"""Most actors that search on a CPU: each has a model in memory. Where there are more cores, each
actor has several."""

_CPU_BATCH: Final = 8  # pictures an actor gets at a time: what Ray does for them is done once

_GPU_BATCH: Final = 16  # pictures a GPU: eight are shown to the model while eight are written down


@dataclass(frozen=True)
class SharedOut:
    """How a job runs on a machine.

    Attributes:
        workers: Processors of its stages.
        device: Where each actor searches.
        at_once: Pictures or windows that are shown to a model in one call.
        ray_cpus: CPU cores that Ray is to count: each actor's own, and all for the other stages.
    """

    workers: Workers
    device: Device
    at_once: int
    ray_cpus: int


def shared_out(device: Device, gpus: int, machine: Machine) -> SharedOut:
    """Share a machine's processors out.

    On a GPU an actor searches, and the CPU reads, measures and writes. On a CPU, where searching
    takes most of the time, each actor does all that with its pictures.

    Args:
        device: Where the models are to run.
        gpus: GPUs to use, an actor each; 0 for the CPU.
        machine: Processors there are.
    """
    if gpus:
        workers = Workers(gpus, 1, 1, _GPU_BATCH // 2, _GPU_BATCH * gpus)
        on = Device("cuda:0", cpus=max(1, machine.cpus // gpus))  # Ray shows each actor its own
        return SharedOut(workers, on, _GPU_BATCH // 2, machine.cpus + gpus)
    actors = max(1, min(device.cpus, _ON_CPU))
    workers = Workers(actors, 1, 0, _CPU_BATCH, None)
    on = Device("cpu", cpus=max(1, device.cpus // actors))
    return SharedOut(workers, on, 1, machine.cpus + actors)
