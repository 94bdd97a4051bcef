"""A driver's watch over its own cluster: when that is gone, the driver ends.

Ray does not end a driver whose cluster died under it: it waits for ever, and its job is told to be
running. Whether the control store and this node's raylet take connections is asked of the system
alone, as Ray's own calls hang with them; whether the store still takes our token is asked of the
store, with a time limit.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from cluster.errors import LostClusterError
from cluster.jobs.login import token_file

log = logging.getLogger(__name__)

LOST: Final = 3
"""Exit code of a driver that has lost its cluster and cannot end in order."""

_EVERY_S: Final = 2.0

_PATIENCE_S: Final = 30.0
"""Time that a control store may be away: one that keeps its tables on disk can be restarted."""

_RAYLET_S: Final = 6.0
"""The same of a raylet, which is never restarted."""

_TOKEN_S: Final = 4.0
"""The same of a control store that refuses the token: it is another one than before."""

_IDLE_S: Final = 30.0
"""Time that nothing may run where no process of the cluster starts."""

_REFUSED: Final = "InvalidAuthToken"
"""Word of Ray's for a token that is not the cluster's."""

_ORDERLY_S: Final = 15.0
"""Time that the driver has to end in order."""

Probe = Callable[[], bool]


@contextlib.contextmanager
def watched(
    what_next: str,
    patience_s: float = _PATIENCE_S,
    is_idle: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """End what runs in the block within a minute of the cluster's end.

    It is interrupted as by SIGTERM; where that does not help, the process ends. Without a cluster
    there is nothing to watch.

    Where the file with the cluster's token gets another one, none of its processes starts any more.
    That is told, and what runs goes on; the block is ended when nothing of it runs.

    Args:
        what_next: What to do then, as the end of a sentence.
        patience_s: Time that the control store may be away.
        is_idle: Says whether all that is to run waits for a process of the cluster.

    Raises:
        LostClusterError: The cluster is gone.
    """
    import ray  # put off: slow to import; it is connected already

    if not ray.is_initialized():
        yield
        return
    watch = _Watch(what_next, patience_s, is_idle)
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
        lost: What is the matter, in words; "" while nothing is.
        over: Set when nobody needs it any more.
    """

    def __init__(self, what_next: str, patience_s: float, is_idle: Callable[[], bool]) -> None:
        self.lost = ""
        self.over = threading.Event()
        self._what_next, self._file = what_next, _TokenFile()
        gone = "the Ray cluster under this driver is gone"
        self._probes = {
            f"{gone} (its head was started anew, with another token)": (_store_takes_us, _TOKEN_S),
            f"{gone} (its raylet ended)": (_raylet_probe(), _RAYLET_S),
            f"{gone} (its control store ended)": (_store_probe(), patience_s),
            "the Ray cluster under this driver starts no process any more, as its head runs with "
            f"another token than that in {self._file.path}; start Ray anew on every node": (
                lambda: not (self._file.is_exchanged and is_idle()),
                _IDLE_S,
            ),
        }

    def run(self) -> None:
        """Look until it is over, or the cluster is gone."""
        well = dict.fromkeys(self._probes, time.monotonic())
        while not self.over.wait(_EVERY_S):
            self._file.look()
            for name, (answers, patience_s) in self._probes.items():
                now = time.monotonic()
                if answers():
                    well[name] = now
                elif now - well[name] >= patience_s:
                    self.lost = self._first_failing() or name
                    self._end()
                    return

    def is_lost_now(self) -> bool:
        """Whether a part does not answer at this moment, after Ray has failed."""
        self.lost = self._first_failing()
        return bool(self.lost)

    def _first_failing(self) -> str:
        """What is the matter at this moment; of several things the first, which explains others."""
        failing = (name for name, (answers, _) in self._probes.items() if not answers())
        return next(failing, "")

    def sentence(self) -> str:
        """What happened, and what to do."""
        return f"{self.lost}; {self._what_next}"

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


def _store_takes_us() -> bool:
    """Whether the control store takes the token that this process has, if it answers at all."""
    import ray  # put off: as above
    from ray.exceptions import RayError  # put off: as above

    worker: Any = ray._private.worker.global_worker
    try:
        worker.gcs_client.check_alive([], timeout=_EVERY_S)
    except RayError as error:
        return _REFUSED not in str(error)
    return True


class _TokenFile:
    """The file with the cluster's token, which every process of the cluster reads as it starts.

    Attributes:
        path: The file; None where the token is in the environment, or none is asked for.
        is_exchanged: Whether it has another token than this process was taken in with.
    """

    def __init__(self) -> None:
        """Know the token that is in use."""
        import ray  # put off: as above

        compiled: Any = ray._raylet
        self._ours: str = compiled.AuthenticationTokenLoader.instance().get_raw_token()
        self.path = token_file(os.environ, Path.home()) if self._ours else None
        self.is_exchanged = False

    def look(self) -> None:
        """Look into the file, and say once what it means where it is not as it was."""
        if self.path is None:
            return
        try:
            there = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return  # it is being written, or a node is told of it by other means
        if (there != self._ours) == self.is_exchanged:
            return
        self.is_exchanged = not self.is_exchanged
        if self.is_exchanged:
            log.warning(
                "%s has another token than the Ray cluster runs with: what runs goes on, but no "
                "process of the cluster starts any more. Start Ray anew on every node, or put the "
                "token back",
                self.path,
            )
        else:
            log.warning("%s has the token again that the Ray cluster runs with", self.path)


def _connects(family: int, address: str | tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.settimeout(_EVERY_S)
        probe.connect(address)
        return True
    return False
