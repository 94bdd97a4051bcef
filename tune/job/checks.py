"""Checks of every node before anything of a job starts: versions, code, data, a shared folder."""

import contextlib
import hashlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Final

from cluster.errors import JobError, StorageError
from cluster.jobs.environment import Environment, differences, read_pins, this_environment
from cluster.jobs.nodes import Answer, why_no_import
from cluster.storage.opening import is_address, open_files
from trainables.datasets.layout import DatasetError
from tune.datasets.copies import fingerprint_at
from tune.job.order import Order, Place

SECRETS: Final = ("WANDB_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
"""Variables of the nodes' own environment that studies use; their values are never looked at."""

_MANIFEST: Final = "dataset.json"

_PATIENCE_S: Final = 20.0
"""Time in which a question to a bucket is tried again."""


@dataclass(frozen=True)
class Question:
    """What a node is asked.

    Attributes:
        packages: Packages whose versions are wanted.
        module: Module that must be importable.
        distributions: Packages that must be installed.
        places: Files and folders that it must have.
        proof: File that it must see: the folder it lies in is shared; "" for none.
    """

    packages: tuple[str, ...]
    module: str
    distributions: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    proof: str = ""


@dataclass(frozen=True)
class Findings:
    """What a node has.

    Attributes:
        environment: Its versions.
        trouble: Why the module cannot be imported; "" where it can.
        lacking: Packages that must be installed and are not.
        fingerprints: Fingerprint of each place by its key; "" where there is nothing.
        reasons: Why that of a place in a bucket is not known, by its key.
        sees_proof: Whether it sees the file.
        secrets: Names of the secrets that it has.
    """

    environment: Environment
    trouble: str = ""
    lacking: tuple[str, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    sees_proof: bool = True
    secrets: tuple[str, ...] = ()


def look(question: Question) -> Findings:
    """What this node has; runs in a worker of the job."""
    trouble = ""
    try:
        importlib.import_module(question.module)
    except ImportError as error:
        trouble = why_no_import(error)
    prints, reasons = _fingerprints(question.places)
    return Findings(
        environment=this_environment(question.packages),
        trouble=trouble,
        lacking=tuple(name for name in question.distributions if not _is_installed(name)),
        fingerprints=prints,
        reasons=reasons,
        sees_proof=not question.proof or Path(question.proof).is_file(),
        secrets=tuple(name for name in SECRETS if os.environ.get(name)),
    )


def _fingerprints(places: Sequence[Place]) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprints of places by their keys, and why some of them are not known."""
    found, reasons = dict[str, str](), dict[str, str]()
    for place in places:
        try:
            if not is_address(place.path):
                found[place.key] = fingerprint(Path(place.path))
            elif place.key == "data":
                found[place.key] = fingerprint_at(place.path)
            else:
                found[place.key] = _listed(place.path)
        except (DatasetError, StorageError) as error:
            found[place.key], reasons[place.key] = "", str(error)
    return found, reasons


def _listed(address: str) -> str:
    """What tells the files of a bucket's folder, or of the folder around a file, from others."""
    folder = address.rpartition("/")[0] if PurePosixPath(address).suffix else address
    listed = open_files(folder, _PATIENCE_S).listed()
    return hashlib.sha256(repr(sorted(listed.items())).encode()).hexdigest()[:16]


def fingerprint(path: Path) -> str:
    """What tells a data set, a file or a folder from another; "" where there is nothing."""
    path = path.expanduser()
    with contextlib.suppress(OSError, ValueError, KeyError):
        if (path / _MANIFEST).is_file():
            return str(json.loads((path / _MANIFEST).read_text("utf-8"))["fingerprint"])
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return "a folder" if path.is_dir() else ""
    return ""


def tested_versions(folder: Path) -> dict[str, str]:
    """Versions that the code was tested with, from the constraints beside it."""
    file = folder / "constraints.txt"
    return read_pins(file.read_text(encoding="utf-8")) if file.is_file() else {}


def refuse_other_nodes(
    order: Order, pins: Mapping[str, str], answers: Sequence[Answer[Findings]]
) -> None:
    """Refuse to start where a node is not as the job needs it; all that is wrong at once.

    Raises:
        JobError: With a line for each node and what it lacks.
    """
    lines = [f"  {node}: {what}" for node, what in _problems(order, pins, answers)]
    if lines:
        raise JobError("\n".join([f"{order.name}: nothing was started", *dict.fromkeys(lines)]))


def _problems(
    order: Order, pins: Mapping[str, str], answers: Sequence[Answer[Findings]]
) -> Iterator[tuple[str, str]]:
    wanted = Environment(order.python, order.ray, {} if order.any_versions else pins)
    places = {place.key: place for place in order.places}
    expected = {place.key: place.fingerprint for place in order.places}
    for answer in answers:
        if answer.value is None:
            yield answer.node, answer.problem
            continue
        for key, there in answer.value.fingerprints.items():
            expected[key] = expected[key] or there
            if reason := answer.value.reasons.get(key):
                yield answer.node, f"{key}: {reason}"
            elif problem := _other_place(places[key], there, expected[key]):
                yield answer.node, problem
        yield from ((answer.node, what) for what in _lacking(order, answer.value, wanted))


def _lacking(order: Order, found: Findings, wanted: Environment) -> Iterator[str]:
    """What a node lacks besides places."""
    if others := differences(found.environment, wanted):
        yield "; ".join(others) + _REMEDY
    if found.trouble:
        yield f"{found.trouble}{_REMEDY}"
    if found.lacking:
        names = ", ".join(found.lacking)
        yield f"{order.engine} needs {names}, which is not installed{_REMEDY}"
    if not found.sees_proof:
        yield _NOT_SHARED


_REMEDY: Final = ". Nodes are built from constraints.txt; see docs/jobs.md"

_NOT_SHARED: Final = (
    "storage: expected a folder that every node sees, as trials write there from all of them, got "
    "one that only the head sees; --set storage=PLACE names one on a shared disk"
)


def _other_place(place: Place, there: str, expected: str) -> str:
    """What is wrong with a place on a node; "" for nothing."""
    if there and there == expected:
        return ""
    got = f"another ({there[:12]})" if there else "none"
    wanted = f" ({expected[:12]})" if expected else ""
    if is_address(place.path):
        return (
            f"{place.key}: expected {place.path} to be the data set{wanted} that this machine and "
            f"the other nodes see there, {got.replace('another', 'got another')}; put each data "
            "set at an address of its own"
        )
    sent = ", or --send-data sends it to the storage" if place.key == "data" else ""
    return (
        f"{place.key}: expected {place.path}{wanted} as the other nodes and this machine have it, "
        f"got {got}; put it on a disk that every node sees, and --set {place.key}=PLACE "
        f"names it there{sent}"
    )


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
