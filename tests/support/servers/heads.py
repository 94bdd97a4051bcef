"""Ray clusters of their own for tests: a head with a token, and nodes that join it, on loopback.

Each is `ray start --block` in a process group of its own, with its own ports, home and folder, and
is ended by its group; nothing else that runs on the machine is touched.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.servers.network import Line
from tests.support.servers.processes import is_raylet, send

TOKEN = "canary-token-0123456789abcdef0123456789abcdef"
LOOPBACK = "127.0.0.1"
START_S = 120.0
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"
_OTHERS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "WANDB_API_KEY")


@dataclass
class Head:
    """A running cluster.

    Attributes:
        folder: Holds its home and Ray's session; short, as sockets lie in it.
        ip: Address of its node, which others reach it by.
        port: Port of its control store.
        dashboard_port: Port that jobs are sent to.
        token: Token that it asks for; "" where it asks for none.
        environment: Environment of its nodes, of those that are started from now on.
        line: Link to the machine that its head is; None for this one.
        nodes: Its processes, the head first.
    """

    folder: Path
    ip: str
    port: int
    dashboard_port: int
    token: str
    environment: Mapping[str, str]
    line: Line | None = None
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address that jobs are sent to."""
        ip = LOOPBACK if self.line is None else self.ip
        return f"http://{ip}:{self.dashboard_port}"

    @property
    def user(self) -> dict[str, str]:
        """Environment of a user of the cluster, who has a home and a token file of their own."""
        home = self.folder / "user"
        home.mkdir(exist_ok=True)
        variables = {"HOME": str(home), "RAY_API_SERVER_ADDRESS": self.address}
        if self.token:
            file = home / "token"
            file.write_text(self.token)
            file.chmod(0o600)
            variables["RAY_AUTH_TOKEN_PATH"] = str(file)
        return variables

    def exchange_token(self, token: str) -> None:
        """Exchange the token: in the file that the nodes read, or for those that start from now on.

        A node that runs keeps the token of its environment; a file is read by each process of a
        node as it starts.
        """
        self.token = token
        if file := self.environment.get(TOKEN_FILE):
            Path(file).write_text(token)
        else:
            self.environment = {**self.environment, "RAY_AUTH_TOKEN": token}

    def processes(self) -> list[psutil.Process]:
        """Every process of the cluster, those of its jobs included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == self.environment["HOME"]:
                    found.append(process)
        return found

    def add_node(
        self, cpus: int, python: Path | str = sys.executable, line: Line | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a node that joins the cluster; returns its process.

        Args:
            cpus: CPU cores it counts.
            python: Its Python.
            line: Link to the machine that it is to be; None for this one.
        """
        return self._start(
            lambda: _ray_start(
                self.folder,
                self.environment,
                [str(python)] if line is None else line.inside([str(python)]),
                f"--address={self.ip}:{self.port}",
                f"--num-cpus={cpus}",
                f"--node-ip-address={self.ip if line is None else line.there}",
                f"--temp-dir={self.folder / f'node{len(self.nodes)}'}",
            )
        )

    def lose(self, node: subprocess.Popen[bytes]) -> None:
        """End a node with everything that runs there; its raylet, which tells of others, last."""
        parent = psutil.Process(node.pid)
        processes = [parent, *parent.children(recursive=True)]
        send(signal.SIGKILL, sorted(processes, key=is_raylet))
        node.wait(timeout=30)

    def start(self, cpus: int) -> None:
        """Start its head, and wait until that takes jobs."""
        self._start(lambda: _start_head(self, cpus))
        _wait_until_it_answers(self)

    def _start(self, begin: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Start a node, again where the 30 s that Ray gives it are too few on a busy machine."""
        for _ in range(3):
            before, node = self._n_started(), begin()
            self.nodes.append(node)
            while node.poll() is None:
                if self._n_started() > before:
                    return node
                time.sleep(0.2)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
        raise AssertionError((self.folder / "start.log").read_text())

    def _n_started(self) -> int:
        """Number of nodes that have said that they are up."""
        log = self.folder / "start.log"
        return log.read_text().count("Ray runtime started") if log.exists() else 0

    def end(self) -> None:
        """End every process of the cluster."""
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for node in self.nodes:
            node.wait(timeout=30)


@contextlib.contextmanager
def running_head(
    line: Line | None = None,
    /,
    *,
    cpus: int = 2,
    token: str = TOKEN,
    ip: str = LOOPBACK,
    **variables: str,
) -> Iterator[Head]:
    """Run a cluster of one node.

    Args:
        line: Link to the machine that it is to be, at its far end; None for this one.
        cpus: CPU cores it counts.
        token: Token that it asks for; "" for none.
        ip: Address of its node.
        variables: Of the environment of its nodes.
    """
    folder = Path(tempfile.mkdtemp(prefix="sgh-", dir="/tmp"))
    home = folder / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    environment |= {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token" if token else "disabled",
        **({"RAY_AUTH_TOKEN": token} if token and TOKEN_FILE not in variables else {}),
        **variables,
    }
    port, dashboard_port = _free_ports(2)
    ip = ip if line is None else line.there
    head = Head(folder, ip, port, dashboard_port, token, environment, line)
    try:
        head.start(cpus)
        yield head
    finally:
        head.end()
        shutil.rmtree(folder, ignore_errors=True)


def _start_head(head: Head, cpus: int) -> subprocess.Popen[bytes]:
    known = head.folder / "ray" / "ray_current_cluster"
    known.unlink(missing_ok=True)  # else Ray takes a node of this machine for the head that ended
    return _ray_start(
        head.folder,
        head.environment,
        [sys.executable] if head.line is None else head.line.inside([sys.executable]),
        "--head",
        f"--port={head.port}",
        f"--dashboard-port={head.dashboard_port}",
        f"--dashboard-host={LOOPBACK if head.ip == LOOPBACK else '0.0.0.0'}",
        f"--node-ip-address={head.ip}",
        f"--num-cpus={cpus}",
        "--num-gpus=0",
        f"--temp-dir={head.folder / 'ray'}",
        "--object-store-memory=100000000",
    )


def _ray_start(
    folder: Path, environment: Mapping[str, str], python: Sequence[str], *arguments: str
) -> subprocess.Popen[bytes]:
    [agent_port] = _free_ports(1)  # else all clusters of a machine want the same one
    arguments = ("--block", f"--dashboard-agent-listen-port={agent_port}", *arguments)
    command = [*python, "-m", "ray.scripts.scripts", "start", *arguments]
    with (folder / "start.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_it_answers(head: Head) -> None:
    deadline = time.monotonic() + START_S
    request = urllib.request.Request(f"{head.address}/api/jobs/")
    if head.token:
        request.add_header("Authorization", f"Bearer {head.token}")
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            said = (head.folder / "start.log").read_text()
            assert head.nodes[-1].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.3)
