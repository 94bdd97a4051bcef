"""`segtune` as a user starts it: in a process of its own, from any folder."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT


def segtune(
    folder: Path, *arguments: str, timeout_s: float = 300, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        folder: Where the user is.
        arguments: After `segtune`.
        timeout_s: For the command to end.
        environment: Variables to set.
    """
    return subprocess.run(
        [sys.executable, "-m", "tune.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
