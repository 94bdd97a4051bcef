"""A driver's watch over its own cluster: when that is gone, the driver ends.

Ray does not end a driver whose cluster died under it: it waits for ever, and its job is told to be
running. Whether the control store and this node's raylet take connections is asked of the system
alone, as Ray's own calls hang with them.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from cluster.errors import LostClusterError

LOST: Final = 3
"""Exit code of a driver that has lost its cluster and cannot end in order."""

_EVERY_S: Final = 2.0

_PATIENCE_S: Final = 30.0
"""Time that a control store may be away: one that keeps its tables on disk can be restarted."""

_RAYLET_S: Final = 6.0
"""The same of a raylet, which is never restarted."""

_ORDERLY_S: Final = 15.0
"""Time that the driver has to end in order."""

Probe = Callable[[], bool]


@contextlib.contextmanager
def watched(what_next: str, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """End what runs in the block within a minute of the cluster's end.

    It is interrupted as by SIGTERM; where that does not help, the process ends. Without a cluster
    there is nothing to watch.

    Args:
        what_next: What to do then, as the end of a sentence.
        patience_s: Time that the control store may be away.

    Raises:
        LostClusterError: The cluster is gone.
    """
    import ray  # put off: slow to import; it is connected already

    if not ray.is_initialized():
        yield
        return
    watch = _Watch(what_next, patience_s)
    thread = threading.Thread(target=watch.run, daemon=True, name="cluster-watch")
    thread.start()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if watch.lost or (isinstance(error, Exception) and watch.is_lost_now()):
            raise LostClusterError(watch.sentence()) from error
        raise
    finally:
        watch.over.set()


class _Watch:
    """The watch over the cluster that this process is connected to.

    Attributes:
        lost: What is gone; "" while nothing is.
        over: Set when nobody needs it any more.
    """

    def __init__(self, what_next: str, patience_s: float) -> None:
        self.lost = ""
        self.over = threading.Event()
        self._what_next = what_next
        self._probes = {
            "its raylet": (_raylet_probe(), _RAYLET_S),
            "its control store": (_store_probe(), patience_s),
        }

    def run(self) -> None:
        """Look until it is over, or the cluster is gone."""
        well = dict.fromkeys(self._probes, time.monotonic())
        while not self.over.wait(_EVERY_S):
            for name, (answers, patience_s) in self._probes.items():
                now = time.monotonic()
                if answers():
                    well[name] = now
                elif now - well[name] >= patience_s:
                    self.lost = name
                    self._end()
                    return

    def is_lost_now(self) -> bool:
        """Whether a part does not answer at this moment, after Ray has failed."""
        gone = [name for name, (answers, _) in self._probes.items() if not answers()]
        self.lost = gone[0] if gone else ""
        return bool(gone)

    def sentence(self) -> str:
        """What happened, and what to do."""
        return f"the Ray cluster under this driver is gone ({self.lost} ended); {self._what_next}"

    def _end(self) -> None:
        """Have the block end in order, or else the process."""
        if callable(signal.getsignal(signal.SIGTERM)):
            os.kill(os.getpid(), signal.SIGTERM)
        if self.over.wait(_ORDERLY_S):
            return
        sys.stderr.write(f"segtune: {self.sentence()}\n")
        sys.stderr.flush()
        os._exit(LOST)


def _raylet_probe() -> Probe:
    import ray  # put off: slow to import; it is connected already

    node = ray._private.worker.global_worker.node
    path = "" if node is None else node.raylet_socket_name
    return lambda: _connects(socket.AF_UNIX, str(path).removeprefix("unix://"))


def _store_probe() -> Probe:
    import ray  # put off: as above

    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return lambda: _connects(family, (host.strip("[]"), int(port)))


def _connects(family: int, address: str | tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.settimeout(_EVERY_S)
        probe.connect(address)
        return True
    return False
