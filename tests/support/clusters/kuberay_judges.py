"""What judges KubeRay's manifests: its definitions, Kubernetes, Ray's autoscaler, and our verbs."""

import json
import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import ray
import typer
import yaml
from kubernetes_validate.utils import schema_contents
from ray.autoscaler._private.kuberay import autoscaling_config
from referencing import Registry, Resource

from cluster.templates.values import KubeRayValues, StudyNeeds
from tests.support.clusters.ray_judges import variable_faults
from tests.support.places import REFERENCE
from trainables.files.errors import UserError
from tune.cli.main import app
from tune.cli.mistakes import Mistyped

DEFINITIONS = REFERENCE / "kuberay" / "kuberay.schema.json"

KUBERNETES = "1.37.0"

MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")

Manifest = Mapping[str, Any]


def need_definitions() -> None:
    """Skip a test where KubeRay's definitions are not there."""
    if not DEFINITIONS.is_file():
        pytest.skip("KubeRay's definitions are not beside the checkout")


def kuberay_faults(
    manifests: Sequence[Manifest], study: StudyNeeds, values: KubeRayValues
) -> list[str]:
    """Everything that is wrong with the documents of a manifest file.

    Args:
        manifests: The documents.
        study: The study they were made for.
        values: The values they were made from.
    """
    found: list[str] = []
    files: dict[str, Any] = {}
    for manifest in manifests:
        if manifest.get("metadata", {}).get("namespace") != values.namespace:
            found.append(f"namespace: {manifest.get('metadata')}")
        elif manifest.get("kind") == "ConfigMap":
            found += _kubernetes_faults(manifest)
            files[str(manifest["metadata"].get("name"))] = manifest.get("data", {})
            if list(manifest.get("data", {}).values()) != [study.text]:
                found.append(f"another study: {manifest.get('data')}")
        else:
            found += list(_definition_faults(manifest))
            if not found:  # what follows reads a manifest that is one
                found += _meaning_faults(manifest, study, values, files)
    return found


# --- as Kubernetes takes it
@cache
def _definition(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(DEFINITIONS.read_text())[kind]
    return jsonschema.Draft202012Validator(schema)


def _definition_faults(manifest: Manifest) -> Iterator[str]:
    kind = manifest.get("kind")
    if kind not in ("RayCluster", "RayJob", "RayCronJob"):
        yield f"kind: {kind}"
        return
    if manifest.get("apiVersion") != "ray.io/v1" or not isinstance(manifest.get("spec"), Mapping):
        yield f"apiVersion, spec: {list(manifest)}"
        return
    for error in _definition(kind).iter_errors(manifest):
        yield f"{error.json_path}: {error.message}"
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}}
    yield from _kubernetes_faults({**pod, "metadata": manifest.get("metadata", {})})


def _kubernetes_faults(manifest: Manifest) -> Iterator[str]:
    kind = str(manifest.get("kind"))
    if manifest.get("apiVersion") != "v1" or kind not in ("Pod", "ConfigMap"):
        yield f"{kind}: {manifest.get('apiVersion')}"
        return
    for error in _kubernetes(kind).iter_errors(manifest):
        yield f"{kind}: {error.json_path}: {error.message}"


@cache
def _kubernetes(kind: str) -> jsonschema.Draft202012Validator:
    """As kubernetes-validate has it, whose own function reads all its definitions each time."""
    folder = f"kubernetes-json-schema/v{KUBERNETES}-local-strict"
    files = (f"{folder}/{kind.lower()}-v1.json", f"{folder}/_definitions.json")
    schema, parts = (schema_contents(file, KUBERNETES) for file in files)
    registry: Registry[Any] = Resource.from_contents(parts) @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=registry)


