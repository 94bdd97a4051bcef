"""Trainings of a best configuration, and races between a study's best, asked of a cluster."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from analysis.models.confirmed import SUFFIXES
from cluster.errors import JobError
from cluster.jobs.cluster import Cluster
from cluster.jobs.job import checked_name
from tune.best.file import load_best
from tune.job.asked import ConfirmAsked, RetrainAsked
from tune.job.order import Kind, Order
from tune.remote.submitting import Asked
from tune.remote.travelling import TRAINING, TRIAL

_MARKS: Final = ("/", "~")
"""What a place on the cluster begins with, and no name of a job."""


@dataclass(frozen=True)
class StudyThere:
    """A study on a cluster.

    Attributes:
        directory: Its directory there.
        engine: Its engine; "" where that is not known here.
    """

    directory: str
    engine: str = ""

    @property
    def name(self) -> str:
        """Its name."""
        return self.directory.rstrip("/").rpartition("/")[2]


def study_there(cluster: Cluster, named: str) -> StudyThere:
    """The study on a cluster that is named by its job, or by its directory there.

    Raises:
        JobError: There is no such job, or it is none of a study.
    """
    if named.startswith(_MARKS):
        return StudyThere(named)
    job = cluster.named(named)
    if job.kind not in ("study", "confirm"):
        raise JobError(f"{named}: expected the job of a study, got one of kind {job.kind}")
    return StudyThere(job.metadata["directory"], job.metadata.get("engine", ""))


def confirm_asked(study: StudyThere, wanted: ConfirmAsked, name: str | None) -> Asked:
    """A race that is asked for, as a job.

    Args:
        study: The study whose best race.
        wanted: How they race.
        name: Name of the job; None for that of the race's study.
    """
    race = f"{study.name}{SUFFIXES[wanted.resplit]}"
    directory = f"{study.directory.rstrip('/').rpartition('/')[0]}/{race}"
    order = _order("confirm", checked_name(name or race), study.engine)
    return Asked(f"confirm {study.name}", order, wanted.model_dump_json(), directory)


def retrain_asked(source: Path | StudyThere, wanted: RetrainAsked, name: str | None) -> Asked:
    """A training that is asked for, as a job.

    Args:
        source: A `best.yaml`, its folder or a study directory of this machine; or a study there.
        wanted: How it is trained, without the configuration.
        name: Name of the job; None for that of its study, with "-retrain".

    Raises:
        BestConfigError: As for `load_best`.
    """
    if isinstance(source, StudyThere):
        of, engine = source.name, source.engine
        whole = wanted.model_copy(update={"study": source.directory})
    else:
        best = load_best(source)
        of, engine = best.source.study, best.engine
        whole = wanted.model_copy(update={"best": best})
    order = _order("retrain", checked_name(name or f"{of}-retrain"), engine)
    return Asked(f"retrain {of}", order, whole.model_dump_json(), wanted.out)


def _order(kind: Kind, name: str, engine: str) -> Order:
    return Order(
        kind=kind,
        name=name,
        python=platform.python_version(),
        ray=version("ray"),
        module=TRAINING if kind == "retrain" else TRIAL,
        engine=engine,
    )
