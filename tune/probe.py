"""How long a trial's start and its epochs take, measured by training two of them."""

import tempfile
import time
from pathlib import Path
from random import Random

from tune.errors import DriverError
from tune.pace import Pace
from tune.plan import StudyPlan
from tune.search import trial_seed
from tune.sharing import Placement, auto_share
from tune.worker import Ended, Reported, TrialRunner, TrialTask, make_task

PROBED_EPOCHS = 2  # the first pays for loading and warm-up; the second is what an epoch costs


def probe(plan: StudyPlan) -> Pace:
    """Train two epochs of the first configuration in a scratch folder.

    Raises:
        DriverError: The engine cannot train that configuration here.
    """
    point = plan.points[0] if plan.points else {}
    sampled = {**plan.space.draw(Random(plan.study.seed)), **point}
    share = plan.shares.gpu_fraction
    if share is None:
        share = auto_share(plan.machine.gpus, plan.study.resources.concurrent)
    placement = Placement(plan.machine.gpus, share)
    with tempfile.TemporaryDirectory(prefix="segtune-probe-") as scratch:
        attempt = Path(scratch) / "attempt-1"
        attempt.mkdir()
        seed = trial_seed(plan.study.seed, 0)
        task = make_task(plan, 0, sampled, seed, attempt, placement)
        return _pace(TrialRunner(plan.study.trainable), task)


def _pace(runner: TrialRunner, task: TrialTask) -> Pace:
    last = min(PROBED_EPOCHS, task.epochs)
    reports = [time.monotonic()]
    runner.start(task)
    while len(reports) <= last:
        event = runner.next_event()
        if isinstance(event, Ended):
            raise DriverError(f"the probe of {task.engine} ended early: {event.message}")
        if isinstance(event, Reported):
            reports.append(time.monotonic())
            if event.epoch < last:
                runner.go_on()
    runner.kill()
    epoch_s = reports[-1] - reports[-2]
    start_s = reports[1] - reports[0] - epoch_s if last > 1 else 0.0
    return Pace(epoch_s, max(0.0, start_s))
