"""A job's log as it grows: told where it was left off, whatever the way to the cluster does."""

import time
from collections.abc import Callable
from typing import Final

from cluster.errors import ContactError, JobError
from cluster.jobs.cluster import Cluster
from cluster.jobs.job import Job

_FASTEST_S: Final = 0.5

_BYTES_A_SECOND: Final = 500_000
"""A log is asked for as a whole; the larger it is, the less often."""

_AGAIN_S: Final = 3.0

PENDING_S: Final = 120.0
"""Time that a cluster has to start a job, s; Ray itself waits for 15 minutes."""


def follow(
    cluster: Cluster,
    job: Job,
    write: Callable[[str], None],
    tell: Callable[[str], None],
    until: Callable[[str], bool] = lambda log: False,
    look: Callable[[Job], None] = lambda job: None,
) -> Job:
    """Write a job's log until the job has ended; returns it as it then is.

    Losing contact ends nothing: it is told once, and the log goes on where it was.

    Args:
        cluster: Where the job is.
        job: The job.
        write: Takes each new piece of the log, whole lines but for the last.
        tell: Takes a sentence for the user.
        until: Says of all that was written so far whether it is enough.
        look: Shown the job as it is now and then; raises where that is not to be waited for.
    """
    seen, lost = "", False
    while True:
        try:
            job = cluster.refreshed(job)  # before the log, which is then whole where it has ended
            log = cluster.log(job)
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
        look(job)
        new = log[len(seen) :] if job.ended else _whole_lines(log[len(seen) :])
        if new:
            write(new)
            seen += new
        if job.ended or until(seen):
            return job
        time.sleep(max(_FASTEST_S, len(log) / _BYTES_A_SECOND))


class Starting:
    """A look at a job that takes it back where the cluster does not start it in time.

    Args:
        cluster: Where the job is.
        within_s: Time that the cluster has.
    """

    def __init__(self, cluster: Cluster, within_s: float = PENDING_S) -> None:
        self._cluster, self._within_s = cluster, within_s
        self._since = time.monotonic()

    def __call__(self, job: Job) -> None:
        """Look at the job.

        Raises:
            JobError: It still waits.
        """
        if job.state != "PENDING" or time.monotonic() - self._since < self._within_s:
            return
        self._cluster.stop(job.id)  # else it would start when nobody expects it any more
        raise JobError(
            f"{job.name}: {self._cluster.login.address} has not started it within "
            f"{self._within_s:.0f} s, and it was taken back. Its head may be too busy, out of "
            f"memory or still starting; Ray says: {job.message or 'nothing'}"
        )


def _whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]
