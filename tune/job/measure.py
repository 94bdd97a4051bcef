"""A measurement as a job, on the processors of its cluster that nobody holds."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from analysis.measure.asked import read_asked
from analysis.measure.plan import plan_measure
from analysis.measure.run import run_measure
from cluster.jobs.watch import watched
from trainables.contract import Device
from tune.job.nodes import check_nodes, free_processors, has_gpus
from tune.job.order import CHECKED, Order
from tune.job.sharing import proof_of_sharing
from tune.job.stopping import interrupted_by_sigterm
from tune.progress.conclusion import Conclusion

_GOES_ON: Final = "`segtune submit` with the same file goes on"

log = logging.getLogger(__name__)


def run_job(
    order: Order, file: Path, tell: Callable[[str], None], refuse_if_stopped: Callable[[], None]
) -> Conclusion:
    """Check every node, then measure what is not yet done; arguments as for a study."""
    asked = read_asked(file)
    with proof_of_sharing(Path(asked.out)) as proof:
        nodes = check_nodes(order, (), proof)
    device = "cuda:0" if has_gpus() else "cpu"
    plan = plan_measure(
        list(asked.images),
        [Path(place) for place in asked.model],
        Path(asked.out),
        asked.settings,
        trainable=asked.trainable,
        device=Device(device),
    )
    tell(f"{nodes}; {CHECKED}")
    for line in plan.lines():
        tell(line)
    machine = free_processors(tell, refuse_if_stopped)
    plan = replace(plan, gpus=machine.gpus, device=Device(device, cpus=machine.cpus))
    try:
        with watched(_GOES_ON), interrupted_by_sigterm():
            refuse_if_stopped()
            result = run_measure(plan, _progress, tell, machine)
    except KeyboardInterrupt:
        return Conclusion((), (f"interrupted; {_GOES_ON}",), 130)
    code = 1 if result.failed or not result.complete else 0
    return Conclusion(tuple(result.lines()), tuple(result.warnings()), code)


def _progress(done: int, total: int) -> None:
    """A line for the log at every twentieth of the way."""
    if done == total or done * 20 // total > (done - 1) * 20 // total:
        log.info("%d of %d pictures", done, total)
