"""Verbs of this machine that run on a cluster where --address names one: retrain, confirm."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tune.cli.jobs.options import the_cluster
from tune.cli.jobs.sending import send_job
from tune.cli.options import options_given
from tune.errors import UsageError

_FILES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class There:
    """A cluster as a verb names it, and how its job is wanted.

    Attributes:
        address: URL of its dashboard.
        insecure: Whether token and data go by plain http to another machine.
        name: Name of the job; None for the one that it has by itself.
        follow: Whether its log is shown until it ends.
    """

    address: str
    insecure: bool
    name: str | None
    follow: bool


def retrain_there(best: str | None, asked: Mapping[str, Any], there: There) -> None:
    """Train a configuration of this machine, or that of a study on a cluster, as a job."""
    from tune.job.asked import RetrainAsked  # slow: numpy
    from tune.remote.training import retrain_asked, study_there  # slow: numpy

    if best is None:
        raise UsageError("retrain: --address: expected BEST.yaml or the name of a study, got none")
    out, data = str(asked["out"]), asked["data"]
    wanted = RetrainAsked.model_validate(
        {
            **asked,
            "out": out if out.startswith("gs://") else str(Path(out).expanduser().absolute()),
            "data": data,
        }
    )
    file = Path(best)
    if file.exists() or file.suffix in _FILES:
        made = retrain_asked(file, wanted, there.name)  # before any cluster is asked
        cluster = the_cluster(there.address, there.insecure)
    else:
        cluster = the_cluster(there.address, there.insecure)
        made = retrain_asked(study_there(cluster, best), wanted, there.name)
    send_job(made, cluster, follow=there.follow)


def confirm_there(study: str, options: Mapping[str, Any], there: There) -> None:
    """Race the best of a study on a cluster, as a job."""
    from tune.job.asked import ConfirmAsked  # slow: numpy
    from tune.remote.training import confirm_asked, study_there  # slow: numpy

    cluster = the_cluster(there.address, there.insecure)
    found = study_there(cluster, study)
    wanted = ConfirmAsked.model_validate({"study": found.directory, **options})
    send_job(confirm_asked(found, wanted, there.name), cluster, follow=there.follow)


def refuse_beside_address(verb: str, options: Mapping[str, object]) -> None:
    """Refuse options that mean nothing on a cluster.

    Raises:
        UsageError: One was given.
    """
    if given := options_given(options):
        raise UsageError(f"{verb}: {given[0]}: expected none beside --address, got one")


def refuse_without_address(verb: str, options: Mapping[str, object]) -> None:
    """Refuse options that mean nothing without a cluster.

    Raises:
        UsageError: One was given.
    """
    if given := options_given(options):
        raise UsageError(f"{verb}: {given[0]}: expected --address beside it, got none")
