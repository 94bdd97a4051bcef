"""A W&B server small enough for tests: what runs it was told of, and their rows.

It answers the requests that W&B's client makes to create, resume and fill a run; it can refuse
everything or never answer. It listens on the loopback interface only.
"""

import contextlib
import gzip
import json
import threading
import time
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Behaviour = Literal["well", "refuses", "hangs"]


@dataclass
class ServedRun:
    """A run as the server has it.

    Attributes:
        attributes: What it was created with: displayName, groupName, ...
        config: Its configuration.
        rows: The lines of its history, by their place.
        artifacts: Names of the artifacts it was given, one for each time.
        exit_code: How its process said that it ended.
        preempting: Whether it was marked as interrupted.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    exit_code: int | None = None
    preempting: bool = False

    @property
    def steps(self) -> list[int]:
        """The steps it has, in the order of its lines."""
        return [self.rows[place]["_step"] for place in sorted(self.rows)]


class WandbServer(ThreadingHTTPServer):
    """The server; `projects` holds the runs of each by id, `views` workspaces and reports by id."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.projects: dict[str, dict[str, ServedRun]] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.behaviour: Behaviour = "well"
        self.requests = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def runs(self) -> Mapping[str, ServedRun]:
        """The runs of all projects by id."""
        return ChainMap(*self.projects.values())

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error here."""

    def answer(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The data of one GraphQL request."""
        run = variables.get("name") or variables.get("run")
        if "upsertBucket" in query:
            return {"upsertBucket": self._upsert(variables)}
        if "createRunFiles" in query:
            files = [{"name": n, "uploadUrl": f"{self.url}/upload/{n}"} for n in variables["files"]]
            return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}
        if "query RunResumeStatus" in query:
            return {
                "model": {"id": "p", "name": "p", "entity": _ME, "bucket": self._resume(variables)}
            }
        if "upsertView" in query:
            return {"upsertView": self._view(variables)}
        if "internalId" in query:
            return {"project": {"internalId": "p"}}
        if "models(" in query:
            known = [{"node": {"id": name, "name": name}} for name in self.projects]
            return {
                "models": {"edges": known, "pageInfo": {"hasNextPage": False, "endCursor": None}}
            }
        if "rtifact" in query:
            return self._of_artifacts(query, variables)
        return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}"}}

    def _of_artifacts(self, query: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a request about artifacts, whose files it takes and drops."""
        if "mutation CreateArtifactManifest" in query:
            manifest = {"id": "m", "file": self._file("wandb_manifest.json")}
            return {"createArtifactManifest": {"artifactManifest": manifest}}
        if "mutation UpdateArtifactManifest" in query:
            manifest = {"id": "m", "file": self._file("wandb_manifest.json")}
            return {"updateArtifactManifest": {"artifactManifest": manifest}}
        asked = given.get("input") or given
        if "mutation CreateArtifactFiles" in query:
            nodes = [{"node": self._file(spec["name"])} for spec in asked["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": nodes}}}
        if "mutation CreateArtifact" in query:
            name = asked["artifactCollectionName"]
            self.projects[asked["projectName"]][asked["runName"]].artifacts.append(name)
            sequence = {"id": "s", "latestArtifact": None}
            artifact = {"id": name, "state": "PENDING", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": artifact}}
        if "mutation CommitArtifact" in query:
            return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": "d"}}}
        return {"project": {"artifact": None, "artifactType": None}}

    def _file(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "name": name,
            "displayName": name,
            "storagePath": name,
            "uploadUrl": f"{self.url}/upload/{name}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": "a"},
        }

    def _upsert(self, given: Mapping[str, Any]) -> dict[str, Any]:
        name = given["name"]
        runs = self.projects.setdefault(given["project"], {})
        inserted = name not in runs
        run = runs.setdefault(name, ServedRun())
        run.attributes |= {key: value for key, value in given.items() if value is not None}
        if given.get("config"):
            config = json.loads(given["config"])
            run.config = {k: v["value"] for k, v in config.items() if k != "_wandb"}
        bucket = {
            "id": name,
            "name": name,
            "displayName": run.attributes.get("displayName"),
            "config": given.get("config"),
            "project": {"name": given["project"], "entity": _ME},
            "historyLineCount": len(run.rows),
        }
        return {"bucket": bucket, "inserted": inserted}

    def _view(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A workspace or a report that was made, or changed where its id is there."""
        known = given.get("id") in self.views
        number = str(given["id"]) if known else f"view-{len(self.views)}"
        self.views[number] = dict(given)
        view = {**given, "id": number, "project": {"name": given["projectName"], **_OF_ME}}
        return {"view": view, "inserted": not known}

    def _resume(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        name = asked.get("name") or asked.get("run") or ""
        run = self.projects.get(asked["project"], {}).get(name)
        if run is None:
            return None
        tail = [json.dumps(run.rows[max(run.rows)])] if run.rows else []
        config = {key: {"value": value} for key, value in run.config.items()}
        return {
            "id": name,
            "name": name,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.attributes.get("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(run.rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "config": json.dumps(config),
            "tags": [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),  # it has been started, not only reserved
        }

    def stream(self, project: str, name: str, body: Mapping[str, Any]) -> None:
        """Take what a run's process streams."""
        run = self.projects[project][name]
        files = body.get("files") or {}
        history = files.get("wandb-history.jsonl")
        if history is not None:
            for place, line in enumerate(history["content"], history["offset"]):
                run.rows[place] = json.loads(line)
        if "wandb-summary.json" in files:
            run.summary = json.loads(files["wandb-summary.json"]["content"][-1])
        run.preempting |= bool(body.get("preempting"))
        if body.get("complete"):
            run.exit_code = body.get("exitcode", 0)


_ME = {"id": "e", "name": "me"}

_OF_ME = {"entityName": "me"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        if self.path.endswith("/file_stream"):
            project, name = self.path.split("/")[-3:-1]
            self._reply({}, lambda: self.server.stream(project, name, body))
        else:
            data = self.server.answer(body["query"], body.get("variables") or {})
            self._reply({"data": data})

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def _reply(self, answer: Mapping[str, Any], act: Any = None) -> None:
        self.server.requests += 1
        while self.server.behaviour == "hangs":
            time.sleep(0.05)
        refused = self.server.behaviour == "refuses"
        if act is not None and not refused:
            act()
        text = json.dumps(answer).encode()
        self.send_response(500 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextlib.contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A running server."""
    server = WandbServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.behaviour = "well"
        server.shutdown()
        server.server_close()
