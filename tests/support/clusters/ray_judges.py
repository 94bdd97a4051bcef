"""What Ray itself knows: the options of `ray start`, and its environment variables."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import ray._raylet
from click import ClickException
from ray.scripts.scripts import start

BUILT_IN = {"RAY_AUTH_MODE": {"token", "disabled"}, "RAY_NODE_MARKET_TYPE": {"spot", "on-demand"}}
"""Variables whose values are words."""

SENSIBLE = {True: range(500, 2001), False: range(3, 8)}
"""Milliseconds between two heartbeats, and how many may fail."""


def start_faults(commands: Sequence[str]) -> Iterator[str]:
    """What is wrong with commands that start Ray: each is `ray stop`, or one that Ray can read."""
    for command in commands:
        parts = [shlex.split(part) for part in command.split(";")]
        for words in parts:
            if words in (["ray", "stop"], ["ulimit", "-n", "65536"]):
                continue
            if words[:2] != ["ray", "start"]:
                yield f"no command of Ray: {' '.join(words)}"
                continue
            yield from option_faults(words[2:])


def option_faults(words: Sequence[str]) -> Iterator[str]:
    """What `ray start` says of its options."""
    try:
        start.make_context("ray start", list(words))
    except ClickException as error:
        yield f"ray start: {error.message}"
        return
    if not {"--head", "--address=$RAY_HEAD_IP:6379"} & set(words):
        yield f"ray start: neither a head nor a worker's address in {' '.join(words)}"
    if "--head" in words and not {"--num-cpus=0", "--num-gpus=0"} <= set(words):
        yield "ray start: the head takes trials"
    if "--head" in words and not {
        "--port=6379",
        "--dashboard-host=127.0.0.1",
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
    } <= set(words):
        yield f"ray start: {' '.join(words)}"


def variable_faults(variables: Mapping[str, str]) -> Iterator[str]:
    """Variables that Ray does not know, or values that it does not take."""
    for name, value in variables.items():
        if name in BUILT_IN:
            if value not in BUILT_IN[name]:
                yield f"{name}: {value}"
        elif not name.startswith("RAY_") or name.removeprefix("RAY_") not in settings():
            yield f"{name} is no variable of Ray"
        elif not value.isdigit() or int(value) not in SENSIBLE[name.endswith("_ms")]:
            yield f"{name}: expected a number that tells a lost node within 15 s, got {value}"


@cache
def settings() -> frozenset[str]:
    """The names of settings in Ray's own program; each is a variable with RAY_ before it."""
    content = Path(str(ray._raylet.__file__)).read_bytes()
    found = re.findall(rb"(?<![A-Za-z0-9_])health_check_[a-z_]+(?![A-Za-z0-9_])", content)
    return frozenset(name.decode() for name in found)
