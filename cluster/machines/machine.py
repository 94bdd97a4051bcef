"""This machine's processors and memory, and the share of them that a trial gets."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Processors to share among trials.

    Attributes:
        cpus: CPU cores this process may use.
        gpus: GPUs this process may see.
    """

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Shares:
    """The share of the machine that each trial gets.

    Attributes:
        cpus: CPU threads, loader workers included.
        gpu_fraction: Share of a GPU (1/n), or whole GPUs; None: as the GPUs found allow.
    """

    cpus: int
    gpu_fraction: float | None = None


def this_machine() -> Machine:
    """The machine this process runs on; no driver or framework is loaded for it."""
    return Machine(_cpus(), _gpus())


def visible_gpus(environ: Mapping[str, str]) -> list[str] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES names, as CUDA reads it; None where it does not say.

    What stands behind a name that there is not, such as -1, CUDA does not see.

    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2, 5,-1,3"}), visible_gpus({})
    (['2', '5'], None)
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    names = (name.strip() for name in visible.split(","))
    return list(takewhile(lambda name: name not in {"", "-1"}, names))


def gpu_memory_gb() -> float:
    """Memory of the smallest GPU of this machine, GB, by its driver's own tool; 0 without one."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return 0.0
    sizes_mib = [int(line) for line in done.stdout.split() if line.isdigit()]
    return min(sizes_mib, default=0) * 2**20 / 1e9


def _cpus() -> int:
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")  # what a container may use: "200000 100000", or "max"
    used, _, period = (quota.read_text() if quota.is_file() else "max").partition(" ")
    return max(1, min(n, int(used) // int(period))) if used.isdigit() else n


def _gpus() -> int:
    visible = visible_gpus(os.environ)
    if visible is not None:
        return len(visible)
    devices = Path("/dev")
    return len([d for d in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", d.name)])
