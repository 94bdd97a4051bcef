"""Studies as jobs on a real head: sent, found again, looked after, stopped; and no secret told."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from cluster.jobs.cluster import Cluster
from cluster.jobs.leftovers import SHARED
from cluster.jobs.login import find_login
from tests.support.discs import prepare_discs
from tests.support.places import ROOT
from tests.support.servers.heads import TOKEN, Head, running_head
from tests.support.servers.processes import command_of, words_of
from tests.support.study_samples import write_study
from trainables.datasets.prepared import PreparedDataset, check_trainable
from tune.cli.main import VERBS
from tune.remote.shipping import ship, shipment_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

KEY = "canary-wandb-0123456789abcdef"
"""Key of W&B that the nodes have in their own environment."""

USERS_KEY = "canary-users-0123456789abcdef"
"""The same of the user, which must never leave their machine."""

LIMIT_S = 300


@pytest.fixture(scope="module")
def head(bucket: str) -> Iterator[Head]:
    del bucket  # its server is in the environment of the nodes
    with running_head(WANDB_API_KEY=KEY, WANDB_MODE="offline") as head:
        yield head


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    write_study(
        folder,
        study="sent",
        storage=str(folder / "studies"),
        budget={"trials": 400, "epochs": 30},
        fixed={"epoch_seconds": 0.2},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )
    return folder


def asked(
    place: Path, environment: Mapping[str, str], *words: str
) -> "subprocess.CompletedProcess[str]":
    """A verb as a user without a terminal gives it."""
    return subprocess.run(
        [sys.executable, "-m", "tune.cli", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_API_KEY": USERS_KEY, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def with_mark(head: Head, job_id: str) -> list[psutil.Process]:
    """The processes of a cluster's job; another cluster here may have one of that name."""
    found = []
    for process in head.processes():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("SEGTUNE_JOB") == job_id
            if ours and not command_of(process).startswith(SHARED):
                found.append(process)
    return found


def wait_until_gone(head: Head, job_id: str) -> None:
    """A worker that Ray was just starting for an ended job may come up late; it ends by itself."""
    deadline = time.monotonic() + LIMIT_S
    while left := with_mark(head, job_id):
        assert time.monotonic() < deadline, [command_of(process) for process in left]
        time.sleep(0.2)


def reports(study: Path) -> int:
    return sum(len(f.read_text().splitlines()) for f in study.glob("trials/*/metrics.jsonl"))


