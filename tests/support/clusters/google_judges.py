"""What judges a cluster file for Google Cloud: Ray's launcher, autoscaler and Compute Engine."""

import json
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient
import jsonschema  # type: ignore[import-untyped]
import ray.autoscaler
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.templates.google import VM_IMAGE
from cluster.templates.values import BUCKET_FOLDER, GoogleValues, StudyNeeds
from tests.support.clusters.ray_judges import start_faults, variable_faults

COMPUTE = "discovery_cache/documents/compute.v1.json"


def google_faults(cluster: Mapping[str, Any], study: StudyNeeds, values: GoogleValues) -> list[str]:
    """Everything that is wrong with a cluster file.

    Args:
        cluster: The file, read.
        study: The study it was made for.
        values: The values it was made from.
    """
    found = [*_ray_faults(cluster)]
    if found:  # what follows reads a file that Ray takes
        return found
    found += _reading_faults(cluster, study, values)
    for kind in cluster["available_node_types"].values():
        found += _compute_faults(kind["node_config"], values)
    found += _container_faults(cluster["docker"], values)
    for who in ("head", "worker"):
        found += start_faults(cluster[f"{who}_start_ray_commands"])
    return found


def _ray_faults(cluster: Mapping[str, Any]) -> Iterator[str]:
    """What Ray's launcher refuses, its schema taken strictly in every mapping."""
    for error in jsonschema.Draft7Validator(_ray_schema()).iter_errors(cluster):
        yield f"{error.json_path}: {error.message}"
        return
    try:
        validate_config(prepare_config(json.loads(json.dumps(cluster))))
    except (ValueError, RuntimeError, AssertionError, jsonschema.ValidationError) as error:
        yield str(error)


@cache
def _ray_schema() -> Mapping[str, Any]:
    place = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    schema: dict[str, Any] = json.loads(place.read_text())
    provider = schema["properties"]["provider"]
    provider["additionalProperties"] = False
    provider["required"] = ["type", "region", "availability_zone", "project_id"]
    schema["required"] = [
        *schema["required"],
        "available_node_types",
        "max_workers",
        "docker",
        "head_start_ray_commands",
        "worker_start_ray_commands",
    ]
    return schema


def _reading_faults(
    cluster: Mapping[str, Any], study: StudyNeeds, values: GoogleValues
) -> Iterator[str]:
    """Where what Ray's autoscaler reads in the file is not what the values say."""
    config = prepare_config(json.loads(json.dumps(cluster)))
    kinds = config["available_node_types"]
    head = kinds.pop(config["head_node_type"])
    ((kind, worker),) = kinds.items()
    workers = study.machines(values.gpus.gpus, values.max_workers)
    market = "spot" if values.spot else "on-demand"
    read = {
        "names": (config["cluster_name"], config["head_node_type"], kind),
        "provider": config["provider"],
        "most": config["max_workers"],
        "head": (head["resources"], head["max_workers"]),
        "worker": (worker["resources"], worker["min_workers"], worker["max_workers"]),
        "labels": worker["labels"],
        "image": config["docker"]["image"],
        "user": config["auth"]["ssh_user"],
    }
    resources = {"CPU": values.gpus.cpus, "GPU": values.gpus.gpus}
    meant = {
        "names": (study.name, "head", "gpu"),
        "provider": {
            "type": "gcp",
            "region": values.region,
            "availability_zone": values.zone,
            "project_id": values.project,
        },
        "most": workers,
        "head": ({"CPU": 0}, 0),
        "worker": (resources, 0, workers),
        "labels": {"ray.io/market-type": market},
        "image": values.image,
        "user": "ubuntu",
    }
    for name, value in meant.items():
        if read[name] != value:
            yield f"{name}: {read[name]}, not {value}"


