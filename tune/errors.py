"""Every exception of `tune`.

::

    TuneError               exit code 2; str() is the whole message for the user
    |-- StudyError          the study file, its overrides or its data: nothing was started
    |-- StoreError          a study directory cannot be read, or is in use
    |-- DriverError         the study could not be run on this machine
    |-- TrackingError       Weights & Biases does not take a study's runs
    |-- BestConfigError     a best.yaml cannot be read
    `-- UsageError          the command line
"""

import shlex
from pathlib import Path

from trainables.files.errors import UserError


class TuneError(UserError):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class StudyError(TuneError):
    """The study as written cannot be started."""


class StoreError(TuneError):
    """A study directory is missing, damaged, or in use by a living driver."""


class DriverError(TuneError):
    """This machine or cluster cannot run the study."""


def no_room(study_dir: Path, what: str) -> DriverError:
    """A study's disk is full; `what` happened says so."""
    return DriverError(
        f"{what}: expected room for its files in {study_dir}; make some, then "
        f"`segtune resume {shlex.quote(str(study_dir))}` goes on"
    )


def changed_data(study_dir: Path, what: str) -> DriverError:
    """The data set of a study is not as it was prepared; `what` happened says so."""
    return DriverError(
        f"{what.rstrip('.')}. With the pictures as they were, "
        f"`segtune resume {shlex.quote(str(study_dir))}` goes on; with others, begin another study"
    )


def unprepared_node(study_dir: Path, what: str) -> DriverError:
    """A node of the cluster lacks what trials run on; `what` happened says so."""
    return DriverError(
        f"{what}; expected the same segtune, with the engine's packages, on every node. Install it "
        f"there, or keep trials away by resources.labels; then "
        f"`segtune resume {shlex.quote(str(study_dir))}` goes on"
    )


class TrackingError(TuneError):
    """Weights & Biases cannot be reached, or does not take a run."""


class UsageError(TuneError):
    """A verb, an argument or an option that there is not, or that cannot be."""


class BestConfigError(TuneError):
    """A best configuration is missing, damaged or invalid."""
