"""A study's data set in a bucket, brought to every node of the job's cluster, once to each."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from cluster.errors import JobError
from cluster.jobs.nodes import ask_every_node
from trainables.datasets.prepared import PreparedDataset
from trainables.files.errors import UserError
from tune.datasets.copies import bring, copy_of
from tune.datasets.opening import in_bucket
from tune.study.study import Study

_TOLD: Final = "segtune-data-"
"""How the names begin under which nodes say in the control store what has come to them."""

_EVERY_S: Final = 10.0

_LONGEST_S: Final = 24 * 3600.0


def bring_data(
    study: Study, data: PreparedDataset, tell: Callable[[str], None], look: Callable[[], None]
) -> None:
    """Bring a study's data set to every node; a node that joins later fetches it for its trials.

    Args:
        study: The study; one whose data set is in a folder needs nothing.
        data: The data set, as this process has opened it.
        tell: Takes a line for the job's log.
        look: Called now and then; raises where the job is to end.

    Raises:
        JobError: Some node cannot have it; with a line for each.
    """
    if not in_bucket(study.data):
        return
    address, said = str(study.data), _Said(tell)

    def meanwhile() -> None:
        look()
        said.now()

    answers = ask_every_node(bring_here, address, data, timeout_s=_LONGEST_S, meanwhile=meanwhile)
    wrong = [f"  {a.node}: data: {a.value or a.problem}" for a in answers if a.value != ""]
    if wrong:
        raise JobError("\n".join([f"{study.study}: nothing was started", *dict.fromkeys(wrong)]))
    n = "1 node has" if len(answers) == 1 else f"all {len(answers)} nodes have"
    tell(f"data: {n} {address} in {copy_of(data.name, data.fingerprint)}")


def bring_here(address: str, data: PreparedDataset) -> str:
    """Bring a data set to this node; "" or the reason why it cannot be. Runs in a worker."""
    import ray  # put off: slow to import
    from ray.experimental import internal_kv  # as Ray

    name = f"{_TOLD}{ray.get_runtime_context().get_node_id()}"
    told = 0.0

    def tick(done: int, total: int) -> None:
        nonlocal told
        if (now := time.monotonic()) - told > 1.0:
            told = now
            internal_kv._internal_kv_put(name, f"{done} {total}", overwrite=True)

    try:
        bring(address, data, tick)
    except UserError as error:
        return str(error)
    finally:
        internal_kv._internal_kv_del(name)
    return ""


class _Said:
    """Lines on what has come to the nodes so far, one now and then."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._began = tell, time.monotonic()
        self._told = self._began

    def now(self) -> None:
        """Say what has come, unless that was said just now or nothing is on its way."""
        if (now := time.monotonic()) - self._told < _EVERY_S:
            return
        self._told = now
        amounts = list(_amounts())
        done, total = sum(d for d, _ in amounts), sum(t for _, t in amounts)
        if done:
            left = (now - self._began) / done * (total - done)
            nodes = "1 node" if len(amounts) == 1 else f"{len(amounts)} nodes"
            self._tell(
                f"data: {done / 1e6:.0f} of {total / 1e6:.0f} MB came to {nodes}, {left:.0f} s left"
            )


def _amounts() -> Iterator[tuple[int, int]]:
    from ray.experimental import internal_kv  # put off: slow to import

    for name in internal_kv._internal_kv_list(_TOLD):
        content = internal_kv._internal_kv_get(name)
        if content is not None:
            done, total = content.split()
            yield int(done), int(total)
