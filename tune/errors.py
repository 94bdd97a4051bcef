"""Every exception of `tune`.

::

    TuneError               exit code 2; str() is the whole message for the user
    |-- StudyError          the study file, its overrides or its data: nothing was started
    |-- StoreError          a study directory cannot be read, or is in use
    |-- DriverError         the study could not be run on this machine
    `-- UsageError          the command line
"""


class TuneError(Exception):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class StudyError(TuneError):
    """The study as written cannot be started."""


class StoreError(TuneError):
    """A study directory is missing, damaged, or in use by a living driver."""


class DriverError(TuneError):
    """This machine or cluster cannot run the study."""


class UsageError(TuneError):
    """A verb, an argument or an option that there is not, or that cannot be."""
