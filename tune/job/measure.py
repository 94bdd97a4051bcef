"""A measurement as a job, on all processors of its cluster."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from analysis.measure.asked import read_asked
from analysis.measure.plan import plan_measure
from analysis.measure.run import run_measure
from cluster.jobs.watch import watched
from trainables.contract import Device
from tune.job.nodes import all_processors, check_nodes
from tune.job.order import CHECKED, Order
from tune.job.sharing import proof_of_sharing
from tune.progress.conclusion import Conclusion

log = logging.getLogger(__name__)


def run_job(
    order: Order, file: Path, tell: Callable[[str], None], refuse_if_stopped: Callable[[], None]
) -> Conclusion:
    """Check every node, then measure what is not yet done; arguments as for a study."""
    asked, machine = read_asked(file), all_processors()
    with proof_of_sharing(Path(asked.out)) as proof:
        nodes = check_nodes(order, (), proof)
    plan = plan_measure(
        list(asked.images),
        [Path(place) for place in asked.model],
        Path(asked.out),
        asked.settings,
        trainable=asked.trainable,
        device=Device("cuda:0" if machine.gpus else "cpu", cpus=machine.cpus),
    )
    refuse_if_stopped()
    tell(f"{nodes}; {CHECKED}")
    for line in plan.lines():
        tell(line)
    with watched("`segtune submit` with the same file goes on"):
        result = run_measure(replace(plan, gpus=machine.gpus), _progress, tell, machine)
    code = 1 if result.failed or not result.complete else 0
    return Conclusion(tuple(result.lines()), tuple(result.warnings()), code)


def _progress(done: int, total: int) -> None:
    """A line for the log at every twentieth of the way."""
    if done == total or done * 20 // total > (done - 1) * 20 // total:
        log.info("%d of %d pictures", done, total)
