"""The cluster file for Google Cloud, judged by Ray, by Compute Engine, and by a shell."""

import subprocess

import pytest

from cluster.errors import TemplateError
from cluster.templates.google import google_cluster
from cluster.templates.values import ATTACHED, MACHINES, N1_CPUS, GoogleValues, StudyNeeds
from tests.support.clusters.google_judges import google_faults
from tests.support.clusters.typos import seeded

STUDY = StudyNeeds("Nuclei_2", "study: Nuclei_2\n", gpus=5, hours=3.0)

ALL = [
    *MACHINES,
    *(f"n1-standard-{N1_CPUS[-1]}+{kind}:{n}" for kind, counts in ATTACHED.items() for n in counts),
]


def values(machine: str = "g2-standard-8", **others: object) -> GoogleValues:
    made = {
        "project": "my-lab",
        "zone": "us-central1-a",
        "bucket": "lab-studies",
        "image": "us-docker.pkg.dev/lab/ml/segtune:1",
        **others,
    }
    return GoogleValues(machine=machine, **made)  # type: ignore[arg-type]


@pytest.mark.parametrize("machine", ALL)
def test_every_machine_makes_a_file_without_faults(machine: str) -> None:
    given = values(machine)
    given.check()
    assert google_faults(google_cluster(STUDY, given), STUDY, given) == []


def test_on_demand_machines_of_another_account_and_number_have_no_faults_either() -> None:
    account = "tuner@my-lab.iam.gserviceaccount.com"
    given = values(spot=False, max_workers=7, service_account=account)
    made = google_cluster(STUDY, given)
    assert google_faults(made, STUDY, given) == []
    config = made["available_node_types"]["gpu"]["node_config"]
    assert config["scheduling"] == {"onHostMaintenance": "TERMINATE", "automaticRestart": True}
    assert made["max_workers"] == 7


def test_workers_are_spot_machines_that_may_write_into_the_bucket() -> None:
    kinds = google_cluster(STUDY, values())["available_node_types"]
    scheduling = kinds["gpu"]["node_config"]["scheduling"]
    assert scheduling["provisioningModel"] == "SPOT"
    assert scheduling["onHostMaintenance"] == "TERMINATE"
    assert "provisioningModel" not in kinds["head"]["node_config"]["scheduling"]
    accounts = [kind["node_config"]["serviceAccounts"] for kind in kinds.values()]
    assert accounts[0] == accounts[1]


@pytest.mark.parametrize("machine", ["g2-standard-8", "n1-standard-8+nvidia-tesla-t4:2"])
def test_twenty_typos_are_all_found(machine: str) -> None:
    given = values(machine)
    made = google_cluster(STUDY, given)
    typos = seeded(
        made, 20, seed=0, leave=["initialization_commands"]
    )  # a shell judges them, below
    assert len(typos) == 20
    assert [name for name, spoilt in typos if not google_faults(spoilt, STUDY, given)] == []


def test_a_shell_can_read_every_command() -> None:
    for command in google_cluster(STUDY, values())["initialization_commands"]:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False)
        assert done.returncode == 0, command


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"project": "My Lab"}, "--project: expected 6 to 30 small letters"),
        (
            {"zone": "us-central1"},
            "--zone: expected a zone such as us-central1-a, got 'us-central1'",
        ),
        ({"bucket": "gs://lab-studies"}, "--bucket: .* the nearest is lab-studies"),
        ({"image": "lab/segtune"}, "--image: expected an image with a tag, .* lab/segtune:1"),
        ({"machine": "g2-standard-9"}, "--machine: .* did you mean g2-standard-"),
        ({"machine": "n1-standard-8"}, "the nearest is n1-standard-8.nvidia-tesla-t4:1"),
        ({"machine": "n1-standard-8+nvidia-t4"}, "did you mean nvidia-tesla-t4"),
        ({"machine": "n1-standard-8+nvidia-tesla-t4:3"}, "expected 1, 2, 4 of nvidia-tesla-t4"),
        ({"machine": "g2-standard-8+nvidia-tesla-t4"}, "expected g2-standard-8 alone"),
        ({"service_account": "ray"}, "--service-account: expected NAME@PROJECT"),
        ({"secret": "a b"}, "--secret: expected 1 to 255 letters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_value_is_refused_with_the_nearest(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(TemplateError, match=said) as error:
        values(**wrong).check()
    assert "\n" not in str(error.value)


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(TemplateError, match="2 problems") as error:
        values(zone="moon", bucket="X").check()
    assert str(error.value).count("\n") == 2
