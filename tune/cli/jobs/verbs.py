"""Verbs about jobs on a cluster: submit, jobs, logs, stop."""

from pathlib import Path
from typing import Annotated

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
from tune.cli.jobs.sending import followed, note, send_job
from tune.cli.options import Overrides
from tune.errors import UsageError
from tune.progress.folding import on_terminal


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
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="gs://BUCKET/FOLDER",
            help="With --send-data: send it there, where each node fetches it once.",
        ),
    ] = None,
    insecure: Insecure = False,
) -> None:
    """Run a study or a measurement on a Ray cluster; sent again, it is found again.

    It goes on whatever becomes of this machine. A job that has ended is gone on with.
    """
    from tune.remote.submitting import Wanted, read_asked  # slow: numpy

    wishes = Wanted(name, keep_alive, any_versions, send_data, _bucket(to, send_data))
    asked = read_asked(file, wishes, overrides or [])  # before any cluster is asked
    send_job(asked, the_cluster(address, insecure), follow=follow)


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
    from cluster.errors import JobError  # loaded when asked for
    from cluster.jobs.job import LOST  # as the other

    cluster = the_cluster(address, insecure)
    job = cluster.named(name)
    if follow:
        raise typer.Exit(followed(cluster, job))
    if job.state == LOST:
        raise JobError(job.message)
    typer.echo(cluster.log(job), nl=False)


def stop(name: JobName, address: Address = None, insecure: Insecure = False) -> None:
    """End a job in order: its report is written, and no process of it is left on any node.

    `segtune submit` of the same file goes on with it.
    """
    from tune.remote.overseeing import stop as end  # slow: requests

    cluster = the_cluster(address, insecure)
    for line in on_terminal(end(cluster, cluster.named(name), note)):
        typer.echo(line)


def _bucket(to: str | None, send_data: bool) -> str | None:
    """Where data are to be sent, if a bucket is named."""
    if to is None:
        return None
    if not send_data:
        raise UsageError("--to: expected --send-data beside it, got none")
    if not to.startswith("gs://") or not to.removeprefix("gs://").strip("/"):
        raise UsageError(f"--to: expected gs://BUCKET/FOLDER, got {to}")
    return to
