"""The Ray that a command runs on: one of its own, or the one that RAY_ADDRESS names."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cluster.errors import ClusterError

_STORE_BYTES: Final = 100 * 2**20  # what travels through the object store is small

_START_S: Final = ("RAY_raylet_start_wait_time_s", "120")
"""Variable with the time in which a node must come up: Ray's own 30 s are too few where a machine
is very busy. Ray reads it when it is started first in a process, not when it is imported."""


def on_cluster() -> bool:
    """Whether RAY_ADDRESS names a Ray, which others may use, too."""
    return os.environ.get("RAY_ADDRESS") not in (None, "", "local")


@contextlib.contextmanager
def told_to(tell: Callable[[str], object]) -> Iterator[None]:
    """What Ray prints of its nodes, such as the last lines of one that died, is told in the block.

    Ray prints it on standard output whatever its logging is told, twenty lines a node.
    """
    from ray._private import worker  # put off: slow to import

    def take(data: Any, ignore_prefix: bool) -> None:
        del ignore_prefix
        tell("\n".join(map(str, data["lines"])))

    before = worker.print_to_stdstream
    worker.print_to_stdstream = take
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def start_ray(cpus: int, gpus: int) -> None:
    """Start a Ray with these processors, or connect to the one that RAY_ADDRESS names.

    Args:
        cpus: CPU cores to share out.
        gpus: GPUs to share out; Ray's own count may be another.

    Raises:
        ClusterError: It cannot be started or reached.
    """
    import ray  # put off: slow to import, and most commands do without

    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # as it should be
    own: dict[str, Any] = {
        "address": "local",  # not whatever else runs here
        "num_cpus": cpus,
        "num_gpus": gpus,
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    if not on_cluster():
        os.environ.setdefault(*_START_S)
    try:
        ray.init(
            log_to_driver=False,
            configure_logging=False,
            **({} if on_cluster() else own),
        )
    except Exception as error:  # of a machine too busy to start it in time Ray raises just that
        why = str(error).strip().rstrip(".")
        raise ClusterError(
            f"Ray cannot be started on this machine: {why}; `segtune doctor` says more"
        ) from error
    with contextlib.suppress(OSError):  # Ray writes its token so that everybody can read it
        (Path.home() / ".ray" / "auth_token").chmod(0o600)
