"""Provenance of a study: versions of packages, commit of the code."""

import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from trainables.contract import Framework

_BEFORE: Final = ("segtune", "ray", "optuna")
_AFTER: Final = ("numpy", "opencv-python", "pycocotools", "pydantic", "wandb")


def package_versions(frameworks: Iterable[Framework]) -> dict[str, str]:
    """Installed versions of the packages that decide what a study computes, by distribution.

    Args:
        frameworks: Packages that the study's engine trains with.
    """
    found = {}
    for name in (*_BEFORE, *(framework.distribution for framework in frameworks), *_AFTER):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str:
    """The commit of this code, "-dirty" appended where it was changed; "" where git has none."""
    here = Path(__file__)
    if not _git(here.parent, "ls-files", here.name):
        return ""
    return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str:
    """Output of a git command, or "" where git is not installed or has nothing to say."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=1, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
