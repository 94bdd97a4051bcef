"""Seconds from `segtune submit` to the first reported epoch, and of `segtune stop`, by phases.

    python -m benchmarks.jobs.timing submit --rounds 10
    python -m benchmarks.jobs.timing submit --engine yolo_seg --data PREPARED --rounds 3
    python -m benchmarks.jobs.timing stop --rounds 20

A Ray head of its own is started on this machine, with a token, and ended with all its processes.
Every round is a study of its own, sent by the command line as a user sends it. Printed are, for
each round, the seconds from the start of the command to the end of each phase, and the processors'
seconds of the command and of the cluster, which other work on the machine changes less; then the
median and the most. `stop` also counts the rounds whose report was written, and fails where one was
not or a process was left.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from tests.support.places import ROOT
from tests.support.servers.heads import Head, running_head
from tests.support.study_samples import write_study
from tune.job.order import CHECKED

LONGEST_S: Final = 600.0

_POLL_S: Final = 0.02


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes:
        head: The cluster.
        folder: Folder of the studies.
        engine: Engine of the studies.
        data: Prepared data set; None for an empty one, which the simulated engine takes.
    """

    head: Head
    folder: Path
    engine: str
    data: Path | None

    def study(self, name: str) -> Path:
        """Directory of a study."""
        return self.folder / "studies" / name

    def log(self, name: str) -> Path:
        """File with what the driver of a study's job has printed."""
        return self.head.folder / f"ray/session_latest/logs/job-driver-{name}.log"

    def command(self, *words: str) -> "subprocess.Popen[bytes]":
        """A verb of the command line, started as by a user of the cluster."""
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.head.user},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def submit(self, name: str, epochs: int) -> "subprocess.Popen[bytes]":
        """Send a study."""
        more = [] if self.data is None else [f"data={self.data}"]
        sets = [f"study={name}", f"trainable={self.engine}", f"budget.epochs={epochs}", *more]
        words = [word for one in sets for word in ("--set", one)]
        return self.command("submit", "study.yaml", *words)


def main() -> None:
    """Start a head, run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("submit", "stop"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="simulated")
    parser.add_argument("--data", type=Path, help="prepared data set; needed but for simulated")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segtune-jobs-") as folder, running_head() as head:
        data = None if given.data is None else given.data.resolve()
        asked = Asked(head, Path(folder), given.engine, data)
        write_study(
            asked.folder,
            storage=str(asked.folder / "studies"),
            budget={"trials": 400, "epochs": 30},
            resources={"concurrent": 2 if data is None else 1, "cpus_per_trial": 1},
        )
        measured = submitted if given.what == "submit" else stopped
        rows = []
        for number in range(given.rounds):
            rows.append(measured(asked, f"round-{number}"))
            print(_row(str(number), rows[-1]), flush=True)
    for word, of in (("median", median), ("most", max)):
        print(_row(word, {key: of([row[key] for row in rows]) for key in rows[0]}))


def submitted(asked: Asked, name: str) -> dict[str, float]:
    """Seconds to the end of each phase of a job that is sent, and then of the command."""
    before, own = _cpu_of(asked.head), _cpu_of_children()
    began = time.time()
    command = asked.submit(name, epochs=3)
    log, study = asked.log(name), asked.study(name)
    seconds = {
        "driver started": _until(log.is_file) - began,
        "nodes checked": _until(lambda: CHECKED in log.read_text()) - began,
        "study begun": _until((study / "study.yaml").is_file) - began,
        "trial begun": _until(lambda: any(study.glob("trials/*/params.json"))) - began,
        "first epoch": _until(lambda: any(study.glob("trials/*/metrics.jsonl"))) - began,
    }
    seconds["cluster CPU"] = _cpu_of(asked.head) - before
    assert command.wait(LONGEST_S) == 0
    seconds["command ended"] = time.time() - began
    seconds["command CPU"] = _cpu_of_children() - own
    assert asked.command("stop", name).wait(LONGEST_S) == 0
    return seconds


def stopped(asked: Asked, name: str) -> dict[str, float]:
    """Seconds that a study's job takes to end in order; its report must then be there."""
    assert asked.submit(name, epochs=1000).wait(LONGEST_S) == 0
    study = asked.study(name)
    _until(lambda: sum(1 for _ in study.glob("trials/*/metrics.jsonl")) >= 2)
    began = time.time()
    command = asked.command("stop", name)
    report = _until((study / "report.html").is_file) - began
    code = command.wait(LONGEST_S)
    took = time.time() - began
    assert code == 0, f"{name}: `segtune stop` ended with {code}"
    left = [p.pid for p in asked.head.processes() if _is_of(p, name)]
    assert not left, f"{name}: left behind: {left}"
    return {"report written": report, "nothing left": took}


def _is_of(process: psutil.Process, name: str) -> bool:
    try:
        return bool(process.environ().get("SEGTUNE_JOB") == name)
    except psutil.Error:
        return False


def _until(holds: Callable[[], object]) -> float:
    """The time at which something holds, s since 1970."""
    deadline = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(_POLL_S)
    return time.time()


def _cpu_of(head: Head) -> float:
    """Seconds that the processors have given to a cluster's living processes."""
    total = 0.0
    for process in head.processes():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(title: str, seconds: Mapping[str, float]) -> str:
    cells: Sequence[str] = [f"{key} {value:.1f} s" for key, value in seconds.items()]
    return f"{title:>6}  {', '.join(cells)}"


if __name__ == "__main__":
    main()