def wait_for_reports(study: Path, n: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while reports(study) < n:
        assert time.monotonic() < deadline, study
        time.sleep(0.2)


def wait_for_line(place: Path, environment: Mapping[str, str], line: str, *words: str) -> None:
    """Ask until a line is among those that a verb shows."""
    deadline = time.monotonic() + LIMIT_S
    while not re.search(line, shown := asked(place, environment, *words).stdout, re.MULTILINE):
        assert time.monotonic() < deadline, shown
        time.sleep(0.5)


def test_no_token_a_wrong_one_and_no_contact_are_three_different_sentences(
    head: Head, folder: Path
) -> None:
    said = []
    none = {"HOME": str(folder), "RAY_API_SERVER_ADDRESS": head.address}
    for environment in (
        none,
        {**none, "RAY_AUTH_TOKEN": "another-token"},
        {**none, "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"},
    ):
        answer = asked(folder, environment, "jobs")
        assert answer.returncode == 2, answer.stderr
        assert answer.stderr.count("\n") == 1
        said.append(answer.stderr)
    assert "got none (401)" in said[0]
    assert "got another one (403)" in said[1]
    assert "another-token" not in said[1]
    assert "cannot be reached" in said[2]


def test_a_job_is_sent_found_again_shown_stopped_and_gone_on_with(head: Head, folder: Path) -> None:
    user, study = head.user, folder / "studies" / "sent"
    sent = asked(folder, user, "submit", "study.yaml")
    assert sent.returncode == 0, sent.stderr
    assert re.search(r"package: \d+ kB, \d+ files; largest: ", sent.stderr)
    assert "1 node: Python 3." in sent.stderr
    assert sent.stdout == f"segtune logs sent --address {head.address} --follow\n"

    again = asked(folder, user, "submit", "study.yaml")
    assert (again.returncode, "is running already" in again.stderr) == (0, True)
    other = asked(folder, user, "submit", "study.yaml", "--set", "budget.trials=401")
    assert other.returncode == 2
    assert "`segtune stop sent` ends it, or --name" in other.stderr

    wait_for_reports(study, 3)
    wait_for_line(folder, user, r"^sent  running +study, .*, holds 2 CPUs$", "jobs")
    shown = asked(folder, user, "status", "sent", "--address", head.address)
    assert re.search(r"\d of 400 trials ended, \d running", shown.stdout), shown.stderr
    logged = asked(folder, user, "logs", "sent").stdout
    assert f"study sent begins: {study}" in logged

    stopped = asked(folder, user, "stop", "sent")
    assert stopped.returncode == 0, stopped.stderr
    assert f"wrote {study / 'report.html'}" in stopped.stdout
    assert "no process of it is left on 1 node; free: 2 of 2 CPUs" in stopped.stdout
    assert (study / "report.html").is_file()
    wait_until_gone(head, "sent")

    before = reports(study)
    on = asked(folder, user, "submit", "study.yaml", "--keep-alive", "1")
    assert "attempt 2" in on.stderr
    assert "note:" not in on.stderr, "it goes on in the folder that it was in"
    assert "study sent goes on" in log_of(head, "sent~2")
    [driver] = [p for p in with_mark(head, "sent~2") if words_of(p)[-1:] == ["run"]]
    driver.kill()
    deadline = time.monotonic() + LIMIT_S
    while (log := log_of(head, "sent~2")).count("study sent goes on") < 2:
        assert time.monotonic() < deadline, log
        time.sleep(0.5)
    assert "the driver died (SIGKILL); it is started again, 0 more at most" in log
    wait_for_reports(study, before + 1)
    (study / "report.html").unlink()
    commands = {p: command_of(p) for p in with_mark(head, "sent~2")}
    for words in ("kill -s 0", "JobSupervisor"):  # who would kill the driver, and who watches it
        [process] = [p for p, command in commands.items() if words in command]
        process.kill()
    ended = asked(folder, user, "stop", "sent")
    assert ended.returncode == 0, ended.stderr
    assert "no process of it is left on 1 node; free: 2 of 2 CPUs" in ended.stdout
    assert (study / "report.html").is_file()
    wait_until_gone(head, "sent~2")


def test_a_job_whose_data_is_on_no_node_is_refused_with_the_reason(
    head: Head, folder: Path
) -> None:
    words = ["submit", "study.yaml", "--name", "nowhere", "--set", "data=/no/such/place"]
    refused = asked(folder, head.user, *words)
    assert refused.returncode == 2
    assert "nowhere: nothing was started" in refused.stderr
    assert "data: expected /no/such/place" in refused.stderr
    assert "--set data=PLACE" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_data_is_sent_once_to_where_the_nodes_see_it(head: Head, folder: Path) -> None:
    data = PreparedDataset.load(folder / "data")
    budget = ["--set", "budget={trials: 2, epochs: 2}", "--name", "carried"]
    store = ["--set", f"storage={folder / 'carried'}", "--send-data", "--follow"]
    sent = asked(folder, head.user, "submit", "study.yaml", *budget, *store)
    assert sent.returncode == 0, sent.stderr
    place = folder / "carried" / ".data" / f"{data.name}-{data.fingerprint[:12]}"
    assert f"data was sent to {place}" in sent.stderr
    assert PreparedDataset.load(place).fingerprint == data.fingerprint
    assert f"data: {place}" in (folder / "carried" / "sent" / "study.yaml").read_text()
    before = place.stat().st_mtime_ns
    cluster, told = Cluster(find_login(head.address, head.user, folder)), list[str]()
    ship(cluster, shipment_of(data, folder / "data", str(folder / "carried")), told.append)
    assert told == [f"data is there already: {place}"]
    assert place.stat().st_mtime_ns == before


def test_data_in_a_bucket_come_once_to_a_node(head: Head, folder: Path, bucket: str) -> None:
    discs = prepare_discs(folder / "pictures", 6)
    budget = ["--set", "budget={trials: 2, epochs: 2}", "--set", "study=fetched", "--follow"]
    data = ["--set", f"data={discs.root}", "--send-data", "--to", f"{bucket}/sets"]
    sent = asked(folder, head.user, "submit", "study.yaml", *budget, *data)
    assert sent.returncode == 0, sent.stderr
    address = f"{bucket}/sets/{discs.name}-{discs.fingerprint[:12]}"
    assert f"data was sent to {address}: " in sent.stderr
    assert f"data: {address}, 6 pictures, " in sent.stderr
    copy = head.folder / "home/.cache/segtune/data" / address.rpartition("/")[2]
    assert f"data: 1 node has {address} in {copy}" in sent.stdout
    check_trainable(PreparedDataset.load(copy))
    assert f"data: {address}" in (folder / "studies/fetched/study.yaml").read_text()
    came = {path.name: path.stat().st_mtime_ns for path in (copy / "images").iterdir()}

    words = ["submit", "study.yaml", "--set", "budget={trials: 1, epochs: 1}", "--follow"]
    named = ["--set", "study=again", "--set", f"data={address}"]
    assert asked(folder, head.user, *words, *named).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (copy / "images").iterdir()} == came

    nowhere = ["--set", "study=nowhere", "--set", f"data={bucket}-absent/data"]
    refused = asked(folder, head.user, *words, *nowhere)
    assert refused.returncode == 2
    assert "nowhere: nothing was started" in refused.stderr
    assert f"data: {bucket}-absent/data: expected a bucket" in refused.stderr


