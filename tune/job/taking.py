"""Data that is sent to a study's storage, taken at the head."""

from collections.abc import Callable
from pathlib import Path

from cluster.errors import JobError
from cluster.jobs.receiving import Store, receive_folder
from tune.job.checks import fingerprint
from tune.job.order import READY, Order


def take_data(order: Order, transfer: str, tell: Callable[[str], None]) -> None:
    """Take the data set of an order, unless it is there.

    Args:
        order: Names its place and its fingerprint.
        transfer: Name under which it is sent.
        tell: Takes a line for the job's log; the sender waits for one of them.

    Raises:
        JobError: It cannot be written, or does not come whole.
    """
    [place] = order.places
    target = Path(place.path).expanduser()
    there = fingerprint(target)
    if there == place.fingerprint:
        tell(f"data is there already: {target}")
        return
    if there:
        raise JobError(
            f"{target}: expected the data of fingerprint {place.fingerprint[:12]}, as its name "
            f"says, got another ({there[:12]}); remove it"
        )
    tell(READY)
    receive_folder(Store(), transfer, target, lambda path: fingerprint(path) == place.fingerprint)
    tell(f"data was sent to {target}")
