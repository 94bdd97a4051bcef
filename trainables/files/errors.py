"""The ground of every message to the user.

::

    UserError               exit code 2; str() is the whole message for the user
    `-- FolderError         a folder cannot be made, or another process is making it
"""


class UserError(Exception):
    """A mistake or a state that the user can mend; the message says what, where and how."""


class FolderError(UserError):
    """A folder cannot be written, or another process is writing it just now."""
