"""The verbs of `segtune cluster`: render gcp, render kuberay."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tune.cli.mistakes import Verb, Verbs
from tune.cli.options import StudyFile, number_option, out_option

cluster_app = typer.Typer(
    cls=Verbs,
    help="Write the files of a cluster for a study: Google Cloud, KubeRay.",
    add_completion=False,
    rich_markup_mode=None,
)
render_app = typer.Typer(
    cls=Verbs,
    help="Write the files of a cluster for a study; nothing is started.",
    add_completion=False,
    rich_markup_mode=None,
)
cluster_app.add_typer(render_app, name="render")

Out = Annotated[Path, out_option("The folder to write.")]

Image = Annotated[
    str, typer.Option("--image", metavar="IMAGE", help="Image of every node: HOST/PATH/segtune:1.")
]

MaxWorkers = Annotated[
    int | None,
    number_option(
        "--max-workers", "GPU machines at most; default: as the study's trials need.", least=1
    ),
]

OnDemand = Annotated[
    bool, typer.Option("--on-demand", help="GPU machines that stay, not spot ones.")
]

Project = Annotated[str, typer.Option("--project", metavar="ID", help="Project of Google Cloud.")]

Zone = Annotated[
    str, typer.Option("--zone", metavar="ZONE", help="Zone of the machines: us-central1-a.")
]

GoogleBucket = Annotated[
    str,
    typer.Option("--bucket", metavar="NAME", help="Bucket with data and studies, no gs://."),
]

Machine = Annotated[
    str,
    typer.Option(
        "--machine",
        metavar="TYPE",
        help="GPU machine: g2-standard-8, n1-standard-8+nvidia-tesla-t4:1.",
    ),
]

GoogleAccount = Annotated[
    str | None,
    typer.Option(
        "--service-account",
        metavar="ADDRESS",
        help="Account of head and workers; default: the one that Ray makes.",
    ),
]

GoogleSecret = Annotated[
    str,
    typer.Option(
        "--secret", metavar="NAME", help="Secret Manager's secret: RAY_AUTH_TOKEN=... lines."
    ),
]

Namespace = Annotated[
    str, typer.Option("--namespace", metavar="NAME", help="Namespace of everything.")
]

Gpu = Annotated[
    str,
    typer.Option(
        "--gpu", metavar="TYPE", help="GPU as GKE names it: nvidia-l4; or a node's KEY=VALUE."
    ),
]

GkeBucket = Annotated[
    str | None,
    typer.Option("--bucket", metavar="NAME", help="Bucket with data and studies, on GKE."),
]

Claim = Annotated[
    str | None,
    typer.Option(
        "--claim", metavar="NAME", help="Volume claim with data and studies, of many pods."
    ),
]

Gpus = Annotated[int, number_option("--gpus", "GPUs of a worker.", least=1)]

Cpus = Annotated[int, number_option("--cpus", "CPU cores of a worker.", least=1)]

MemoryGib = Annotated[int, number_option("--memory-gib", "Memory of a worker in GiB.", least=1)]

KubernetesAccount = Annotated[
    str,
    typer.Option("--service-account", metavar="NAME", help="Account of head and workers."),
]

Queue = Annotated[
    str | None, typer.Option("--queue", metavar="NAME", help="Kueue's queue; default: none.")
]

Schedule = Annotated[
    str, typer.Option("--schedule", metavar="CRON", help="When the cron job runs.")
]

KubernetesSecret = Annotated[
    str | None,
    typer.Option("--secret", metavar="NAME", help="Secret with variables; default: none."),
]


@cluster_app.callback()
def _cluster() -> None:
    """Write the files of a cluster for a study: Google Cloud, KubeRay."""


@render_app.callback()
def _render() -> None:
    """Write the files of a cluster for a study; nothing is started."""


@render_app.command("gcp", cls=Verb)
def render_gcp(
    study: StudyFile,
    project: Project,
    zone: Zone,
    bucket: GoogleBucket,
    image: Image,
    machine: Machine,
    out: Out,
    max_workers: MaxWorkers = None,
    on_demand: OnDemand = False,
    service_account: GoogleAccount = None,
    secret: GoogleSecret = "segtune",
) -> None:
    """Write the file of a Ray cluster on Google Cloud, and the Dockerfile of its image."""
    from cluster.templates.values import GoogleValues  # loaded when asked for
    from tune.verbs.rendering import render_google  # slow: numpy

    values = GoogleValues(
        project=project,
        zone=zone,
        bucket=bucket,
        image=image,
        machine=machine,
        max_workers=max_workers,
        spot=not on_demand,
        service_account=service_account,
        secret=secret,
    )
    _tell(render_google(study, values, out), f"ray up {shlex.quote(str(out / 'cluster.yaml'))}")


@render_app.command("kuberay", cls=Verb)
def render_kuberay(
    study: StudyFile,
    namespace: Namespace,
    image: Image,
    gpu: Gpu,
    out: Out,
    bucket: GkeBucket = None,
    claim: Claim = None,
    gpus: Gpus = 1,
    cpus: Cpus = 6,
    memory_gib: MemoryGib = 24,
    max_workers: MaxWorkers = None,
    on_demand: OnDemand = False,
    service_account: KubernetesAccount = "segtune",
    queue: Queue = None,
    schedule: Schedule = "0 20 * * *",
    secret: KubernetesSecret = None,
) -> None:
    """Write KubeRay's RayJob, RayCluster and RayCronJob, and the Dockerfile of their image."""
    from cluster.templates.values import KubeRayValues  # loaded when asked for
    from tune.verbs.rendering import render_kuberay as render  # slow: numpy

    values = KubeRayValues(
        namespace=namespace,
        image=image,
        gpu=gpu,
        bucket=bucket,
        claim=claim,
        gpus=gpus,
        cpus=cpus,
        memory_gib=memory_gib,
        max_workers=max_workers,
        spot=not on_demand,
        service_account=service_account,
        queue=queue,
        schedule=schedule,
        secret=secret,
    )
    job = shlex.quote(str(out / "ray-job.yaml"))
    _tell(render(study, values, out), f"kubectl apply -f {job}")


def _tell(files: Sequence[Path], then: str) -> None:
    for path in files:
        typer.echo(f"wrote {path}")
    typer.echo(f"build the image, copy the data, then: {then} (docs/cluster.md)")