# --- as it is meant
def _meaning_faults(
    manifest: Manifest, study: StudyNeeds, values: KubeRayValues, files: Mapping[str, Any]
) -> Iterator[str]:
    spec = manifest["spec"]
    yield from _name_faults(manifest, study, values)
    if manifest["kind"] == "RayCronJob":
        if spec.get("schedule") != values.schedule:
            yield f"schedule: {spec.get('schedule')}"
        spec = spec["jobTemplate"]
    cluster = spec if manifest["kind"] == "RayCluster" else spec.get("rayClusterSpec")
    if cluster is None:
        yield "no rayClusterSpec"
        return
    if manifest["kind"] != "RayCluster":
        yield from _job_faults(spec, files)
    workers = study.machines(values.gpus, values.max_workers)
    yield from _reading_faults(manifest, cluster, values, workers)
    head, (group,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    yield from _pod_faults(head["template"], values, files)
    yield from _pod_faults(group["template"], values, files)
    yield from _node_faults(group["template"]["spec"], values)
    if head["rayStartParams"] != {"num-cpus": "0", "num-gpus": "0"}:
        yield f"the head takes trials: {head['rayStartParams']}"
    if cluster.get("authOptions") != {"mode": "token"}:
        yield "anybody may log in"


def _name_faults(manifest: Manifest, study: StudyNeeds, values: KubeRayValues) -> Iterator[str]:
    metadata = manifest["metadata"]
    labels = {"app.kubernetes.io/name": "segtune", "app.kubernetes.io/instance": study.name}
    if values.queue is not None and manifest["kind"] != "RayCronJob":
        labels["kueue.x-k8s.io/queue-name"] = values.queue
    if (metadata.get("name"), metadata.get("labels")) != (study.name, labels):
        yield f"metadata: {metadata}"


def _job_faults(job: Mapping[str, Any], files: Mapping[str, Any]) -> Iterator[str]:
    if job.get("submissionMode") not in MODES:
        yield f"submissionMode: {job.get('submissionMode')}"
    if not (job.get("backoffLimit", 0) > 0 and job.get("shutdownAfterJobFinishes")):
        yield "a failed job is not started again, or its machines stay"
    if not (job.get("activeDeadlineSeconds") and job.get("ttlSecondsAfterFinished")):
        yield "a job without an end"
    environment = yaml.safe_load(job.get("runtimeEnvYAML", ""))
    if environment != {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}:
        yield f"runtimeEnvYAML: {environment}"
    yield from _entrypoint_faults(str(job.get("entrypoint")), job, files)


def _entrypoint_faults(
    entrypoint: str, job: Mapping[str, Any], files: Mapping[str, Any]
) -> Iterator[str]:
    """What our own command line says of the entrypoint, and whether its file is there."""
    program, *words = shlex.split(entrypoint)
    if program != "segtune":
        yield f"entrypoint: {entrypoint}"
        return
    try:
        verb = _command_line()
        with verb.make_context("segtune", words) as context:
            name, command, rest = verb.resolve_command(context, words)
            given = command.make_context(name, rest, parent=context).params
    except (UserError, Mistyped) as error:
        yield f"entrypoint: {error}"
        return
    if not given.get("or_start"):
        yield "entrypoint: a study that is not there yet is not started"
    spec = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    mounted = {
        f"{mount['mountPath']}/{file}"
        for mount in spec["containers"][0]["volumeMounts"]
        for volume in spec["volumes"]
        if volume["name"] == mount["name"] and "configMap" in volume
        for file in files.get(volume["configMap"].get("name"), {})
    }
    if str(given.get("study_dir")) not in mounted:
        yield f"entrypoint: {given.get('study_dir')} is none of {mounted}"


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def _reading_faults(
    manifest: Manifest, cluster: Mapping[str, Any], values: KubeRayValues, workers: int
) -> Iterator[str]:
    """Where what Ray's autoscaler reads in a manifest is not what the values say."""
    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)
    try:
        config = autoscaling_config._derive_autoscaling_config_from_ray_cr(
            {"metadata": manifest["metadata"], "spec": cluster}
        )
    except (ValueError, KeyError, AttributeError) as error:
        yield f"Ray's autoscaler: {error!r}"
        return
    queued = values.queue is not None and manifest["kind"] != "RayCronJob"
    market = "spot" if values.spot else "on-demand"
    memory = values.memory_gib * 2**30
    meant = {
        "headgroup": ({"CPU": 0, "GPU": 0, "memory": 8 * 2**30}, 0, 0, {}),
        "gpu": (
            {"CPU": values.cpus, "GPU": values.gpus, "memory": memory},
            workers if queued else 0,
            workers,
            {"ray.io/market-type": market},
        ),
    }
    read = {
        name: (kind["resources"], kind["min_workers"], kind["max_workers"], kind["labels"])
        for name, kind in config["available_node_types"].items()
    }
    if read != meant:
        yield f"Ray's autoscaler reads {read}, not {meant}"
    scales = cluster.get("enableInTreeAutoscaling")
    if scales is not (not queued) or (scales and config["idle_timeout_minutes"] != 5):
        yield f"autoscaling: {scales}, {config['idle_timeout_minutes']} minutes"
    group = cluster["workerGroupSpecs"][0]
    if group.get("replicas") != group.get("minReplicas"):
        yield f"replicas: {group.get('replicas')}"
    if cluster.get("rayVersion") != ray.__version__:
        yield f"rayVersion: {cluster.get('rayVersion')}"
    if scales and cluster.get("autoscalerOptions", {}).get("version") != "v2":
        yield "Ray's older autoscaler"


