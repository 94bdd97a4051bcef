"""A job sent by a verb: until it has begun, or followed to its end."""

import shlex
import sys
from typing import TYPE_CHECKING

import typer

from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from cluster.jobs.cluster import Cluster
    from cluster.jobs.job import Job
    from tune.remote.submitting import Asked

_EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}


def send_job(asked: "Asked", cluster: "Cluster", *, follow: bool = False) -> None:
    """Send what is asked for to a cluster, and stay until it has begun, or to its end."""
    from tune.remote.submitting import submit, wait_until_begun  # loaded already

    job, sent = submit(asked, cluster, note)
    if sent:
        again = f", attempt {job.attempt}" if job.attempt > 1 else ""
        note(f"job {job.name} on {cluster.login.address}{again}: its nodes are looked at")
        job = wait_until_begun(cluster, job, note)
    else:
        note(f"job {job.name} on {cluster.login.address} is running already")
    if follow:
        raise typer.Exit(followed(cluster, job))
    at = f"{job.name} --address {shlex.quote(cluster.login.address)}"
    typer.echo(f"segtune logs {at} --follow")


def followed(cluster: "Cluster", job: "Job") -> int:
    """Show a job's log to its end; returns the exit code that says how it ended."""
    from cluster.jobs.following import follow  # slow: requests
    from cluster.jobs.job import LOST  # loaded with it

    try:
        ended = follow(cluster, job, lambda text: typer.echo(text, nl=False), note)
    except KeyboardInterrupt:
        note(f"{job.name} goes on; `segtune stop {job.name}` ends it")
        return 130
    if ended.state == LOST:
        note(ended.message)
    return _EXIT_CODES.get(ended.state, 1)


def note(line: str) -> None:
    """Show a line about what is going on, apart from results."""
    for piece in on_terminal([line], sys.stderr):
        typer.echo(piece, err=True)
