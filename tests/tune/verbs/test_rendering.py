"""Cluster files of a study file, as `segtune cluster render` writes them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from cluster.templates.values import GoogleValues, KubeRayValues
from tests.support.command_line import segtune
from tests.support.places import ROOT
from tests.support.study_samples import write_study
from tune.errors import StudyError
from tune.plan.planning import read_draft
from tune.verbs.rendering import render_google, render_kuberay

IMAGE = "us-docker.pkg.dev/lab/ml/segtune:1"
GOOGLE = GoogleValues("my-lab", "us-central1-a", "lab-studies", IMAGE, "g2-standard-48")
KUBERAY = KubeRayValues("lab", IMAGE, "nvidia-l4", bucket="lab-studies")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_command_writes_what_google_cloud_needs(tmp_path: Path) -> None:
    write_study(tmp_path)
    values = "--project my-lab --zone us-central1-a --bucket lab-studies --machine g2-standard-8"
    words = f"cluster render gcp study.yaml {values} --image {IMAGE} --out new"
    done = segtune(tmp_path, *words.split())
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "Dockerfile",
        "cluster.yaml",
        "study.yaml",
    ]
    assert "ray up new/cluster.yaml" in done.stdout
    (cluster,) = documents(tmp_path / "new/cluster.yaml")
    assert cluster["cluster_name"] == "sample"


def test_the_command_writes_what_kuberay_needs_and_the_same_twice(tmp_path: Path) -> None:
    study = write_study(tmp_path, budget={"trials": 8, "epochs": 40, "hours": 5})
    files = render_kuberay(study, KUBERAY, tmp_path / "new")
    kinds = [[d["kind"] for d in documents(path)] for path in files[:3]]
    assert kinds == [["ConfigMap", "RayJob"], ["RayCluster"], ["ConfigMap", "RayCronJob"]]
    before = [path.read_bytes() for path in files]
    assert [p.read_bytes() for p in render_kuberay(study, KUBERAY, tmp_path / "new")] == before
    job = documents(files[0])
    assert job[1]["spec"]["activeDeadlineSeconds"] == 6 * 3600
    assert job[0]["data"]["study.yaml"] == (tmp_path / "new/study.yaml").read_text()


@pytest.mark.parametrize(
    ("resources", "workers", "given"),
    [
        ({"concurrent": 8}, 2, {"gpus_per_trial": 1.0, "cpus_per_trial": 12}),
        ({"concurrent": 8, "gpus_per_trial": 0.25}, 1, {"cpus_per_trial": 3}),
        ({"concurrent": 3, "gpus_per_trial": 1}, 1, {"cpus_per_trial": 12}),
    ],
    ids=["auto", "quarters", "whole"],
)
def test_machines_are_as_many_as_the_trials_need(
    resources: dict[str, Any], workers: int, given: dict[str, Any], tmp_path: Path
) -> None:
    study = write_study(tmp_path, resources=resources)
    files = render_google(study, GOOGLE, tmp_path / "new")  # 48 CPU cores and 4 GPUs each
    (cluster,) = documents(files[0])
    assert cluster["max_workers"] == workers
    there = read_draft(files[1])
    assert not there.problems
    assert str(there.study.data) == "/bucket/data/data"
    assert str(there.study.storage) == "/bucket/studies"
    assert there.study.resources.model_dump() == {
        **read_draft(study).study.resources.model_dump(),
        **given,
    }


def test_a_study_that_the_cluster_cannot_run_is_refused_by_its_keys(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    study = write_study(
        tmp_path, resources={"gpus_per_trial": 0}, fixed={"weights": "weights.pt"}, seed=-1
    )
    with pytest.raises(StudyError) as error:
        render_google(study, GOOGLE, tmp_path / "new")
    said = str(error.value)
    assert "3 problems" in said
    assert "resources.gpus_per_trial: expected a share of a GPU" in said
    assert "fixed.weights: expected a file that the cluster has, below /bucket" in said
    assert "seed: " in said
    assert not (tmp_path / "new").exists()


def test_the_image_has_the_pinned_packages_and_the_checkouts_folders(tmp_path: Path) -> None:
    files = render_google(write_study(tmp_path), GOOGLE, tmp_path / "new")
    lines = files[2].read_text().splitlines()
    constraints = (ROOT / "constraints.txt").read_bytes()
    assert f"LABEL segtune.constraints.sha256={hashlib.sha256(constraints).hexdigest()}" in lines
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert len(copied) > 10
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = {p.name for p in ROOT.iterdir() if (p / "__init__.py").is_file()} - {"tests"}
    assert packages <= set(copied)
    (installed,) = [line for line in lines if "pip install" in line]
    names = [word.strip('"') for word in installed.split() if word[0] == '"']
    assert [Requirement(n.replace(".[", "segtune[")).name for n in names] == ["segtune", "ray"]
