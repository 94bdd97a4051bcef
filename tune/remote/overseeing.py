"""Jobs on a cluster, looked after: listed, stopped, their studies and nodes shown."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cluster.errors import JobError
from cluster.jobs.cluster import STOP_WAIT_S, Cluster
from cluster.jobs.job import Job
from tune.remote.beside import run_beside

_POLL_S: Final = 0.3

_GRACE_S: Final = 10.0
"""Time beyond Ray's own that a job has to be told as ended."""

Tell = Callable[[str], None]


def job_lines(cluster: Cluster) -> list[str]:
    """A line for each job of a cluster, and what it holds of the cluster.

    Of a job that was sent several times, the last attempt is shown.
    """
    latest = {job.name: job for job in cluster.jobs()}
    if not latest:
        return [f"no jobs on {cluster.login.address}; `segtune submit` sends one"]
    held, total = _held(cluster), _total(cluster)
    rows = [_row(job, held.get(job.ray_id, Counter())) for job in latest.values()]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:<{width}}  {state:<9}  {rest}" for name, state, rest in rows]
    return [*lines, f"the cluster has {_amounts(total)}"]


def stop(cluster: Cluster, job: Job, tell: Tell) -> list[str]:
    """End a job in order, and see that nothing of it is left; returns what there is to say.

    Raises:
        JobError: It does not end.
    """
    if not job.ended:
        tell(f"{job.name}: is asked to end; its report is written first")
        job = _ended(cluster, job)
    left, well = run_beside(cluster, ["sweep", job.id], tell)
    if not well:
        raise JobError(f"{job.name}: is not seen to have ended on every node:\n{left}")
    if held := _held_after(cluster, job):
        raise JobError(
            f"{job.name}: no process of it is left, but it still holds {held}; `ray list "
            "placement-groups` on the head says more"
        )
    return [*_last_words(cluster.log(job)), *left.splitlines()]


def remote_status(cluster: Cluster, name: str, tell: Tell, *, every: bool) -> str:
    """The trials of a job's study, as `segtune status` shows them.

    Raises:
        JobError: It has none yet.
    """
    job = cluster.named(name)
    words = ["status", job.metadata.get("directory", ""), *(["all"] if every else [])]
    if job.kind not in ("study", "confirm"):
        return "\n".join([f"{job.name}: {job.state.lower()}", *_last_words(cluster.log(job))])
    shown, well = run_beside(cluster, words, tell)
    if not well:
        raise JobError(f"{job.name}: {shown}")
    return shown


def remote_doctor(cluster: Cluster, tell: Tell) -> tuple[list[str], bool]:
    """What each node of a cluster has and lacks, and whether studies can run on all of them."""
    said, well = run_beside(cluster, ["nodes"], tell)
    first = f"ok    cluster: Ray {cluster.ray_version} at {cluster.login.address}"
    return [first, *said.splitlines()], well


def _ended(cluster: Cluster, job: Job) -> Job:
    """The job once it has ended, as it is asked to; the sweep ends what Ray cannot."""
    try:
        cluster.stop(job.id)
    except JobError:  # its supervisor is gone, and with it the way to its driver
        return job
    deadline = time.monotonic() + STOP_WAIT_S + _GRACE_S
    while not (job := cluster.refreshed(job)).ended and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return job


def _held_after(cluster: Cluster, job: Job) -> str:
    """What an ended job still holds of its cluster after a while, in words; "" for nothing."""
    deadline = time.monotonic() + _GRACE_S
    while (held := _held(cluster).get(job.ray_id or job.id)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return _amounts(held) if held else ""


def _last_words(log: str) -> list[str]:
    """Lines of a job's log on where its results are, and how it ended."""
    telling = ("wrote ", "segtune: ", "interrupted")
    return [line for line in log.splitlines() if line.startswith(telling)][-4:]


def _row(job: Job, held: Mapping[str, float]) -> tuple[str, str, str]:
    since = _age(job)
    what = f"{job.kind}, attempt {job.attempt}" if job.attempt > 1 else job.kind
    holds = f", holds {_amounts(held)}" if held and not job.ended else ""
    return job.name, job.state.lower(), f"{what}, {since}{holds}"


def _age(job: Job) -> str:
    if job.started_s is None:
        return "not started"
    last = job.ended_s or time.time()
    return f"{_span(max(0.0, last - job.started_s))}{' long' if job.ended else ''}"


def _span(seconds: float) -> str:
    """A length of time in the unit that fits.

    >>> _span(42), _span(600), _span(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _held(cluster: Cluster) -> dict[str, Counter[str]]:
    """What each of Ray's jobs holds: its reservations, and its actors outside of them."""
    held: dict[str, Counter[str]] = {}
    for group in cluster.state("placement_groups"):
        if group.get("state") == "CREATED":
            bundles = (bundle.get("unit_resources") for bundle in group.get("bundles") or ())
            _add(held, group.get("creator_job_id"), bundles)
    for actor in cluster.state("actors"):
        if actor.get("state") == "ALIVE" and not actor.get("placement_group_id"):
            _add(held, actor.get("job_id"), [actor.get("required_resources")])
    return held


def _add(
    held: dict[str, Counter[str]], job: str | None, amounts: Iterable[Mapping[str, Any] | None]
) -> None:
    for amount in amounts:
        own = held.setdefault(job or "", Counter())
        for kind, n in (amount or {}).items():
            if kind in ("CPU", "GPU"):
                own[kind] += n


def _total(cluster: Cluster) -> Counter[str]:
    total: Counter[str] = Counter()
    for node in cluster.state("nodes"):
        if node.get("state") == "ALIVE":
            for kind in ("CPU", "GPU"):
                total[kind] += (node.get("resources_total") or {}).get(kind, 0)
    return total


def _amounts(amounts: Mapping[str, float]) -> str:
    """Amounts of CPUs and GPUs in words.

    >>> _amounts({"GPU": 1.5, "CPU": 8.0})
    '8 CPUs, 1.5 GPUs'
    """
    named = [f"{amounts[kind]:g} {kind}s" for kind in ("CPU", "GPU") if amounts.get(kind)]
    return ", ".join(named) or "no CPUs"
