"""What a job is sent with: its order, a JSON file in its package."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

ORDER: Final = "job/order.json"

FILE: Final = "job/asked.yaml"

CHECKED: Final = "all as the job needs them"
"""Ends the line of a job's log after which its work starts."""

COMMAND: Final = ("python", "-m", "tune.job.entry")
"""Command of every job, before its verb."""

CHECK: Final = "check"
"""Verb of the job that only looks whether a study could run."""

RECEIVE: Final = "receive"
"""Verb of the job that takes data."""

READY: Final = "ready to take data"
"""What that job says when data may be sent to it."""

Kind = Literal["study", "measure", "retrain", "confirm"]


@dataclass(frozen=True)
class Place:
    """A file or a folder that every node must have.

    Attributes:
        key: Key of the file it stands in: "data", "fixed.model".
        path: Place on the nodes, absolute.
        fingerprint: Fingerprint of the data set, or hash of the file, where it was sent from; ""
            where it is not there: the nodes must then agree among each other.
    """

    key: str
    path: str
    fingerprint: str = ""


@dataclass(frozen=True)
class Order:
    """What is to be done, and what it needs.

    Attributes:
        kind: What `FILE` is: a study, a measurement, a training or a race that is asked for.
        name: Name of the job.
        python: Version of Python where it was sent from.
        ray: Version of Ray there.
        places: Files and folders that every node must have.
        module: Module that its workers import.
        engine: Engine that trains or finds; "" where that is not known.
        keep_alive: Times that a driver that died is started again.
        any_versions: Whether other versions of packages than the tested ones are let pass.
    """

    kind: Kind
    name: str
    python: str
    ray: str
    module: str
    places: tuple[Place, ...] = ()
    engine: str = ""
    keep_alive: int = 0
    any_versions: bool = False

    def text(self) -> str:
        """The order as its file has it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def read_order(folder: Path) -> Order:
    """The order of the package that is unpacked in a folder."""
    written: Mapping[str, Any] = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    places = tuple(Place(**place) for place in written["places"])
    return Order(**{**written, "places": places})
