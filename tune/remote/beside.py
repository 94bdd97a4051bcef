"""Short jobs of ours beside the others: what a cluster is asked, or has to take, from far away."""

import platform
import re
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from cluster.jobs.cluster import Cluster
from cluster.jobs.following import Starting, follow
from cluster.jobs.job import Job
from cluster.jobs.package import Package, packed
from tune.job.order import COMMAND, ORDER, Order, Place
from tune.remote.travelling import TRIAL, roots_beside

_RAYS_WORDS: Final = re.compile(r"Running entrypoint for job|[-\d]+ [:,\d]+\s+INFO job_manager")

Tell = Callable[[str], None]


def run_beside(cluster: Cluster, words: Sequence[str], tell: Tell) -> tuple[str, bool]:
    """What a short job of ours says on a cluster, and whether it ended well.

    Args:
        cluster: Where it runs.
        words: After the command of jobs.
        tell: Takes what is to be known on the way.
    """
    return ended_beside(cluster, begin_beside(cluster, words), tell)


def begin_beside(cluster: Cluster, words: Sequence[str], places: Sequence[Place] = ()) -> Job:
    """Begin a short job of ours on a cluster, which knows of some places."""
    own = (platform.python_version(), version("ray"), TRIAL)
    order = Order("study", words[0], *own, places=tuple(places))
    with packed({ORDER: order.text().encode()}, roots_beside(words[0])) as package:
        return send_beside(cluster, words, package)


def send_beside(cluster: Cluster, words: Sequence[str], package: Package) -> Job:
    """Begin a short job of ours on a cluster, with a package that is made."""
    name = f"segtune-{words[0]}-{time.time_ns() // 1_000_000}"
    cluster.submit(name, 1, [*COMMAND, *words], {}, package.path)
    return Job(name, name, 1, words[0], "")


def ended_beside(cluster: Cluster, job: Job, tell: Tell) -> tuple[str, bool]:
    """What a short job has said once it has ended, and whether it ended well."""
    said: list[str] = []
    job = follow(cluster, job, said.append, tell, look=Starting(cluster))
    cluster.forget(job.id)
    return own_words("".join(said)), job.state == "SUCCEEDED"


def own_words(log: str) -> str:
    """What our code said in a job's log, without what Ray says at its beginning."""
    lines = [line for line in log.splitlines() if not _RAYS_WORDS.match(line)]
    return "\n".join(lines).strip().removeprefix("segtune: ")