def test_a_file_that_is_not_there_is_told_before_any_cluster_is_asked(folder: Path) -> None:
    nowhere = {"HOME": str(folder), "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}
    said = asked(folder, nowhere, "submit", "studi.yaml")
    assert said.returncode == 2
    assert "studi.yaml: expected a study file (YAML), found none; did you mean" in said.stderr
    assert "127.0.0.1" not in said.stderr


def test_doctor_says_which_node_lacks_what(head: Head, folder: Path) -> None:
    answer = asked(folder, head.user, "doctor", "--address", head.address)
    assert re.search(r"^ok    \S+ \(\w+\): Python 3\.\d", answer.stdout, re.MULTILINE)
    assert re.search(r"^warn  \S+ \(\w+\): has no GOOGLE_APPLICATION", answer.stdout, re.MULTILINE)
    assert KEY not in answer.stdout


def test_no_secret_stands_in_what_a_cluster_keeps_or_shows(head: Head, folder: Path) -> None:
    """Run last: of all jobs above, and of the processes while one more runs."""
    sent = asked(folder, head.user, "submit", "study.yaml", "--name", "more")
    assert sent.returncode == 0, sent.stderr
    command_lines = "\n".join(command_of(p) for p in with_mark(head, "more"))
    assert "tune.job.entry" in command_lines
    others = [p for p in with_mark(head, "more") if p.environ().get("WANDB_API_KEY") == USERS_KEY]
    assert others == []
    listed = "\n".join(
        asked(folder, {**head.user, "RAY_ADDRESS": head.address}, *words).stdout
        for words in (["jobs"], ["logs", "more"])
    )
    details = asked_over_http(head, "/api/jobs/") + asked_over_http(head, "/api/v0/actors?detail=1")
    assert "SEGTUNE_JOB" in details
    assert asked(folder, head.user, "stop", "more").returncode == 0
    for secret in (TOKEN, KEY, USERS_KEY):
        for text in (command_lines, listed, details):
            assert secret not in text
        assert files_with(secret, folder) == []
        assert files_with(secret, head.folder / "ray") == []
    logs = list((head.folder / "ray").rglob("runtime_env_agent.log"))
    assert any("SEGTUNE_JOB" in log.read_text() for log in logs)


def log_of(head: Head, job_id: str) -> str:
    """What a job has printed; such as this is not worth a process of its own."""
    return asked_over_http(head, f"/api/jobs/{job_id}/logs")


def asked_over_http(head: Head, path: str) -> str:
    request = urllib.request.Request(f"{head.address}{path}")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.dumps(json.load(answer))


def files_with(secret: str, folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()
    ]


EVERY_VERB = """
from trainables.datasets.prepared import PreparedDataset, check_trainable
from tune.cli.main import VERBS, main

for verb in VERBS:
    words = {"demo": ["--help"], "doctor": ["now"]}.get(verb.__name__, [])
    try:
        main([verb.__name__, *words])
    except SystemExit as ending:
        print("ENDED", verb.__name__, ending.code)
"""


def test_no_verb_waits_for_an_answer_where_there_is_no_terminal(tmp_path: Path) -> None:
    """With stdin closed altogether: whoever reads it fails at once, and says so."""
    done = subprocess.run(
        f"exec {sys.executable} -c '{EVERY_VERB}' <&-",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.count("ENDED") == len(VERBS), done.stderr
    assert "Traceback" not in done.stderr
    assert "EOF" not in done.stderr
