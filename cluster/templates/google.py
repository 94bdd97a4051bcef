"""The file of a Ray cluster on Google Cloud, for `ray up`.

Workers are GPU machines that the autoscaler starts and ends; the head has no GPU, runs no trial and
is never a spot machine. Head and workers have the same image, the same service account and the
bucket as a folder. Secrets come from the Secret Manager to the machines, never through this file.
"""

import shlex
from typing import Any, Final

from cluster.templates.environment import HEARTBEAT, MARKET_LABEL, MARKET_TYPE, market
from cluster.templates.values import BUCKET_FOLDER, GoogleValues, StudyNeeds

HEAD, WORKER = "head", "gpu"  # names of the node types

HEAD_MACHINE, HEAD_CPUS = "e2-standard-4", 4

DISK_GB: Final = 200  # the image with CUDA takes some 15 GB, checkpoints lie in the bucket

VM_IMAGE: Final = (
    "projects/deeplearning-platform-release/global/images/family/"
    "common-cu129-ubuntu-2204-nvidia-580"
)
"""Google's image with the NVIDIA driver, on the head too, so that both have the same tools."""

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"

_MOUNT: Final = "/mnt/segtune"  # the bucket on the machine; in its container, BUCKET_FOLDER

_ENVIRONMENT: Final = "/etc/segtune.env"  # on the machine, readable by its login user alone

_USER, _GROUP = 1000, 100  # of the container's user, see the Dockerfile


def google_cluster(study: StudyNeeds, values: GoogleValues) -> dict[str, Any]:
    """The cluster file of a study.

    Args:
        study: What the study needs.
        values: The values, checked.
    """
    workers = study.machines(values.gpus.gpus, values.max_workers)
    return {
        "cluster_name": study.name,
        "max_workers": workers,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "gcp",
            "region": values.region,
            "availability_zone": values.zone,
            "project_id": values.project,
        },
        "auth": {"ssh_user": "ubuntu"},
        "docker": _docker(values),
        "head_node_type": HEAD,
        "available_node_types": {HEAD: _head(values), WORKER: _worker(values, workers)},
        "initialization_commands": _initialization(values),
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [
            "ray stop",
            "ulimit -n 65536; ray start --head --port=6379 --num-cpus=0 --num-gpus=0 "
            "--dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": [
            "ray stop",
            "ulimit -n 65536; ray start --address=$RAY_HEAD_IP:6379",
        ],
    }


def _docker(values: GoogleValues) -> dict[str, Any]:
    variables = {"RAY_AUTH_MODE": "token", **HEARTBEAT}
    options = [f"-e {name}={value}" for name, value in variables.items()]
    kind = market(values.spot)
    return {
        "image": values.image,
        "container_name": "segtune",
        "pull_before_run": True,
        "run_options": [
            "--ulimit nofile=65536:65536",
            f"--env-file {_ENVIRONMENT}",
            f"-v {_MOUNT}:{BUCKET_FOLDER}",
            *options,
        ],
        "worker_run_options": [f"-e {MARKET_TYPE}={kind}"],
    }


def _head(values: GoogleValues) -> dict[str, Any]:
    return {
        "resources": {"CPU": 0},
        "min_workers": 0,
        "max_workers": 0,
        "node_config": {
            "machineType": HEAD_MACHINE,
            "disks": _disks(values, "pd-balanced"),
            "serviceAccounts": _accounts(values),
            "scheduling": {"onHostMaintenance": "MIGRATE", "automaticRestart": True},
        },
    }


def _worker(values: GoogleValues, most: int) -> dict[str, Any]:
    gpus = values.gpus
    config: dict[str, Any] = {
        "machineType": values.machine.partition("+")[0],
        "disks": _disks(values, gpus.disk),
        "serviceAccounts": _accounts(values),
        "metadata": {"items": [{"key": "install-nvidia-driver", "value": "True"}]},
        "scheduling": _scheduling(values.spot),
    }
    if gpus.attached:
        kind = f"projects/{values.project}/zones/{values.zone}/acceleratorTypes/{gpus.attached}"
        config["guestAccelerators"] = [{"acceleratorType": kind, "acceleratorCount": gpus.gpus}]
    return {
        "resources": {"CPU": gpus.cpus, "GPU": gpus.gpus},
        "labels": {MARKET_LABEL: market(values.spot)},
        "min_workers": 0,
        "max_workers": most,
        "node_config": config,
    }


def _scheduling(spot: bool) -> dict[str, Any]:
    """When a GPU machine ends: one cannot be moved to another host, and a spot one is deleted."""
    if not spot:
        return {"onHostMaintenance": "TERMINATE", "automaticRestart": True}
    return {
        "provisioningModel": "SPOT",
        "instanceTerminationAction": "DELETE",
        "onHostMaintenance": "TERMINATE",
        "automaticRestart": False,
    }


def _disks(values: GoogleValues, kind: str) -> list[dict[str, Any]]:
    made = {
        "diskSizeGb": DISK_GB,
        "diskType": f"zones/{values.zone}/diskTypes/{kind}",
        "sourceImage": VM_IMAGE,
    }
    return [{"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": made}]


def _accounts(values: GoogleValues) -> list[dict[str, Any]]:
    """The service account of a machine; a worker without one gets 403 from the bucket."""
    return [{"email": values.account, "scopes": [_SCOPE]}]


def _initialization(values: GoogleValues) -> list[str]:
    """Commands on a new machine, before its container: driver, Docker, bucket, secrets, login."""
    registry = values.image.partition("/")[0]
    own = registry.endswith((".pkg.dev", "gcr.io"))
    secret = shlex.quote(values.secret)
    bucket = shlex.quote(values.bucket)
    return [
        "lspci | grep -q NVIDIA && timeout 600 sh -c 'until nvidia-smi; do sleep 5; done' || "
        "! lspci | grep -q NVIDIA",
        "command -v docker || (curl -fsSL https://get.docker.com | sudo sh)",
        "sudo usermod -aG docker $USER",
        "command -v gcsfuse || (sudo apt-get update && sudo apt-get install -y gcsfuse)",
        f"sudo mkdir -p {_MOUNT} && (mountpoint -q {_MOUNT} || sudo gcsfuse --implicit-dirs "
        f"-o allow_other --uid {_USER} --gid {_GROUP} {bucket} {_MOUNT})",
        f"(umask 077; gcloud secrets versions access latest --secret={secret} "
        f"--project={values.project} | sudo tee {_ENVIRONMENT} > /dev/null) && "
        f"sudo chown $USER {_ENVIRONMENT} && sudo chmod 600 {_ENVIRONMENT}",
        *([f"gcloud auth configure-docker {registry} --quiet"] if own else []),
    ]
