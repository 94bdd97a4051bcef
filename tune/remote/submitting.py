"""Studies and measurements sent to a cluster as jobs, from any machine."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from analysis.measure.asked import KEYS, asked_values
from cluster.errors import JobError, NameTakenError
from cluster.jobs.cluster import Cluster
from cluster.jobs.following import Starting, follow
from cluster.jobs.job import Job, checked_name, labels
from cluster.jobs.package import content_hash, packed
from cluster.storage.opening import is_address
from trainables.datasets.prepared import PreparedDataset, picture_names
from tune.datasets.copies import pictures_at
from tune.job.checks import fingerprint
from tune.job.order import CHECKED, COMMAND, FILE, ORDER, Order, Place
from tune.mirror.mirror import mirror_address
from tune.plan.planning import check_draft, read_draft
from tune.remote.beside import own_words
from tune.remote.shipping import Shipment, ship, shipment_of
from tune.remote.travelling import (
    MEASURING,
    TRIAL,
    roots_of_measurement,
    roots_of_race,
    roots_of_study,
    roots_of_training,
)
from tune.study.file import FILE_KEYS, Written, read_study_file, read_yaml_file, write_yaml
from tune.study.problems import study_error

DEFAULT_STORAGE: Final = "~/studies"
"""Folder of the studies where a study file names none, on the cluster's head."""

MIRROR: Final = "mirror"
"""Key of a job's metadata that has the address of its study's mirror."""

_CLUSTERS_OWN: Final = frozenset(("resources", "storage", "warm_start.best"))
"""Keys that hold for the cluster: what is wrong with them is told there."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """How a job is wanted.

    Attributes:
        name: Name of the job; None for the study's, or the file's.
        keep_alive: Times that a driver that died is started again.
        any_versions: Whether other versions of packages than the tested ones are let pass.
        send_data: Whether the data set of this machine is sent to where the nodes find it.
        to: gs://BUCKET/FOLDER that it is sent to; None for the study's storage.
    """

    name: str | None = None
    keep_alive: int = 0
    any_versions: bool = False
    send_data: bool = False
    to: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a file asks for, checked as far as this machine can.

    Attributes:
        named: What the user named: a file. Messages begin with it.
        order: What the job needs.
        text: The file, with its overrides and with absolute places.
        directory: Folder that the job writes.
        mirror: Address of the study's mirror; "" for none.
        shipment: Data that is sent before it; None for none.
        data: Data set that its nodes fetch from a bucket, where this machine can open it.
    """

    named: str
    order: Order
    text: str
    directory: str
    mirror: str = ""
    shipment: Shipment | None = None
    data: PreparedDataset | None = None

    def fetched(self) -> Iterator[str]:
        """A line about the data set that each node fetches.

        Raises:
            DatasetError: Its bucket lacks some of it.
        """
        for place in self.order.places:
            if place.key == "data" and is_address(place.path) and self.data is not None:
                pictures = pictures_at(place.path, picture_names(self.data))
                yield f"data: {place.path}, {pictures}; each node fetches them once"

    @property
    def files(self) -> dict[str, bytes]:
        """What travels beside the code."""
        return {ORDER: self.order.text().encode(), FILE: self.text.encode()}

    @property
    def places(self) -> dict[str, str]:
        """Where to find what the job writes."""
        return {"directory": self.directory, **({MIRROR: self.mirror} if self.mirror else {})}

    @property
    def roots(self) -> tuple[str, ...]:
        """What the job begins with."""
        of_kind: Mapping[str, Callable[[str], tuple[str, ...]]] = {
            "study": roots_of_study,
            "measure": roots_of_measurement,
            "retrain": roots_of_training,
            "confirm": roots_of_race,
        }
        return of_kind[self.order.kind](self.order.engine)


def submit(asked: Asked, cluster: Cluster, tell: Tell) -> tuple[Job, bool]:
    """Send what is asked for to a cluster, or find the job that does it already.

    Args:
        asked: What is asked for.
        cluster: Where to.
        tell: Takes what is to be known on the way.

    Returns:
        The job, and whether it was sent by this call.

    Raises:
        JobError: The name is another job's, or the cluster does not take it.
        DatasetError: Data in a bucket are not all there.
        StorageError: Data cannot be sent to a bucket.
    """
    name, content = asked.order.name, content_hash({FILE: asked.text.encode()})
    latest = cluster.latest(name)
    if latest is not None and _is_a_study(latest.kind) != _is_a_study(asked.order.kind):
        raise JobError(
            f"{asked.named}: expected a name of its own, got {name}, which on this cluster is that "
            f"of a job of kind {latest.kind}; --name gives this one, of kind {asked.order.kind}, "
            "another"
        )
    if latest is not None and not latest.ended:
        return _attached(latest, content, asked.named), False
    if asked.shipment is not None:
        ship(cluster, asked.shipment, tell)
    for line in asked.fetched():
        tell(line)
    if latest is not None and (line := _elsewhere(latest, asked)):
        tell(line)
    attempt = 1 if latest is None else latest.attempt + 1
    with packed(asked.files, asked.roots) as package:
        tell(package.line())
        try:
            cluster.submit(
                name,
                attempt,
                [*COMMAND, "keep" if asked.order.keep_alive else "run"],
                labels(name, asked.order.kind, content, engine=asked.order.engine, **asked.places),
                package.path,
            )
        except NameTakenError:  # by another `submit`, just now
            return _attached(cluster.named(name), content, asked.named), False
    return cluster.named(name), True


