"""A best configuration retrained, and a study's best confirmed, as jobs on a real head."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.storage.copying import fetch
from cluster.storage.opening import open_files
from tests.support.servers.heads import Head, running_head
from tests.support.servers.processes import command_of
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import LIMIT_S, asked, log_of, wait_until_gone, with_mark

pytestmark = [pytest.mark.ray, pytest.mark.long]

EPOCHS = 100_000  # more than there is time for: it ends when it is stopped


@pytest.fixture(scope="module")
def head(bucket: str) -> Iterator[Head]:
    del bucket  # its server is in the environment of the nodes
    with running_head() as head:
        yield head


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    """A folder that all nodes see, with a study that a job has run."""
    folder = tmp_path_factory.mktemp("training")
    write_study(
        folder,
        study="small",
        storage=str(folder / "studies"),
        budget={"trials": 3, "epochs": 2},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )
    done = asked(folder, head.user, "submit", "study.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    return folder


def metrics(out: Path) -> list[int]:
    """The epochs that a training has written down."""
    file = out / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [int(json.loads(line)["epoch"]) for line in lines]


def wait_for_epoch(head: Head, out: Path, epoch: int, job: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not metrics(out) or metrics(out)[-1] < epoch:
        assert time.monotonic() < deadline, log_of(head, job)
        time.sleep(0.1)


def test_the_best_of_a_study_there_is_retrained_into_a_bucket(
    head: Head, folder: Path, bucket: str
) -> None:
    words = ["retrain", "small", "--address", head.address, "--out", f"{bucket}/trained"]
    done = asked(folder, head.user, *words, "--follow")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "epoch 2 of 2" in done.stdout
    assert f"`segtune sync {bucket}/trained FOLDER` brings it to another machine" in done.stdout
    fetch(open_files(f"{bucket}/trained"), folder / "trained")
    assert json.loads((folder / "trained" / "result.json").read_text())["epochs_done"] == 2
    again = asked(folder, head.user, *words, "--follow")
    assert again.returncode == 0, again.stderr + again.stdout
    assert "attempt 2" in again.stderr
    assert "epoch 1 of 2" not in again.stdout  # it was done
    named = ["submit", "study.yaml", "--set", "study=small-retrain"]
    study = asked(folder, head.user, *named, "--set", "budget={trials: 1, epochs: 1}")
    assert study.returncode == 2, study.stdout
    assert "got small-retrain, which on this cluster is that of a job of kind retrain" in (
        study.stderr
    )
    assert "--name gives this one, of kind study, another" in study.stderr


def test_an_exported_file_is_retrained_there_stopped_killed_and_gone_on_with(
    head: Head, folder: Path
) -> None:
    assert asked(folder, head.user, "export", "studies/small", "--to", "best").returncode == 0
    best = json.loads((folder / "best" / "best.json").read_text())
    best["params"]["epoch_seconds"] = 0.2
    (folder / "slow.json").write_text(json.dumps(best))
    out = folder / "slow"
    words = ["retrain", "slow.json", "--address", head.address, "--out", str(out)]
    words += ["--epochs", str(EPOCHS), "--name", "slow"]
    sent = asked(folder, head.user, *words)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout == f"segtune logs slow --address {head.address} --follow\n"
    wait_for_epoch(head, out, 2, "slow")
    stopped = asked(folder, head.user, "stop", "slow")
    assert stopped.returncode == 0, stopped.stderr
    assert "interrupted after epoch" in stopped.stdout
    wait_until_gone(head, "slow")
    reached = metrics(out)[-1]

    assert asked(folder, head.user, *words).returncode == 0
    for attempt in range(2):
        wait_for_epoch(head, out, reached + 2, "slow~2")
        reached = metrics(out)[-1]
        if attempt == 0:
            [worker] = [p for p in with_mark(head, "slow~2") if "train_here" in command_of(p)]
            worker.kill()
    assert log_of(head, "slow~2").count("with 1 CPU") == 2
    assert asked(folder, head.user, "stop", "slow").returncode == 0
    assert metrics(out) == list(range(1, metrics(out)[-1] + 1))
    wait_until_gone(head, "slow~2")


def test_a_study_there_is_confirmed_as_a_study_of_its_own(head: Head, folder: Path) -> None:
    words = ["confirm", "small", "--address", head.address, "--top", "2", "--trainings", "6"]
    done = asked(folder, head.user, *words, "--follow")
    race = folder / "studies" / "small-confirm"
    assert (race / "confirm.json").is_file(), done.stderr + done.stdout
    assert f"wrote {race / 'confirm.html'}" in done.stdout
    assert done.returncode in (0, 1), done.stdout  # 1: nothing is recommended
    shown = asked(folder, head.user, "status", "small-confirm", "--address", head.address)
    assert "6 trials ended" in shown.stdout, shown.stdout + shown.stderr


def test_what_is_wrong_with_the_words_is_told_before_any_cluster_is_asked(folder: Path) -> None:
    nowhere = {"HOME": str(folder), "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}
    there = ["--address", "http://127.0.0.1:9", "--out", "new"]
    absent = asked(folder, nowhere, "retrain", "absent.yaml", *there)
    assert (absent.returncode, "127.0.0.1" in absent.stderr) == (2, False)
    device = asked(folder, nowhere, "retrain", "small", "--device", "cpu", *there)
    assert device.stderr == "segtune: retrain: --device: expected none beside --address, got one\n"
    name = asked(folder, nowhere, "confirm", "small", "--name", "other")
    assert name.stderr == "segtune: confirm: --name: expected --address beside it, got none\n"
