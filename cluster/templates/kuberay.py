"""Manifests for KubeRay: a standing cluster, a job with a cluster of its own, and one by schedule.

The head has no GPU and no CPU for trials, so the autoscaler starts GPU workers for all of them.
KubeRay starts a failed job again on a new cluster; `segtune resume --or-start` goes on there where
the study was, as the study lies in a bucket or on a claim that every pod has as a folder.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cluster.templates.environment import HEARTBEAT, MARKET_LABEL, MARKET_TYPE, STOP_WAIT, market
from cluster.templates.values import BUCKET_FOLDER, STUDY_FOLDER, KubeRayValues, StudyNeeds

API: Final = "ray.io/v1"

GROUP: Final = "gpu"
"""Name of the group of workers."""

RETRIES: Final = 3
"""How often a failed job is started again."""

KEEP_S: Final = 600
"""How long a finished job, and its pods, can be looked at before they are deleted."""

WINDOW_S: Final = 12 * 3600
"""How long a job by schedule goes on at most; the next one goes on with the study."""

IDLE_S: Final = 300
"""How long a worker may have nothing to do."""

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"

_HEAD_LIMITS: Final = {"cpu": "2", "memory": "8Gi"}

_USER, _GROUP = 1000, 100  # of the container's user, see the Dockerfile

_DATA, _FILE = "data", "study"  # names of volumes


def ray_cluster(study: StudyNeeds, values: KubeRayValues, ray: str) -> list[dict[str, Any]]:
    """A cluster that stands, for `segtune submit`.

    Args:
        study: What the study needs.
        values: The values, checked.
        ray: Version of Ray in the image.
    """
    spec = _cluster(study, values, ray, with_study=False)
    return [{"apiVersion": API, "kind": "RayCluster", **_named(study, values), "spec": spec}]


def ray_job(study: StudyNeeds, values: KubeRayValues, ray: str) -> list[dict[str, Any]]:
    """The study as a job with its own cluster, and its file; arguments as for `ray_cluster`."""
    job = {"apiVersion": API, "kind": "RayJob", **_named(study, values)}
    return [_study_file(study, values), {**job, "spec": _job(study, values, ray)}]


def ray_cron_job(study: StudyNeeds, values: KubeRayValues, ray: str) -> list[dict[str, Any]]:
    """The study as a job by schedule, and its file; arguments as for `ray_cluster`.

    KubeRay gives its jobs no label, so Kueue does not see them, and begins one whether or not the
    last has ended: each is ended before the next can come.
    """
    values = replace(values, queue=None)
    job = _job(study, values, ray)
    job["activeDeadlineSeconds"] = min(study.deadline_s, WINDOW_S)
    spec = {"schedule": values.schedule, "jobTemplate": job}
    named = {"apiVersion": API, "kind": "RayCronJob", **_named(study, values)}
    return [_study_file(study, values), {**named, "spec": spec}]


def _named(study: StudyNeeds, values: KubeRayValues) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "segtune", "app.kubernetes.io/instance": study.name}
    if values.queue is not None:
        labels[QUEUE_LABEL] = values.queue
    return {
        "metadata": {"name": study.name, "namespace": values.namespace, "labels": labels},
    }


def _study_file(study: StudyNeeds, values: KubeRayValues) -> dict[str, Any]:
    """The study file as a config map, from which the head's pod has it."""
    name = {"name": _file_name(study), "namespace": values.namespace}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": name,
        "data": {"study.yaml": study.text},
    }


def _file_name(study: StudyNeeds) -> str:
    return f"{study.name}-study"


def _job(study: StudyNeeds, values: KubeRayValues, ray: str) -> dict[str, Any]:
    variables = "\n".join(f'  {name}: "{value}"' for name, value in STOP_WAIT.items())
    return {
        "entrypoint": f"segtune resume --or-start {STUDY_FOLDER}/study.yaml",
        "submissionMode": "HTTPMode",
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": study.deadline_s,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEEP_S,
        "runtimeEnvYAML": f"env_vars:\n{variables}\n",
        "rayClusterSpec": _cluster(study, values, ray, with_study=True),
    }


