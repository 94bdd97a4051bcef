"""Verbs about jobs on a cluster: submit, jobs, logs, stop."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.cli.jobs.options import (
    Address,
    AnyVersions,
    Insecure,
    JobName,
    KeepAlive,
    SendData,
    the_cluster,
)
from tune.cli.options import Overrides
from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from cluster.jobs.job import Job

_EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}


def submit(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A study file, or the file of a measurement."),
    ],
    address: Address = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the job; default: the study's."),
    ] = None,
    keep_alive: KeepAlive = 0,
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show its log until it ends.")] = False,
    any_versions: AnyVersions = False,
    send_data: SendData = False,
    insecure: Insecure = False,
) -> None:
    """Run a study or a measurement on a Ray cluster; sent again, it is found again.

    It goes on whatever becomes of this machine. A job that has ended is gone on with.
    """
    from tune.remote.submitting import Wanted, wait_until_begun  # slow: numpy
    from tune.remote.submitting import submit as send  # as the other

    cluster = the_cluster(address, insecure)
    wishes = Wanted(name, keep_alive, any_versions, send_data)
    job, sent = send(file, cluster, wishes, overrides or [], _note)
    if sent:
        again = f", attempt {job.attempt}" if job.attempt > 1 else ""
        _note(f"job {job.name} on {cluster.login.address}{again}: its nodes are looked at")
        job = wait_until_begun(cluster, job, _note)
    else:
        _note(f"job {job.name} on {cluster.login.address} is running already")
    at = f"{job.name} --address {shlex.quote(cluster.login.address)}"
    if follow:
        raise typer.Exit(_followed(address, insecure, job))
    typer.echo(f"segtune logs {at} --follow")


def jobs(address: Address = None, insecure: Insecure = False) -> None:
    """List the jobs of a cluster: what each does, since when, and what it holds of the cluster."""
    from tune.remote.overseeing import job_lines  # slow: requests

    for line in on_terminal(job_lines(the_cluster(address, insecure))):
        typer.echo(line)


def logs(
    name: JobName,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    insecure: Insecure = False,
) -> None:
    """Show what a job has said. Ctrl-C ends the showing alone, never the job.

    With --follow the exit code is the job's: 0 when it is done, 1 where it failed, 130 where it
    was stopped.
    """
    cluster = the_cluster(address, insecure)
    job = cluster.named(name)
    if follow:
        raise typer.Exit(_followed(address, insecure, job))
    typer.echo(cluster.log(job.id), nl=False)


def stop(name: JobName, address: Address = None, insecure: Insecure = False) -> None:
    """End a job in order: its report is written, and no process of it is left on any node.

    `segtune submit` of the same file goes on with it.
    """
    from tune.remote.overseeing import stop as end  # slow: requests

    cluster = the_cluster(address, insecure)
    for line in on_terminal(end(cluster, cluster.named(name), _note)):
        typer.echo(line)


def _followed(address: str | None, insecure: bool, job: "Job") -> int:
    """Show a job's log to its end; returns the exit code that says how it ended."""
    from cluster.jobs.following import follow  # slow: requests

    cluster = the_cluster(address, insecure)
    try:
        ended = follow(cluster, job, lambda text: typer.echo(text, nl=False), _note)
    except KeyboardInterrupt:
        _note(f"{job.name} goes on; `segtune stop {job.name}` ends it")
        return 130
    return _EXIT_CODES.get(ended.state, 1)


def _note(line: str) -> None:
    """A line about what is going on."""
    for piece in on_terminal([line], sys.stderr):
        typer.echo(piece, err=True)
