"""optuna-dashboard over studies: everything is shown, and nothing can be changed from there."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import segtune
from tests.support.places import ROOT
from tests.support.rehearsed_study import rehearse
from tune.dashboard.journals import read_only_storage
from tune.dashboard.server import HOST, dashboard_server
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir

pytest.importorskip("optuna_dashboard", reason="extra `ui` is not installed")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[StudyDir]:
    """Two studies of one name in two folders, and one of another."""
    changes: dict[str, Any] = {"search": "random", "scheduler": {"kind": "none"}}
    return [
        rehearse(
            tmp_path_factory.mktemp(str(n)),
            study=name,
            seed=n,
            budget={"trials": n + 2, "epochs": 3},
            **changes,
        )
        for n, name in enumerate(["powder", "powder", "cells"])
    ]


@pytest.fixture
def port(studies: list[StudyDir]) -> Iterator[int]:
    """Port of a server over the studies."""
    server = dashboard_server(studies, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def asked(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    sent = {"Content-Type": "application/json", **headers}
    connection.request(method, path, None if body is None else json.dumps(body), sent)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    kind = response.headers.get("Content-Type", "")
    return response.status, json.loads(text) if "json" in kind else text


def test_every_study_is_shown_under_a_name_of_its_own(port: int, studies: list[StudyDir]) -> None:
    status, found = asked(port, "GET", "/api/studies")
    first, second, _ = studies
    assert status == 200
    assert [study["study_name"] for study in found["study_summaries"]] == [
        f"powder ({first.path})",
        f"powder ({second.path})",
        "cells",
    ]


def test_every_trial_has_its_own_values(port: int, studies: list[StudyDir]) -> None:
    for n, study in enumerate(studies):
        _, shown = asked(port, "GET", f"/api/studies/{n}?after=0")
        assert [
            [report["value"] for report in trial["intermediate_values"]]
            for trial in shown["trials"]
        ] == [[line["seg_metrics/F1"] for line in t.metrics] for t in study.trials()]
        assert [trial["number"] for trial in shown["trials"]] == list(range(n + 2))


def test_the_page_is_served(port: int) -> None:
    status, page = asked(port, "GET", "/dashboard")
    assert status == 200
    assert b"<title>Optuna Dashboard</title>" in page


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/studies/0", {}),
        ("POST", "/api/studies", {"study_name": "new", "directions": ["maximize"]}),
        ("POST", "/api/studies/0/rename", {"study_name": "another"}),
        ("PUT", "/api/studies/0/note", {"body": "x", "version": 1}),
        ("POST", "/api/trials/0/tell", {"state": "Fail"}),
        ("POST", "/api/trials/0/user-attrs", {"user_attrs": {"ending": {}}}),
        ("POST", "/api/studies/0/0/skip", {}),
        ("PUT", "/api/studies/0/0/note", {"body": "x", "version": 1}),
        ("PATCH", "/api/studies/0", {}),
        ("OPTIONS", "/api/studies/0", {}),
    ],
)
def test_what_would_write_is_refused(
    port: int, studies: list[StudyDir], method: str, path: str, body: Any
) -> None:
    before = [(study.path / JOURNAL).read_bytes() for study in studies]
    status, answer = asked(port, method, path, body)
    assert (status, answer) == (
        403,
        {"reason": "expected to be read only: what is shown here cannot be changed from here"},
    )
    assert [(study.path / JOURNAL).read_bytes() for study in studies] == before


def test_a_page_of_elsewhere_cannot_ask(port: int) -> None:
    status, answer = asked(port, "GET", "/api/studies", Host=f"evil.example:{port}")
    assert status == 403
    assert answer["reason"] == "expected to be asked as http://127.0.0.1, got evil.example"


def test_it_listens_on_this_machine_alone(studies: list[StudyDir]) -> None:
    server = dashboard_server(studies, 0)
    assert server.socket.getsockname()[0] == "127.0.0.1"
    server.server_close()


def test_what_a_driver_writes_meanwhile_is_shown(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 2, "epochs": 3}, search="random")
    storage = read_only_storage({"shown": study.path / JOURNAL})
    assert len(storage.get_all_trials(0)) == 2
    journal = Journal(study.path / JOURNAL, study.study.study, "max")
    journal.create(journal.trials()[0])
    assert len(storage.get_all_trials(0)) == 3


def test_the_verb_serves_until_it_is_interrupted(studies: list[StudyDir]) -> None:
    command = [sys.executable, "-m", "tune.cli", "dashboard", "--port", "0"]
    process = subprocess.Popen(
        [*command, str(studies[0].path / "study.yaml"), *(str(s.path) for s in studies[1:])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(
        r"3 studies, read only: http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", line
    )
    assert found, line
    assert asked(int(found[1]), "GET", "/api/studies")[0] == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.communicate()[1] == "ended\n"


def test_a_port_that_is_taken_is_said(port: int, studies: list[StudyDir]) -> None:
    ran = segtune(ROOT, "dashboard", str(studies[0].path), "--port", str(port))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"segtune: dashboard: --port: expected a free port, got {port} (Address already in use); "
        "0 takes one that is free\n"
    )
