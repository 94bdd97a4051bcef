"""Places that a user names for files to be written: whether they can be, asked before any work."""

import os
import tempfile
from pathlib import Path
from typing import Final

_LONGEST_NAME: Final = 255 - 40
"""Bytes of a name that leave room for the hidden ones under which files are made."""

_LONGEST_PATH: Final = 4095 - 255


def why_not_writable(place: Path, *, folder: bool) -> str:
    """Reason why nothing can be written at a place, or "".

    The nearest folder that is there is written to and left as it was: some, such as those below
    /proc, refuse without saying so before.

    Args:
        place: The file or folder to make, or to replace.
        folder: Whether it is to be a folder.
    """
    place = place.absolute()
    if "\0" in str(place):
        return "the name has a null character"
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in place.parts):
        return "the name is too long"
    if len(os.fsencode(place)) > _LONGEST_PATH:
        return "the path is too long"
    try:
        return _why_not(place, folder=folder)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


def _why_not(place: Path, *, folder: bool) -> str:
    there = next(path for path in (place, *place.parents) if _is_there(path))
    if there == place and place.is_dir() != folder:
        return "there is a file of this name" if folder else "it is a folder"
    if there != place and not there.is_dir():
        return f"{there} is a file"
    if not os.access(there, os.W_OK):
        return f"{there} may not be written to"
    if there.is_dir() and (made := _cannot_make(there)):
        return f"{there} may not be written to ({made})"
    return ""


def _is_there(path: Path) -> bool:
    """Whether something is at a path; a link that leads nowhere, or in a circle, is refused."""
    if not os.path.lexists(path):
        return False
    path.stat()
    return True


def _cannot_make(there: Path) -> str:
    """Reason of the system why nothing can be made in a folder, or ""."""
    try:
        Path(tempfile.mkdtemp(prefix=".segtune-", dir=there)).rmdir()
    except OSError as error:
        return str(error.strerror)
    return ""