def _pod_faults(
    template: Mapping[str, Any], values: KubeRayValues, files: Mapping[str, Any]
) -> Iterator[str]:
    """What Kubernetes refuses in a pod, or cannot find: image, account, volumes, variables."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    metadata = {**pod["metadata"], **template.get("metadata", {})}  # type: ignore[dict-item]
    yield from _kubernetes_faults({**pod, **template, "metadata": metadata})
    spec = template["spec"]
    (container,) = spec["containers"]
    yield from variable_faults({v["name"]: v.get("value", "") for v in container["env"]})
    roles = ("ray-head", "ray-worker")
    if container.get("image") != values.image or container["name"] not in roles:
        yield f"container: {container.get('image')}, {container['name']}"
    if spec.get("serviceAccountName") != values.service_account:
        yield f"serviceAccountName: {spec.get('serviceAccountName')}"
    if spec.get("securityContext") != {"fsGroup": 100}:
        yield f"securityContext: {spec.get('securityContext')}"
    resources = container["resources"]
    if resources.get("limits") != resources.get("requests"):
        yield f"requests other than limits: {resources}"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    if mounts.keys() != volumes.keys() or "/bucket" not in mounts.values():
        yield f"volumes: {mounts}, {list(volumes)}"
    places = {mounts.get(name): volume for name, volume in volumes.items()}
    yield from _place_faults(places, template, values, files)
    sources = [source["secretRef"]["name"] for source in container.get("envFrom", [])]
    if sources != ([values.secret] if values.secret else []):
        yield f"envFrom: {sources}"


def _place_faults(
    places: Mapping[str | None, Mapping[str, Any]],
    template: Mapping[str, Any],
    values: KubeRayValues,
    files: Mapping[str, Any],
) -> Iterator[str]:
    data = {k: v for k, v in places.get("/bucket", {}).items() if k != "name"}
    if values.claim:
        if data != {"persistentVolumeClaim": {"claimName": values.claim}}:
            yield f"/bucket: {data}"
    else:
        attributes = {"bucketName": values.bucket, "mountOptions": "implicit-dirs,uid=1000,gid=100"}
        csi = {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": attributes}
        notes = template.get("metadata", {}).get("annotations")
        if data != {"csi": csi} or notes != {"gke-gcsfuse/volumes": "true"}:
            yield f"/bucket: {data}, {notes}"
    for place, volume in places.items():
        if "configMap" in volume and volume["configMap"].get("name") not in files:
            yield f"{place}: no {volume}"


def _node_faults(spec: Mapping[str, Any], values: KubeRayValues) -> Iterator[str]:
    """Where a worker does not fit on the nodes that GKE makes for it, or on others, too."""
    key, equals, value = values.gpu.partition("=")
    labels = {key: value} if equals else {"cloud.google.com/gke-accelerator": values.gpu}
    taints = [("nvidia.com/gpu", "present")]
    if values.spot:
        labels["cloud.google.com/gke-spot"] = "true"
        taints.append(("cloud.google.com/gke-spot", "true"))
    if spec.get("nodeSelector") != labels:
        yield f"nodeSelector: {spec.get('nodeSelector')}"
    for name, worth in taints:
        if not any(_tolerates(t, name, worth) for t in spec.get("tolerations", [])):
            yield f"no toleration of {name}={worth}:NoSchedule"


def _tolerates(toleration: Mapping[str, Any], key: str, value: str) -> bool:
    same = toleration.get("operator") == "Exists" or (
        toleration.get("operator") == "Equal" and toleration.get("value") == value
    )
    return toleration.get("key") == key and toleration.get("effect") == "NoSchedule" and same