def _cluster(
    study: StudyNeeds, values: KubeRayValues, ray: str, *, with_study: bool
) -> dict[str, Any]:
    scaled = values.queue is None  # Kueue admits a cluster as a whole, at its full size
    most = study.machines(values.gpus, values.max_workers)
    spec: dict[str, Any] = {
        "rayVersion": ray,
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": scaled,
    }
    if scaled:
        spec["autoscalerOptions"] = {"version": "v2", "idleTimeoutSeconds": IDLE_S}
    spec["headGroupSpec"] = {
        "rayStartParams": {"num-cpus": "0", "num-gpus": "0"},
        "template": _head(study, values, with_study=with_study),
    }
    group: dict[str, Any] = {
        "groupName": GROUP,
        "replicas": 0 if scaled else most,
        "minReplicas": 0 if scaled else most,
        "maxReplicas": most,
        "labels": {MARKET_LABEL: market(values.spot)},
        "rayStartParams": {},
        "template": _worker(values),
    }
    return {**spec, "workerGroupSpecs": [group]}


def _head(study: StudyNeeds, values: KubeRayValues, *, with_study: bool) -> dict[str, Any]:
    volumes, mounts = [_data_volume(values)], [_data_mount()]
    if with_study:
        volumes.append({"name": _FILE, "configMap": {"name": _file_name(study)}})
        mounts.append({"name": _FILE, "mountPath": STUDY_FOLDER, "readOnly": True})
    container = {
        "name": "ray-head",
        "image": values.image,
        "env": _variables(HEARTBEAT),
        **_secret(values),
        "resources": {"limits": dict(_HEAD_LIMITS), "requests": dict(_HEAD_LIMITS)},
        "volumeMounts": mounts,
    }
    return _pod(values, container, volumes)


def _worker(values: KubeRayValues) -> dict[str, Any]:
    limits: dict[str, str | int] = {
        "cpu": str(values.cpus),
        "memory": f"{values.memory_gib}Gi",
        "nvidia.com/gpu": values.gpus,
    }
    container = {
        "name": "ray-worker",
        "image": values.image,
        "env": _variables({**HEARTBEAT, MARKET_TYPE: market(values.spot)}),
        **_secret(values),
        "resources": {"limits": limits, "requests": dict(limits)},
        "volumeMounts": [_data_mount()],
    }
    pod = _pod(values, container, [_data_volume(values)])
    pod["spec"] |= {"nodeSelector": _nodes(values), "tolerations": _tolerations(values)}
    return pod


def _pod(
    values: KubeRayValues, container: dict[str, Any], volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "spec": {
            "serviceAccountName": values.service_account,
            "securityContext": {"fsGroup": _GROUP},
            "containers": [container],
            "volumes": volumes,
        }
    }
    if values.bucket is not None:
        return {"metadata": {"annotations": {"gke-gcsfuse/volumes": "true"}}, **pod}
    return pod


def _variables(variables: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _secret(values: KubeRayValues) -> dict[str, Any]:
    """The variables of a secret, such as WANDB_API_KEY, which stand in no manifest."""
    return {} if values.secret is None else {"envFrom": [{"secretRef": {"name": values.secret}}]}


def _data_mount() -> dict[str, Any]:
    return {"name": _DATA, "mountPath": BUCKET_FOLDER}


def _data_volume(values: KubeRayValues) -> dict[str, Any]:
    if values.bucket is None:
        return {"name": _DATA, "persistentVolumeClaim": {"claimName": values.claim}}
    attributes = {
        "bucketName": values.bucket,
        "mountOptions": f"implicit-dirs,uid={_USER},gid={_GROUP}",
    }
    csi = {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": attributes}
    return {"name": _DATA, "csi": csi}


def _nodes(values: KubeRayValues) -> dict[str, str]:
    """Labels of the nodes that workers may be put on."""
    key, equals, value = values.gpu.partition("=")
    kind = {key: value} if equals else {"cloud.google.com/gke-accelerator": values.gpu}
    return {**kind, "cloud.google.com/gke-spot": "true"} if values.spot else kind


def _tolerations(values: KubeRayValues) -> list[dict[str, str]]:
    """Taints of GPU nodes, and of spot nodes, that workers do not mind."""
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}
    return [gpu, {**spot, "effect": "NoSchedule"}] if values.spot else [gpu]