def wait_until_begun(cluster: Cluster, job: Job, tell: Tell) -> Job:
    """Wait until a job's nodes are checked and its work begins.

    Raises:
        JobError: It ended before that; with what it said.
    """
    said: list[str] = []
    job = follow(cluster, job, said.append, tell, lambda log: CHECKED in log, Starting(cluster))
    log = "".join(said)
    if CHECKED in log:
        tell(next(line for line in log.splitlines() if CHECKED in line))
        return job
    raise JobError(own_words(log) or job.message or f"{job.name}: ended without a word")


def _elsewhere(before: Job, asked: Asked) -> str:
    """A line on a job whose results go to another folder than before, where it begins anew."""
    folder = before.metadata.get("directory", "")
    if not folder or folder == asked.directory:
        return ""
    return (
        f"note: {asked.order.name} wrote to {folder} before and does not go on with that: "
        f"this one writes to {asked.directory}"
    )


def _is_a_study(kind: str) -> bool:
    """Whether a job is a study's, as a race is; what follows one in its name goes on with it."""
    return kind in ("study", "confirm")


def _attached(job: Job, content: str, named: str) -> Job:
    """A running job, if it does what was asked for.

    Raises:
        JobError: It does something else.
    """
    if job.content == content:
        return job
    raise JobError(
        f"{named}: expected what job {job.name} was sent with, as it is running, got "
        f"another; `segtune stop {job.name}` ends it, or --name gives this one another name"
    )


# --- what is asked for
def read_asked(file: Path, wishes: Wanted, overrides: Sequence[str]) -> Asked:
    """What a file asks for; no cluster is asked for it.

    Args:
        file: A study file, or the file of a measurement.
        wishes: How it is wanted.
        overrides: Keys of the file to override.

    Raises:
        StudyError: The study as written cannot be run anywhere.
        MeasureError: The measurement as written cannot be.
        JobError: No job can have its name, or what is to be sent is not here.
    """
    written = read_yaml_file(file, overrides, "study")
    if KEYS & written.values.keys():
        return _measurement(file, wishes, overrides)
    return _study(file, wishes, overrides)


def _study(file: Path, wishes: Wanted, overrides: Sequence[str]) -> Asked:
    """A study: all of it that this machine can check is right."""
    written = read_study_file(file, overrides)
    draft = read_draft(file, overrides)
    checked = check_draft(draft)
    here = Path(str(written.values.get("data", ""))).is_dir()
    here = here or any(p.key == "data" for p in draft.problems)  # no place of data anywhere
    problems = [p for p in checked.problems if not _is_the_clusters(p.key, data_here=here)]
    if problems:
        raise study_error(draft.name, problems, draft.places)
    values = {"storage": DEFAULT_STORAGE, **written.values}
    place = Place("data", str(values["data"]), checked.data.fingerprint if checked.data else "")
    shipment = None
    if wishes.send_data:
        if checked.data is None or is_address(place.path):
            raise JobError(
                f"--send-data: expected a prepared data set on this machine, found none: "
                f"{place.path}"
            )
        shipment = shipment_of(checked.data, Path(place.path), wishes.to or str(values["storage"]))
        place = shipment.place
        values["data"] = place.path
    order = Order(
        kind="study",
        name=checked_name(wishes.name or draft.study.study),
        python=platform.python_version(),
        ray=version("ray"),
        module=TRIAL,
        places=(place, *_files(written)),
        engine=draft.study.trainable,
        keep_alive=wishes.keep_alive,
        any_versions=wishes.any_versions,
    )
    directory = f"{values['storage']}/{draft.study.study}"
    return Asked(
        str(file),
        order,
        write_yaml(values),
        directory,
        mirror_address(draft.study),
        shipment,
        checked.data,
    )


def _is_the_clusters(key: str, *, data_here: bool) -> bool:
    """Whether a problem with a key of a study is none of this machine's."""
    top = key.partition(".")[0]
    return key in _CLUSTERS_OWN or top in _CLUSTERS_OWN or (top == "data" and not data_here)


def _files(written: Written) -> Iterator[Place]:
    """Files that a study names, such as weights; they do not travel."""
    for key in FILE_KEYS:
        for name, value in _texts(key, written.values.get(key)):
            path = Path(value)
            if path.is_absolute() and path.is_file():
                yield Place(name, value, fingerprint(path))


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    items = value.items() if isinstance(value, dict) else ()
    for name, inner in [*items, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from _texts(f"{key}.{name}", inner)


def _measurement(file: Path, wishes: Wanted, overrides: Sequence[str]) -> Asked:
    if wishes.send_data:
        raise JobError(
            "--send-data: expected a study; pictures of a measurement are not sent: put them on a "
            "disk that every node sees"
        )
    values = asked_values(file, overrides)
    named = [("images", place) for place in values["images"] if "*" not in place]
    named += [("model", place) for place in values["model"]]
    places = (
        Place(_numbered(named, n), path, "" if is_address(path) else fingerprint(Path(path)))
        for n, (_, path) in enumerate(named)
    )
    order = Order(
        kind="measure",
        name=checked_name(wishes.name or file.stem),
        python=platform.python_version(),
        ray=version("ray"),
        module=MEASURING,
        places=tuple(places),
        engine=values.get("trainable") or "",
        keep_alive=wishes.keep_alive,
        any_versions=wishes.any_versions,
    )
    return Asked(str(file), order, write_yaml(values), str(values["out"]))


def _numbered(named: Sequence[tuple[str, str]], n: int) -> str:
    """Key of a place: that of its list, and its number there after the first one."""
    key = named[n][0]
    before = sum(name == key for name, _ in named[:n])
    return f"{key}.{before}" if before else key
