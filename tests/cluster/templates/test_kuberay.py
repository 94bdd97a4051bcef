"""KubeRay's manifests, judged by its definitions, by Kubernetes and by Ray's autoscaler."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cluster.errors import TemplateError
from cluster.templates.image import pinned_packages
from cluster.templates.kuberay import ray_cluster, ray_cron_job, ray_job
from cluster.templates.values import KubeRayValues, StudyNeeds
from tests.support.clusters.kuberay_judges import kuberay_faults, need_definitions
from tests.support.clusters.typos import seeded
from tests.support.places import ROOT

STUDY = StudyNeeds("Nuclei_2", "study: Nuclei_2\n", gpus=5, hours=3.0)

Made = Callable[[StudyNeeds, KubeRayValues, str], Sequence[dict[str, Any]]]

KINDS = pytest.mark.parametrize(
    "kind", [ray_cluster, ray_job, ray_cron_job], ids=lambda kind: kind.__name__
)


def values(**changes: Any) -> KubeRayValues:
    given = {"namespace": "lab", "image": "us-docker.pkg.dev/lab/ml/segtune:1", "gpu": "nvidia-l4"}
    place = {} if "claim" in changes else {"bucket": "lab-studies"}
    return KubeRayValues(**{**given, **place, **changes})


VARIANTS = {
    "bucket": values(secret="keys"),
    "claim": values(claim="shared", gpu="nvidia.com/gpu.product=A100", spot=False, gpus=2),
    "queue": values(queue="team", max_workers=3, cpus=10, memory_gib=60),
}


def made(kind: Made, given: KubeRayValues) -> Sequence[dict[str, Any]]:
    return kind(STUDY, given, pinned_packages(ROOT).ray)


@KINDS
@pytest.mark.parametrize("variant", VARIANTS)
def test_manifests_have_no_faults(kind: Made, variant: str) -> None:
    need_definitions()
    given = VARIANTS[variant]
    given.check()
    assert kuberay_faults(made(kind, given), STUDY, given) == []


@KINDS
@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_typos_are_all_found(kind: Made, variant: str) -> None:
    need_definitions()
    given = VARIANTS[variant]
    typos = seeded(made(kind, given), 20, seed=0)
    assert len(typos) == 20
    assert [name for name, spoilt in typos if not kuberay_faults(spoilt, STUDY, given)] == []


def test_a_job_is_started_again_and_ends_some_day() -> None:
    job = made(ray_job, values())[-1]["spec"]
    assert job["backoffLimit"] > 0
    assert job["activeDeadlineSeconds"] == 4 * 3600, "the study's three hours, and one"
    nightly = made(ray_cron_job, values())[-1]["spec"]["jobTemplate"]
    assert nightly["activeDeadlineSeconds"] == 4 * 3600
    endless = StudyNeeds("s", "", gpus=1, hours=None)
    assert endless.deadline_s == 7 * 24 * 3600
    by_schedule = ray_cron_job(endless, values(), "2.60.0")[-1]["spec"]["jobTemplate"]
    assert by_schedule["activeDeadlineSeconds"] == 12 * 3600


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"namespace": "Team_A"}, "--namespace: .* the nearest is team-a"),
        ({"image": "segtune"}, "--image: expected an image with a tag, got 'segtune'"),
        ({"image": "segtune:latest"}, "a tag that stays what it is, .* segtune:1"),
        ({"gpu": "NVIDIA L4"}, "--gpu: .* the nearest is nvidia-l4"),
        ({"bucket": None}, "--bucket, --claim: expected one of them, got neither"),
        ({"claim": "shared", "bucket": "lab-studies"}, "expected one of them, got both"),
        ({"claim": "Shared"}, "--claim: .* the nearest is shared"),
        ({"queue": "team A"}, "--queue: .* the nearest is team-a"),
        ({"schedule": "0 * * * *"}, "--schedule: .* once a day at most"),
        ({"secret": "a/b"}, "--secret: .* the nearest is a-b"),
        ({"service_account": ""}, "--service-account: expected small letters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_value_is_refused_with_the_nearest(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TemplateError, match=said) as error:
        values(**wrong).check()
    assert "\n" not in str(error.value)
