"""The versions that a node runs with, held against those that a job was sent for."""

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_NAMED: Final = 4  # differences of packages that are named


@dataclass(frozen=True)
class Environment:
    """The versions of a Python process.

    Attributes:
        python: Version of Python.
        ray: Version of Ray.
        packages: Versions of the installed ones among the packages that are pinned.
    """

    python: str
    ray: str
    packages: Mapping[str, str]


def read_pins(constraints: str) -> dict[str, str]:
    r"""Versions of a constraints file by package.

    >>> read_pins("# tested\nray==2.60.0\nnumpy==2.4.1  # newest")
    {'ray': '2.60.0', 'numpy': '2.4.1'}
    """
    found = re.findall(r"^([\w.-]+)==([\w.+-]+)", constraints, re.MULTILINE)
    return dict(found)


def pins_hash(pins: Mapping[str, str]) -> str:
    """Short hash of a set of versions."""
    text = "\n".join(f"{name}=={pins[name]}" for name in sorted(pins))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def this_environment(names: Sequence[str]) -> Environment:
    """The versions of this process, of these packages."""
    found = {name: there for name in names if (there := _installed(name)) is not None}
    return Environment(platform.python_version(), _installed("ray") or "none", found)


def differences(there: Environment, wanted: Environment) -> list[str]:
    """What a node has otherwise than it is wanted; packages that it lacks are no difference.

    >>> wanted = Environment("3.11.7", "2.60.0", {"numpy": "2.4.1"})
    >>> differences(Environment("3.12.1", "2.60.0", {"numpy": "2.3.0"}), wanted)
    ['expected Python 3.11, got 3.12.1', 'expected numpy 2.4.1, got 2.3.0']
    """
    found = []
    if _minor(there.python) != _minor(wanted.python):
        found.append(f"expected Python {_minor(wanted.python)}, got {there.python}")
    if there.ray != wanted.ray:
        found.append(f"expected Ray {wanted.ray}, got {there.ray}")
    others = [
        f"expected {name} {wanted.packages[name]}, got {got}"
        for name, got in there.packages.items()
        if name != "ray" and got.partition("+")[0] != wanted.packages.get(name, got)
    ]
    more = [f"and {len(others) - _NAMED} packages more"] if len(others) > _NAMED else []
    return [*found, *others[:_NAMED], *more]


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
