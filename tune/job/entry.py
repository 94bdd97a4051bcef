"""The command of every job, run in the folder of its unpacked package.

`run` does what the order says; `keep` does it again where its process died; `check` only says
whether it could be done; `nodes` tells what each node has, `status` shows a study, `sweep` ends
what another job has left, `receive` takes data.
"""

import importlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cluster.errors import LostClusterError
from cluster.jobs.watch import LOST
from trainables.files.errors import UserError
from tune.job.order import CHECK, FILE, RECEIVE, read_order
from tune.progress.conclusion import Conclusion

_DIED: Final = 70
"""Exit code of a driver that an error of ours ended."""


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("ray", "wandb", "optuna", "matplotlib", "PIL", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    verbs: Mapping[str, Callable[..., int]] = {
        "run": _run,
        "keep": _keep,
        CHECK: _check,
        "nodes": _nodes,
        "status": _status,
        "sweep": _sweep,
        RECEIVE: _receive,
    }
    try:
        return verbs[words[0]](*words[1:])
    except LostClusterError as error:
        _say([f"segtune: {error}"], sys.stderr)
        return LOST
    except UserError as error:
        _say([f"segtune: {error}"], sys.stderr)
        return 2


def _run() -> int:
    """Check the nodes, then run the study or the measurement."""
    from tune.job.nodes import connect  # slow: Ray

    order, stop = read_order(Path()), _StopAsked()
    connect()
    stop.listen()  # Ray took the signal for itself when it started
    said: Conclusion = _part(order.kind).run_job(
        order, Path(FILE), lambda line: _say([line]), stop.refuse
    )
    _say(said.lines)
    _say(said.problems, sys.stderr)
    return said.exit_code


def _part(kind: str) -> Any:
    """The module for a kind of jobs, by its name: a package has the code of one kind alone."""
    return importlib.import_module(f"tune.job.{kind}")


def _keep() -> int:
    """Run the driver, and again where it died, as often as the order lets."""
    order, stop = read_order(Path()), _StopAsked()
    stop.listen()
    for left in range(order.keep_alive, -1, -1):
        code = subprocess.Popen([sys.executable, "-m", "tune.job.entry", "run"]).wait()
        died = code < 0 or code == _DIED
        if not died or stop.asked or not left:
            return code if code >= 0 else 128 - code
        _say([f"the driver died ({_how(code)}); it is started again, {left - 1} more at most"])
    return _DIED


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else "an error, above"


def _check() -> int:
    """Check the nodes and the study, and begin nothing."""
    from tune.job.nodes import connect  # slow: Ray

    order = read_order(Path())
    connect()
    _say([_part(order.kind).checked_study(order, Path(FILE))])
    return 0


def _nodes() -> int:
    """Tell what each node has."""
    from tune.job.nodes import connect, node_lines  # slow: Ray

    connect()
    lines, well = node_lines(read_order(Path()))
    _say(lines)
    return 0 if well else 1


def _status(directory: str, every: str = "") -> int:
    """Show a study's trials."""
    _say(_part("study").study_lines(directory, every=bool(every)))
    return 0


def _sweep(job_id: str) -> int:
    """End what a job has left on any node, and tell of it."""
    from tune.job.nodes import connect, swept_lines  # slow: Ray

    connect()
    lines, well = swept_lines(job_id)
    _say(lines)
    return 0 if well else 1


def _receive(transfer: str) -> int:
    """Take the data set that is being sent."""
    from tune.job.nodes import connect  # slow: Ray
    from tune.job.taking import take_data  # in the package of this verb alone

    connect()
    take_data(read_order(Path()), transfer, lambda line: _say([line]))
    return 0


class _StopAsked:
    """Whether this process was asked to end while nothing could be ended in order.

    Attributes:
        asked: Whether it was.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM from now on; a study takes it for itself while its trials run."""
        signal.signal(signal.SIGTERM, self._note)

    def refuse(self) -> None:
        """End here if that was asked for.

        Raises:
            UserError: It was.
        """
        if self.asked:
            raise UserError("stopped before anything was started")

    def _note(self, number: int, frame: object) -> None:
        del number, frame
        self.asked = True


def _say(lines: Iterable[str], stream: object = None) -> None:
    file = sys.stdout if stream is None else sys.stderr
    for line in lines:
        file.write(f"{line}\n")
    file.flush()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Exception:
        logging.getLogger(__name__).exception("the driver failed")
        code = _DIED
    sys.stdout.flush()
    os._exit(code)  # what Ray has threads for is over
