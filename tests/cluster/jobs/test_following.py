"""A log that is followed: each line once, whatever the way to the cluster does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

import pytest

from cluster.errors import ContactError, JobError, LoginError
from cluster.jobs.cluster import Cluster
from cluster.jobs.following import Starting, follow
from cluster.jobs.job import Job
from cluster.jobs.login import Login

JOB = Job("powder", "powder", 1, "study", "", state="RUNNING")


class Line:
    """A way to a cluster that is cut now and then: states of its log, None for no contact."""

    login = Login("http://localhost:8265")

    def __init__(self, *logs: str | None) -> None:
        self._logs: Iterator[str | None] = iter(logs)
        self._left = len(logs)
        self._now: str | None = ""

    def refreshed(self, job: Job) -> Job:
        self._now, self._left = next(self._logs), self._left - 1
        if self._now is None:
            raise ContactError("no contact")
        return replace(job, state="RUNNING" if self._left else "SUCCEEDED")

    def log(self, job: Job) -> str:
        assert job.id == JOB.id
        assert self._now is not None
        return self._now


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.jobs.following.time.sleep", lambda seconds: None)


def followed(*logs: str | None, **more: Any) -> tuple[str, list[str], Job]:
    written, told = list[str](), list[str]()
    job = follow(cast("Cluster", Line(*logs)), JOB, written.append, told.append, **more)
    return "".join(written), told, job


def test_each_line_is_written_once_and_the_end_too() -> None:
    text, told, job = followed("a\n", "a\nb\nc", "a\nb\ncc\nd")
    assert (text, told, job.state) == ("a\nb\ncc\nd", [], "SUCCEEDED")


def test_lost_contact_is_told_once_and_the_log_goes_on_where_it_was() -> None:
    text, told, job = followed("a\n", None, None, "a\nb\n", None, "a\nb\nc\n")
    assert text == "a\nb\nc\n"
    assert job.state == "SUCCEEDED"
    assert len(told) == 4
    assert "lost; the job goes on" in told[0]
    assert told[1] == "contact is back"


def test_following_ends_early_where_enough_was_seen() -> None:
    text, _, job = followed(
        "a\n", "a\nenough\n", "a\nenough\nmore\n", until=lambda log: "enough" in log
    )
    assert (text, job.state) == ("a\nenough\n", "RUNNING")


class Waiting:
    """A cluster that does not start its job."""

    login = Login("http://localhost:8265")

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def refreshed(self, job: Job) -> Job:
        return replace(job, state="PENDING", message="it may be waiting for resources")

    def log(self, job: Job) -> str:
        return ""

    def stop(self, job_id: str) -> None:
        self.stopped.append(job_id)


def test_a_job_that_is_not_started_in_time_is_taken_back_and_told() -> None:
    waiting = Waiting()
    cluster = cast("Cluster", waiting)
    reason = "not started it within 0 s, and it was taken back.* waiting for resources"
    with pytest.raises(JobError, match=reason):
        follow(cluster, JOB, list[str]().append, list[str]().append, look=Starting(cluster, 0.2))
    assert waiting.stopped == ["powder"]


@contextmanager
def answering(*statuses: int) -> Iterator[Cluster]:
    """A cluster behind a proxy: what it answers when a job is asked for, the last one for ever."""
    asked = iter(statuses)
    job = {
        "type": "SUBMISSION",
        "submission_id": JOB.id,
        "status": "SUCCEEDED",
        "entrypoint": "x",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, Any] = {"/api/version": {"version": "4", "ray_version": "2"}}
            answer = answers.get(self.path, {"logs": "a\n"} if "logs" in self.path else job)
            status = next(asked) if answer is job else 200
            body = b"<html>\n</html>" if status == 502 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Cluster(Login(f"http://127.0.0.1:{server.server_port}"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_proxy_without_its_cluster_is_lost_contact_and_another_token_ends_the_following() -> None:
    said, told = list[str](), list[str]()
    with answering(502, 502, 200) as cluster:
        assert follow(cluster, JOB, said.append, told.append).state == "SUCCEEDED"
    assert said == ["a\n"]
    assert len(told) == 2
    with answering(403) as cluster, pytest.raises(LoginError, match=r"got another one \(403\)"):
        follow(cluster, JOB, said.append, told.append)
