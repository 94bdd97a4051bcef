"""A job's log as it grows: told where it was left off, whatever the way to the cluster does."""

import time
from collections.abc import Callable
from typing import Final

from cluster.errors import ContactError
from cluster.jobs.cluster import Cluster
from cluster.jobs.job import Job

_FASTEST_S: Final = 0.5

_BYTES_A_SECOND: Final = 500_000
"""A log is asked for as a whole; the larger it is, the less often."""

_AGAIN_S: Final = 3.0


def follow(
    cluster: Cluster,
    job: Job,
    write: Callable[[str], None],
    tell: Callable[[str], None],
    until: Callable[[str], bool] = lambda log: False,
) -> Job:
    """Write a job's log until the job has ended; returns it as it then is.

    Losing contact ends nothing: it is told once, and the log goes on where it was.

    Args:
        cluster: Where the job is.
        job: The job.
        write: Takes each new piece of the log, whole lines but for the last.
        tell: Takes a sentence for the user.
        until: Says of all that was written so far whether it is enough.
    """
    seen, lost = "", False
    while True:
        try:
            job = cluster.refreshed(job)  # before the log, which is then whole where it has ended
            log = cluster.log(job.id)
        except ContactError:
            if not lost:
                tell(
                    f"contact with {cluster.login.address} lost; the job goes on. Trying again "
                    "(Ctrl-C leaves it running)"
                )
            lost = True
            time.sleep(_AGAIN_S)
            continue
        if lost:
            tell("contact is back")
            lost = False
        new = log[len(seen) :] if job.ended else _whole_lines(log[len(seen) :])
        if new:
            write(new)
            seen += new
        if job.ended or until(seen):
            return job
        time.sleep(max(_FASTEST_S, len(log) / _BYTES_A_SECOND))


def _whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]
