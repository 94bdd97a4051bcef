"""A machine's memory, and a process held to its share of it."""

import sys
from pathlib import Path
from typing import Final

import psutil

_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files that say what a container may use, of either version of control groups."""


def machine_bytes() -> int:
    """Memory that this machine has, or this container may use."""
    texts = [Path(file).read_text().strip() for file in _LIMITS if Path(file).is_file()]
    limits = [int(text) for text in texts if text.isdigit()]
    return min([int(psutil.virtual_memory().total), *limits])


def hold_to_share(fraction: float) -> int | None:
    """Hold this process, and each that it starts, to a share of the machine's memory; Linux only.

    What it asks for beyond that fails in this process, as a MemoryError or in its libraries' own
    words, where it would otherwise be the system that ends a process, of whichever trial. Counted
    is what a process may write to (`RLIMIT_DATA`), not its address space, of which torch alone
    reserves gigabytes; what it may write to and has not used when it is held comes on top.

    Args:
        fraction: Share in (0, 1].

    Returns:
        The limit in bytes; None where the system has no such limit.
    """
    if sys.platform != "linux":
        return None
    import resource  # put off: not on every system

    info = psutil.Process().memory_info()
    unused = max(0, info.data - (info.rss - info.shared))
    limit: int = int(machine_bytes() * fraction) + int(unused)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit
