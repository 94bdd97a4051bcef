"""The values that cluster files are made from, checked all at once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cluster.errors import TemplateError
from cluster.templates import names
from search_spaces.names import nearest_name

BUCKET_FOLDER: Final = "/bucket"
"""Folder of every node in which bucket or claim is mounted."""

STUDY_FOLDER: Final = "/etc/segtune"
"""Folder of the head's pod in which the study file lies."""

HOURS: Final = 168.0  # of a study that sets itself no limit: a job must end some day

GRACE_HOURS: Final = 1.0  # beyond the study's own hours: machines start, reports are written


@dataclass(frozen=True)
class StudyNeeds:
    """What a study asks of a cluster.

    Attributes:
        study: Name of the study.
        text: The study file as it runs there.
        gpus: GPUs that its trials take at once.
        hours: Wall-clock limit of the study; None where it has none.
    """

    study: str
    text: str
    gpus: int
    hours: float | None

    @property
    def name(self) -> str:
        """The study's name as clusters take it."""
        return names.cluster_name(self.study)

    @property
    def deadline_s(self) -> int:
        """Seconds after which a job of the study is ended, whatever it does."""
        hours = HOURS if self.hours is None else self.hours + GRACE_HOURS
        return math.ceil(hours * 3600)

    def machines(self, gpus_each: int, most: int | None) -> int:
        """GPU machines that the study may take: as many as asked, or as its trials need."""
        return most if most is not None else max(1, math.ceil(self.gpus / gpus_each))


@dataclass(frozen=True)
class Gpus:
    """A kind of GPU machine of Google Cloud.

    Attributes:
        cpus: CPU cores.
        gpus: GPUs.
        disk: Type of its boot disk.
        attached: Type of GPU to attach; "" where the machine type has its own.
    """

    cpus: int
    gpus: int
    disk: str = "pd-balanced"
    attached: str = ""


MACHINES: Final[Mapping[str, Gpus]] = {
    **{f"g2-standard-{n}": Gpus(n, 1) for n in (4, 8, 12, 16, 32)},
    "g2-standard-24": Gpus(24, 2),
    "g2-standard-48": Gpus(48, 4),
    "g2-standard-96": Gpus(96, 8),
    **{f"g4-standard-{48 * n}": Gpus(48 * n, n, "hyperdisk-balanced") for n in (1, 2, 4, 8)},
    **{f"a2-highgpu-{n}g": Gpus(12 * n, n) for n in (1, 2, 4, 8)},
    **{f"a2-ultragpu-{n}g": Gpus(12 * n, n) for n in (1, 2, 4, 8)},
    **{f"a3-highgpu-{n}g": Gpus(26 * n, n) for n in (1, 2, 4, 8)},
}
"""Machine types with GPUs of their own: L4, RTX PRO 6000, A100 and H100.

Source: https://cloud.google.com/compute/docs/gpus.
"""

N1_CPUS: Final = (1, 2, 4, 8, 16, 32, 64, 96)
"""CPU cores of the machine types n1-standard-N, to which GPUs are attached."""

ATTACHED: Final[Mapping[str, Sequence[int]]] = {
    "nvidia-tesla-t4": (1, 2, 4),
    "nvidia-tesla-v100": (1, 2, 4, 8),
    "nvidia-tesla-p100": (1, 2, 4),
    "nvidia-tesla-p4": (1, 2, 4),
}
"""GPUs that n1 machines take, and how many of each."""


