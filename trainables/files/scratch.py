"""Temporary folders: what a killed process leaves is removed when the next one is made."""

import os
import platform
import re
import shutil
import tempfile
from pathlib import Path


def make_scratch(kind: str, parent: Path | None = None) -> Path:
    """A new folder for this process alone; those of its kind whose process is gone are removed.

    Args:
        kind: Purpose, in the folder's name.
        parent: Folder to make it in; default: the temporary folder.
    """
    place = parent or Path(tempfile.gettempdir())
    host = re.sub(r"[^A-Za-z0-9.]", "", platform.node())  # other containers may share the place
    prefix = f"segtune-{kind}-{host}-"
    for left in place.glob(f"{prefix}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
