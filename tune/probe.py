"""How long an epoch takes: from past studies on the same data, or by training two epochs."""

import contextlib
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

from trainables.contract import Device, TrainMetrics
from tune.errors import DriverError, StoreError
from tune.plan import StudyPlan
from tune.search import trial_seed
from tune.sharing import gpu_name
from tune.store import StudyDir
from tune.worker import Ended, Reported, TrialRunner, TrialTask

PROBED_EPOCHS = 2  # the first pays for loading and warm-up; the second is what an epoch costs


def past_epoch_seconds(plan: StudyPlan) -> float | None:
    """Median seconds an epoch took in studies of this engine, data and image size, or None."""
    seconds: list[float] = []
    for folder in sorted(plan.directory.parent.glob("*/")):
        with contextlib.suppress(StoreError):
            seconds += _seconds_of(StudyDir.open(folder), plan)
    return median(seconds) if seconds else None


def _seconds_of(study: StudyDir, plan: StudyPlan) -> list[float]:
    same = (
        study.resolved["engine"] == plan.study.trainable
        and study.resolved["fingerprint"] == plan.data.fingerprint
        and all(study.resolved["fixed"].get(k) == plan.fixed.get(k) for k in ("imgsz", "model"))
    )
    if not same:
        return []
    return [
        line["epoch_seconds"]
        for trial in study.trials()
        for line in trial.metrics
        if "epoch_seconds" in line
    ]


def probe_epoch_seconds(plan: StudyPlan) -> float:
    """Train two epochs of the first configuration in a scratch folder; seconds of the second.

    Raises:
        DriverError: The engine cannot train that configuration here.
    """
    point = plan.points[0] if plan.points else {}
    params = {**plan.fixed, **plan.space.draw(Random(plan.study.seed)), **point}
    measured = plan.study.train_metrics
    images = None if measured.images == "auto" else measured.images
    gpu = gpu_name(0) if plan.machine.gpus and plan.shares.gpu_fraction != 0 else None
    with tempfile.TemporaryDirectory(prefix="segtune-probe-") as scratch:
        attempt = Path(scratch) / "attempt-1"
        attempt.mkdir()
        task = TrialTask(
            engine=plan.study.trainable,
            study=plan.study.study,
            number=0,
            params=params,
            sampled=frozenset(),
            data=plan.data,
            epochs=plan.study.budget.epochs,
            seed=trial_seed(plan.study.seed, 0),
            device=Device(name="cuda:0" if gpu else "cpu", cpus=plan.shares.cpus),
            directory=attempt,
            resume_from=None,
            reported=0,
            objective=plan.study.objective.metric,
            mode=plan.study.objective.mode,
            train_metrics=TrainMetrics(measured.every, images),
            gpu=gpu,
        )
        return _second_epoch(TrialRunner(plan.study.trainable), task)


def _second_epoch(runner: TrialRunner, task: TrialTask) -> float:
    last = min(PROBED_EPOCHS, task.epochs)
    runner.start(task)
    started = time.monotonic()
    while True:
        event = runner.next_event()
        if isinstance(event, Ended):
            raise DriverError(f"the probe of {task.engine} ended early: {event.message}")
        if isinstance(event, Reported):
            seconds = time.monotonic() - started
            if event.epoch >= last:
                runner.kill()
                return seconds
            started = time.monotonic()
            runner.go_on()
