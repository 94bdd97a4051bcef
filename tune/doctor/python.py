"""Versions that this Python has installed, and code tried in a process of its own."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def try_python(code: str) -> str:
    """Try some Python in a process of its own, and return the error; empty if there is none."""
    try:
        done = run_python(code, timeout_s=60)
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    return last_line(done.stderr) if done.returncode else ""


def run_python(code: str, *arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """Run some Python in a process of its own.

    Args:
        code: Program to run.
        arguments: Arguments of the program.
        timeout_s: Longest time it may take.

    Raises:
        subprocess.TimeoutExpired: It takes longer.
    """
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def last_line(text: str) -> str:
    """Last line of a program's messages, which says what went wrong."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
