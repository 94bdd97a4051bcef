"""A measurement of how long a trial's start and its epochs take, by training a few together."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import chain, count, islice, repeat
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from cluster.machines.machine import gpu_memory_gb
from cluster.machines.sharing import Placement, auto_share, gpu_names, own_units
from tune.driver.search import trial_seed
from tune.errors import DriverError
from tune.plan.pace import Pace
from tune.plan.plan import StudyPlan
from tune.trial.messages import Ended, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import Part, TrialTask, tasks_of

PROBED_EPOCHS = 2  # the first pays for loading and warm-up; the second is what an epoch costs


def probe(plan: StudyPlan) -> Pace:
    """Train two epochs of the first configurations in a scratch folder.

    As many train at once as in the study, each with its share of the machine: alone, a trial is
    quicker than beside others.

    Raises:
        DriverError: The engine cannot train one of these configurations here.
    """
    parts, made = _parts(plan), tasks_of(plan)
    with tempfile.TemporaryDirectory(prefix="segtune-probe-") as scratch:
        tasks = []
        for number, sampled in enumerate(_configurations(plan)):
            attempt = Path(scratch) / str(number) / "attempt-1"
            attempt.mkdir(parents=True)
            seed = trial_seed(plan.study.seed, number)
            tasks.append(made.first(number, sampled, seed, attempt, next(parts)))
        return _pace(tasks)


def _parts(plan: StudyPlan) -> Iterator[Part]:
    """The parts of this machine that the trials get, one after the other."""
    shares, n_gpus = plan.shares, plan.machine.gpus
    share = shares.gpu_fraction
    if share is None:
        share = auto_share(n_gpus, plan.study.resources.concurrent)
    placement = Placement(share or 1, own_units(n_gpus, share) if share else {})
    for trial in count():
        unit = placement.place(trial)
        indices = [int(index) for index in unit.split(",")] if unit else []
        yield Part(shares.cpus, share if unit else 0.0, gpu_names(indices))


def _configurations(plan: StudyPlan) -> Iterator[Mapping[str, Any]]:
    """Configurations for as many trials as train at once: warm-start points, then any."""
    random = Random(plan.study.seed)
    points = chain(plan.points, repeat({}))
    n = min(plan.study.resources.concurrent, plan.trials)
    return ({**plan.space.draw(random), **point} for point in islice(points, n))


def _pace(tasks: Sequence[TrialTask]) -> Pace:
    runners = [TrialRunner(task.engine) for task in tasks]
    lacking = {task.number for task in tasks}
    started = time.monotonic()
    with ExitStack() as ends:  # in this order, last first
        for runner in runners:
            ends.callback(runner.kill)
        pool = ends.enter_context(ThreadPoolExecutor(len(tasks)))
        for runner in runners:
            ends.callback(runner.abort)
        ends.callback(lacking.clear)
        for runner, task in zip(runners, tasks, strict=True):
            runner.start(task)
        shown = [
            pool.submit(_reports, runner, task, lacking)
            for runner, task in zip(runners, tasks, strict=True)
        ]
        for ended in wait(shown, return_when=FIRST_EXCEPTION).done:
            ended.result()  # raises what went wrong
    reports = [ended.result() for ended in shown]
    times = [_times(started, [report.at for report in trial]) for trial in reports]
    epochs_s, starts_s = zip(*times, strict=True)
    peak_gb = max(report.gpu_memory_gb for trial in reports for report in trial)
    n = len(tasks)
    text = f"{PROBED_EPOCHS} epochs of {n} trials at once" if n > 1 else f"{PROBED_EPOCHS} epochs"
    return Pace(fmean(epochs_s), fmean(starts_s), text, memory_part(peak_gb, gpu_memory_gb()))


def memory_part(peak_gb: float, total_gb: float) -> float:
    """The part of a GPU's memory that a trial took; 0 where either is not known.

    >>> memory_part(20.0, 80.0), memory_part(0.0, 80.0), memory_part(1.0, 0.0)
    (0.25, 0.0, 0.0)
    """
    return peak_gb / total_gb if total_gb else 0.0


class _Report(NamedTuple):
    """The moment of an epoch's report, and the most GPU memory that was reserved until then."""

    at: float
    gpu_memory_gb: float


def _reports(runner: TrialRunner, task: TrialTask, lacking: set[int]) -> list[_Report]:
    """The reports of a trial; it trains on until no trial lacks one.

    Args:
        runner: Runs the trial.
        task: The trial.
        lacking: Numbers of the trials that have not trained their two epochs.
    """
    last = min(PROBED_EPOCHS, task.epochs)
    reports: list[_Report] = []
    while not reports or lacking:
        event = runner.next_event()
        if isinstance(event, Ended):
            if len(reports) >= last:
                break
            raise DriverError(f"the probe of {task.engine} ended early: {event.message}")
        if isinstance(event, Reported):
            peak_gb = float(event.values.get("gpu_memory_gb", 0.0))
            reports.append(_Report(time.monotonic(), peak_gb))
            if len(reports) == last:
                lacking.discard(task.number)
            if lacking:
                runner.go_on()
    return reports


def _times(started: float, reports: Sequence[float]) -> tuple[float, float]:
    """Seconds of a trial's epoch, and of its start."""
    if len(reports) == 1:
        return reports[0] - started, 0.0
    epoch_s = (reports[-1] - reports[0]) / (len(reports) - 1)
    return epoch_s, max(0.0, reports[0] - started - epoch_s)
