"""Every exception of `cluster`.

::

    ClusterError            exit code 2; str() is the whole message for the user
    |-- StorageError        a folder or bucket is not there, or may not be read or written
    `-- TemplateError       cluster files cannot be made of the values given
"""

from trainables.files.errors import UserError


class ClusterError(UserError):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class StorageError(ClusterError):
    """A folder or a bucket cannot be read or written."""


class TemplateError(ClusterError):
    """Cluster files cannot be made from the values given."""