# --- Compute Engine
def _compute_faults(config: Mapping[str, Any], values: GoogleValues) -> Iterator[str]:
    """What Compute Engine refuses in a machine, or cannot find in its zone and project."""
    for error in _compute_validator().iter_errors(config):
        yield f"{error.json_path}: {error.message}"
    zone, base = f"zones/{values.zone}", values.machine.partition("+")[0]
    made = [disk.get("initializeParams", {}) for disk in config.get("disks", [])]
    gpus = f"projects/{values.project}/{zone}/acceleratorTypes/{values.gpus.attached}"
    where: dict[str, tuple[set[Any], set[Any]]] = {
        "machineType": ({config.get("machineType")}, {base, "e2-standard-4"}),
        "account": (
            {account.get("email") for account in config.get("serviceAccounts", [])},
            {values.account},
        ),
        "scope": (
            {s for account in config.get("serviceAccounts", []) for s in account.get("scopes", [])},
            {"https://www.googleapis.com/auth/cloud-platform"},
        ),
        "disk": (
            {disk.get("diskType") for disk in made},
            {f"{zone}/diskTypes/{kind}" for kind in ("pd-balanced", "hyperdisk-balanced")},
        ),
        "image": ({disk.get("sourceImage") for disk in made}, {VM_IMAGE}),
        "metadata": (
            {(m.get("key"), m.get("value")) for m in config.get("metadata", {}).get("items", [])}
            | {_DRIVER},
            {_DRIVER},
        ),
        "GPUs": (
            {g.get("acceleratorType") for g in config.get("guestAccelerators", [])} | {gpus},
            {gpus},
        ),
    }
    for name, (named, known) in where.items():
        if not named or not named <= known:
            yield f"{name}: {named}, not of {known}"


_DRIVER = ("install-nvidia-driver", "True")


@cache
def _compute_validator() -> jsonschema.Draft202012Validator:
    """Compute Engine's own schema of an instance, in which unknown keys are refused."""
    place = Path(googleapiclient.__file__).with_name("discovery_cache").parent / COMPUTE
    schemas = json.loads(place.read_text())["schemas"]
    parts = {name: _strict(schema) for name, schema in schemas.items()}
    instance = {"$defs": parts, "$ref": "#/$defs/Instance"}
    return jsonschema.Draft202012Validator(instance)


def _strict(schema: Any) -> Any:
    """A schema of Google's discovery documents as JSON schema."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    made = {key: schema[key] for key in ("type", "enum") if key in schema}
    if schema.get("format") in ("int64", "uint64"):
        made["type"] = ["string", "integer"]
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if "properties" in schema:
        made["properties"] = {k: _strict(part) for k, part in schema["properties"].items()}
        made["additionalProperties"] = False
    elif "additionalProperties" in schema:
        made["additionalProperties"] = _strict(schema["additionalProperties"])
    return made


# --- the container
def _container_faults(docker: Mapping[str, Any], values: GoogleValues) -> Iterator[str]:
    """What is wrong with the options of `docker run`."""
    options = [shlex.split(text) for text in docker.get("run_options", [])]
    options += [shlex.split(text) for text in docker.get("worker_run_options", [])]
    variables = [value for name, value in options if name == "-e"]
    yield from variable_faults(dict(v.split("=", 1) for v in variables if "=" in v))
    others = sorted((name, value) for name, value in options if name != "-e")
    if others != [
        ("--env-file", "/etc/segtune.env"),
        ("--ulimit", "nofile=65536:65536"),
        ("-v", f"/mnt/segtune:{BUCKET_FOLDER}"),
    ]:
        yield f"run_options: {others}"
    market = f"RAY_NODE_MARKET_TYPE={'spot' if values.spot else 'on-demand'}"
    wanted = {"RAY_AUTH_MODE=token", market}
    if not wanted <= set(variables) or len(variables) != 6:
        yield f"variables: {variables}"
    if docker.get("container_name") != "segtune" or docker.get("pull_before_run") is not True:
        yield f"docker: {docker}"
