"""Arguments and options of the verbs about jobs, and the cluster that they name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune.cli.options import number_option

if TYPE_CHECKING:
    from cluster.jobs.cluster import Cluster

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Dashboard of a Ray cluster, such as http://localhost:8265; default: "
        "$RAY_API_SERVER_ADDRESS.",
    ),
]

ThereAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="Run it on the Ray cluster with this dashboard."),
]

ThereName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="With --address: name of the job."),
]

Follow = Annotated[
    bool, typer.Option("--follow", help="With --address: show its log until it ends.")
]

Insecure = Annotated[
    bool, typer.Option("--insecure", help="Send token and data by plain http to another machine.")
]

KeepAlive = Annotated[
    int, number_option("--keep-alive", "Times that a driver that died is started again.")
]

AnyVersions = Annotated[
    bool,
    typer.Option("--any-versions", help="Let nodes have other packages than those tested."),
]

SendData = Annotated[
    bool,
    typer.Option(
        "--send-data", help="Send the study's data set to its storage, unless it is there."
    ),
]

JobName = Annotated[str, typer.Argument(metavar="NAME", help="A job; `segtune jobs` lists them.")]


def the_cluster(address: str | None, insecure: bool) -> "Cluster":
    """The cluster at an address, asked once whether it answers."""
    from cluster.jobs.cluster import Cluster  # loaded when asked for
    from cluster.jobs.login import find_login  # loaded when asked for

    return Cluster(find_login(address, os.environ, Path.home(), insecure=insecure))
