"""The device that a command of the user runs on."""

from analysis.errors import AnalysisError
from cluster.machines.machine import this_machine
from search_spaces.names import nearest_name
from trainables.contract import Device


def chosen_device(device: str | Device | None, cpus: int | None = None) -> Device:
    """The device named, or the first GPU where there is one.

    Args:
        device: As torch names it; None to choose.
        cpus: Threads on the CPU; default: all.

    Raises:
        AnalysisError: This machine has no such device.
    """
    if isinstance(device, Device):
        return device
    machine = this_machine()
    names = ["cpu", *(f"cuda:{n}" for n in range(machine.gpus))]
    name = device or names[min(1, machine.gpus)]
    if name not in names:
        raise AnalysisError(
            f"--device: expected {' or '.join(names)} on this machine, got "
            f"{name!r}{nearest_name(name, names)}"
        )
    return Device(name, cpus=cpus or machine.cpus)
