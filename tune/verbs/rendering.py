"""Cluster files for a study: for Ray on Google Cloud, for KubeRay, and for their image."""

import math
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cluster.templates.google import google_cluster
from cluster.templates.image import Packages, dockerfile, pinned_packages
from cluster.templates.kuberay import ray_cluster, ray_cron_job, ray_job
from cluster.templates.values import BUCKET_FOLDER, GoogleValues, KubeRayValues, StudyNeeds
from cluster.templates.writing import write_manifests
from trainables.files.whole import write_text
from trainables.registry import engine_info
from tune.plan.planning import read_draft
from tune.study.file import FILE_KEYS, read_study_file, write_yaml
from tune.study.problems import Problem, study_error
from tune.study.study import Study

CHECKOUT: Final = Path(__file__).resolve().parents[2]


def render_google(study: Path | str, values: GoogleValues, out: Path | str) -> list[Path]:
    """Write the files of a Ray cluster on Google Cloud for a study.

    Args:
        study: The study file.
        values: The values of the cluster.
        out: Folder to write; files of the same names are replaced.

    Returns:
        The files: cluster.yaml, study.yaml and Dockerfile.

    Raises:
        StudyError: The study file cannot be read, or the cluster cannot run it.
        TemplateError: A value cannot be.
    """
    values.check()
    gpus = values.gpus
    asked, needs = _read(Path(study), gpus.cpus, gpus.gpus)
    packages = pinned_packages(CHECKOUT)
    to = _folder(out)
    head = f"Ray on Google Cloud for the study {needs.study}: ray up {to / 'cluster.yaml'}"
    return [
        write_manifests(to / "cluster.yaml", head, [google_cluster(needs, values)]),
        _write_study(to, needs),
        _write_dockerfile(to, packages, asked, values.image),
    ]


def render_kuberay(study: Path | str, values: KubeRayValues, out: Path | str) -> list[Path]:
    """Write KubeRay's manifests for a study.

    Args:
        study: The study file.
        values: The values of the manifests.
        out: Folder to write; files of the same names are replaced.

    Returns:
        The files: ray-job.yaml, ray-cluster.yaml, ray-cron-job.yaml, study.yaml and Dockerfile.

    Raises:
        StudyError: The study file cannot be read, or the cluster cannot run it.
        TemplateError: A value cannot be.
    """
    values.check()
    asked, needs = _read(Path(study), values.cpus, values.gpus)
    packages = pinned_packages(CHECKOUT)
    to = _folder(out)
    kinds = {
        "ray-job": ("The study once, on a cluster of its own", ray_job),
        "ray-cluster": ("A cluster that stands, for segtune submit", ray_cluster),
        "ray-cron-job": ("The study by schedule", ray_cron_job),
    }
    written = []
    for name, (what, made) in kinds.items():
        path = to / f"{name}.yaml"
        manifests = made(needs, values, packages.ray)
        written.append(write_manifests(path, f"{what}: kubectl apply -f {path}", manifests))
    dockerfile_path = _write_dockerfile(to, packages, asked, values.image)
    return [*written, _write_study(to, needs), dockerfile_path]


def _folder(out: Path | str) -> Path:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_study(folder: Path, needs: StudyNeeds) -> Path:
    write_text(folder / "study.yaml", needs.text)
    return folder / "study.yaml"


def _write_dockerfile(folder: Path, packages: Packages, study: Study, image: str) -> Path:
    path = folder / "Dockerfile"
    extra = engine_info(study.trainable).extra
    text = dockerfile(packages, platform.python_version(), extra, image, path)
    write_text(path, text)
    return path


# --- what the study needs
def _read(file: Path, cpus: int, gpus: int) -> tuple[Study, StudyNeeds]:
    """A study, and what it needs of a cluster whose workers have these processors.

    Raises:
        StudyError: The file cannot be read, or the cluster cannot run the study.
    """
    draft = read_draft(file)
    problems = [*draft.problems]
    values = read_study_file(file).values
    problems += _local_files(values)
    if "resources" not in draft.wrong:
        problems += _no_room(draft.study, gpus)
    if problems:
        raise study_error(draft.name, problems, draft.places)
    study = draft.study
    share = _share(study)
    there = {
        **values,
        "data": _data_there(study.data),
        "storage": f"{BUCKET_FOLDER}/studies",
        "resources": {
            **values.get("resources", {}),
            "cpus_per_trial": max(1, math.floor(cpus * share / gpus)),
            "gpus_per_trial": share,
        },
    }
    text = f"# {file.name} as it runs on the cluster\n{write_yaml(there)}"
    needed = _gpus_at_once(study.resources.concurrent, share)
    return study, StudyNeeds(study.study, text, needed, study.budget.hours)


def _data_there(data: Path | str) -> str:
    """Where nodes find the data set: at its address, or in the mounted bucket."""
    return data if isinstance(data, str) else f"{BUCKET_FOLDER}/data/{data.name}"


def _share(study: Study) -> float:
    """GPUs of a trial: as the study says, else a whole one, as no machine is there to share yet."""
    share = study.resources.gpus_per_trial
    return 1.0 if isinstance(share, str) else share


def _gpus_at_once(concurrent: int, share: float) -> int:
    """GPUs for trials at once.

    >>> _gpus_at_once(8, 0.25), _gpus_at_once(3, 2), _gpus_at_once(5, 1 / 3)
    (2, 6, 2)
    """
    return math.ceil(concurrent * share) if share >= 1 else -(-concurrent // round(1 / share))


def _no_room(study: Study, gpus: int) -> Iterator[Problem]:
    share = _share(study)
    if share == 0:
        yield Problem(
            "resources.gpus_per_trial",
            "expected a share of a GPU, as the cluster's workers are GPU machines, got 0; the "
            "nearest is auto",
        )
    elif share > gpus:
        yield Problem(
            "resources.gpus_per_trial",
            f"expected at most the GPUs of a worker ({gpus}), got {share:g}; the nearest is {gpus}",
        )


def _local_files(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of files of this machine, such as weights, that a study names."""
    for key in FILE_KEYS:
        for name, path in _files(key, values.get(key)):
            yield Problem(
                name,
                f"expected a file that the cluster has, below {BUCKET_FOLDER}, got {path}; copy it "
                f"into the bucket, and write {BUCKET_FOLDER}/{Path(path).name}",
            )


def _files(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _files(f"{key}.{name}", item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _files(f"{key}.{i}", item)
    elif isinstance(value, str) and Path(value).is_absolute() and Path(value).is_file():
        yield key, value
