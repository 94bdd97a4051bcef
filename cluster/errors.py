"""Every exception of `cluster`.

::

    ClusterError            exit code 2; str() is the whole message for the user
    |-- StorageError        a folder or bucket is not there, or may not be read or written
    |   |-- MissingError    it has no file of that name
    |   |-- TakenError      it has a file of that name and other content
    |   `-- LeaseError      another process has the right to write
    |-- TemplateError       cluster files cannot be made of the values given
    |-- LoginError          an address or a token that cannot be used; nothing was sent
    |-- JobError            a cluster refuses a job, or has none of that name
    |   `-- NameTakenError  it has one of that name already
    |-- ContactError        a cluster cannot be reached just now; what runs on it goes on
    `-- LostClusterError    a driver's own cluster is gone
"""

from trainables.files.errors import UserError


class ClusterError(UserError):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class StorageError(ClusterError):
    """A folder or a bucket cannot be read or written."""


class MissingError(StorageError):
    """A place has no file of a name."""


class TakenError(StorageError):
    """A place has a file of a name already, which is never changed, with other content."""


class LeaseError(StorageError):
    """Another process has the right to write at a place."""


class TemplateError(ClusterError):
    """Cluster files cannot be made from the values given."""


class LoginError(ClusterError):
    """An address or a token cannot be used."""


class JobError(ClusterError):
    """A cluster does not take a job, or does not have it."""


class NameTakenError(JobError):
    """A job of that name is there already."""


class ContactError(ClusterError):
    """A cluster does not answer; nothing follows from that for what runs on it."""


class LostClusterError(ClusterError):
    """The cluster that a driver runs on is gone."""
