"""Machines of their own on this one: network namespaces, each with a link that can be cut."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Line:
    """A link between this machine and a network namespace.

    Attributes:
        name: Name of the namespace.
        here: Address of this machine on the link.
        there: Address of the namespace on it.
    """

    name: str
    here: str
    there: str

    def inside(self, command: Sequence[str]) -> list[str]:
        """A command that is run within the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def reach(self, address: str) -> None:
        """Let the namespace reach another address of this machine, too."""
        _run(*self.inside(["ip", "route", "add", address, "via", self.here]))

    def cut(self) -> None:
        """Take the link down at the far end: this machine keeps its own address."""
        _run(*self.inside(["ip", "link", "set", f"{self.name}n", "down"]))

    def mend(self) -> None:
        """Bring the link up again."""
        _run(*self.inside(["ip", "link", "set", f"{self.name}n", "up"]))


@contextlib.contextmanager
def line(number: int) -> Iterator[Line]:
    """Make a namespace with a link of its own, and remove both after the block.

    Args:
        number: 0 to 3, other for each that this process has at a time.
    """
    own = os.getpid() % 4096
    name, net = (
        f"sg{os.getpid()}{'abcd'[number]}",
        f"10.213.{own // 16}.{own % 16 * 16 + 4 * number}",
    )
    first, _, last = net.rpartition(".")
    made = Line(name, f"{first}.{int(last) + 1}", f"{first}.{int(last) + 2}")
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}n")
        _run("ip", "link", "set", f"{name}n", "netns", name)
        _run("ip", "addr", "add", f"{made.here}/30", "dev", f"{name}h")
        _run("ip", "link", "set", f"{name}h", "up")
        _run(*made.inside(["ip", "addr", "add", f"{made.there}/30", "dev", f"{name}n"]))
        _run(*made.inside(["ip", "link", "set", "lo", "up"]))
        made.mend()
        yield made
    finally:
        subprocess.run(["ip", "link", "del", f"{name}h"], capture_output=True, check=False)
        _run("ip", "netns", "del", name)


@cache
def why_no_namespaces() -> str:
    """Reason why there can be none here; "" where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need `ip`, which is not installed"
    try:
        with line(3):
            return ""
    except (subprocess.CalledProcessError, OSError) as error:
        return f"this machine lets nobody make network namespaces: {error}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)