@dataclass(frozen=True)
class GoogleValues:
    """What a Ray cluster on Google Cloud is made from.

    Attributes:
        project: Id of the project.
        zone: Zone of the machines.
        bucket: Bucket with data and studies, mounted on every machine.
        image: Image with segtune, the same on every machine.
        machine: Machine type of the workers: g2-standard-8, or n1-standard-8+nvidia-tesla-t4:1.
        max_workers: GPU machines at most; None: as many as the study's trials need at once.
        spot: Whether workers are spot machines.
        service_account: Account of head and workers; None: the one that Ray makes for its clusters.
        secret: Secret of the Secret Manager with the cluster's environment, its token among it.
    """

    project: str
    zone: str
    bucket: str
    image: str
    machine: str
    max_workers: int | None = None
    spot: bool = True
    service_account: str | None = None
    secret: str = "segtune"

    @property
    def region(self) -> str:
        """Region of the zone."""
        return self.zone.rpartition("-")[0]

    @property
    def account(self) -> str:
        """Address of the service account."""
        own = f"ray-autoscaler-sa-v1@{self.project}.iam.gserviceaccount.com"
        return self.service_account or own

    @property
    def gpus(self) -> Gpus:
        """Processors of a worker."""
        return _machine(self.machine)

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            TemplateError: With a line for every value that is wrong.
        """
        given = [
            ("--project", names.project(self.project)),
            ("--zone", names.zone(self.zone)),
            ("--bucket", names.bucket(self.bucket)),
            ("--image", names.image(self.image)),
            ("--machine", _why_no_machine(self.machine)),
            ("--service-account", names.service_account(self.account)),
            ("--secret", names.secret_id(self.secret)),
        ]
        if self.service_account is None:  # made from the project, which has its own line
            given = [line for line in given if line[0] != "--service-account"]
        _refuse(given)


@dataclass(frozen=True)
class KubeRayValues:
    """What KubeRay's manifests are made from.

    Attributes:
        namespace: Namespace of everything.
        image: Image with segtune, the same on every pod.
        gpu: GPU type as GKE names it (nvidia-l4), or a label KEY=VALUE of the GPU nodes.
        bucket: Bucket with data and studies, mounted by GKE's driver; None where a claim is.
        claim: Persistent volume claim with data and studies; None where a bucket is.
        gpus: GPUs of a worker.
        cpus: CPU cores of a worker.
        memory_gib: Memory of a worker.
        max_workers: Workers at most; None: as many as the study's trials need at once.
        spot: Whether workers are put on GKE's spot nodes.
        service_account: Service account of head and workers.
        queue: Kueue's local queue that admits the job; None for none.
        schedule: When the cron job runs.
        secret: Secret with environment variables of head and workers; None for none.
    """

    namespace: str
    image: str
    gpu: str
    bucket: str | None = None
    claim: str | None = None
    gpus: int = 1
    cpus: int = 6
    memory_gib: int = 24
    max_workers: int | None = None
    spot: bool = True
    service_account: str = "segtune"
    queue: str | None = None
    schedule: str = "0 20 * * *"
    secret: str | None = None

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            TemplateError: With a line for every value that is wrong.
        """
        _refuse(
            [
                ("--namespace", names.label(self.namespace)),
                ("--image", names.image(self.image)),
                ("--gpu", names.gpu_type(self.gpu)),
                *self._places(),
                ("--service-account", names.label(self.service_account)),
                ("--queue", names.label(self.queue) if self.queue is not None else ""),
                ("--schedule", names.schedule(self.schedule)),
                ("--secret", names.label(self.secret) if self.secret is not None else ""),
            ]
        )

    def _places(self) -> Iterator[tuple[str, str]]:
        if (self.bucket is None) == (self.claim is None):
            got = "neither" if self.bucket is None else "both"
            yield "--bucket, --claim", f"expected one of them, got {got}"
            return
        yield "--bucket", names.bucket(self.bucket) if self.bucket is not None else ""
        yield "--claim", names.label(self.claim) if self.claim is not None else ""


def _machine(text: str) -> Gpus:
    """The processors of a machine type that `_why_no_machine` has nothing against."""
    base, plus, attached = text.partition("+")
    if not plus:
        return MACHINES[base]
    kind, _, n = attached.partition(":")
    return Gpus(int(base.rpartition("-")[2]), int(n or 1), attached=kind)


def _why_no_machine(text: str) -> str:
    base, plus, attached = text.partition("+")
    n1 = [f"n1-standard-{n}" for n in N1_CPUS]
    if not plus:
        if base in MACHINES:
            return ""
        wanted = "a machine with GPUs: g2-standard-8, n1-standard-8+nvidia-tesla-t4:1"
        near = f"; the nearest is {base}+nvidia-tesla-t4:1" if base in n1 else ""
        return f"expected {wanted}, got {text!r}{near or nearest_name(base, MACHINES)}"
    if base not in n1:
        got = f"got {text!r}"
        if base in MACHINES:
            return f"expected {base} alone, which has its own GPUs, {got}; the nearest is {base}"
        return f"expected n1-standard-N before +, {got}{nearest_name(base, n1)}"
    return _why_not_attached(attached, text, base)


def _why_not_attached(attached: str, text: str, base: str) -> str:
    kind, _, n = attached.partition(":")
    if kind not in ATTACHED:
        known = ", ".join(ATTACHED)
        return f"expected one of {known} after +, got {text!r}{nearest_name(kind, ATTACHED)}"
    counts = [str(count) for count in ATTACHED[kind]]
    if (n or "1") in counts:
        return ""
    near = min(ATTACHED[kind], key=lambda c: abs(c - int(n))) if n.isdigit() else 1
    return (
        f"expected {', '.join(counts)} of {kind} a machine, got {text!r}; the nearest is "
        f"{base}+{kind}:{near}"
    )


def _refuse(given: Sequence[tuple[str, str]]) -> None:
    wrong = [f"{option}: {why}" for option, why in given if why]
    if len(wrong) == 1:
        raise TemplateError(wrong[0])
    if wrong:
        raise TemplateError("\n  ".join([f"{len(wrong)} problems", *wrong]))
