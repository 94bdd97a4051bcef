"""Set this checkout up: a virtual environment in `.venv` with the tested set of packages.

    make setup            (which runs: python3.11 tools/set_up.py)

Needs nothing but Python 3.11 or later; may run again and again. Run as root on Debian or Ubuntu it
also installs the system libraries that opencv needs; as anybody else it names them.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPENCV_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
}


class SetupError(Exception):
    """The environment is not complete; the message says why and what to do."""


def missing_packages(libraries: dict[str, str]) -> list[str]:
    """The Debian packages of those shared libraries that cannot be loaded.

    Args:
        libraries: Library name to Debian package.
    """
    return [package for name, package in libraries.items() if not _loads(name)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def apt_install(packages: Sequence[str]) -> bool:
    """Install Debian packages; False where that is not possible or not allowed."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    )
    return all(
        subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode
        == 0
        for command in commands
    )


def provide_libraries() -> None:
    """Install what opencv needs of the system, or say what is missing; never fails."""
    missing = missing_packages(OPENCV_LIBRARIES)
    if not missing or apt_install(missing):
        return
    print(
        f"      opencv needs system libraries that this machine lacks; an administrator installs "
        f"them with: apt-get install {' '.join(missing)}\n"
        "      (setting up goes on; `segtune doctor` says whether they are there)"
    )


def provide_browser() -> None:
    """Install the browser in which tests open pages, where that may be done; never fails."""
    if any(map(shutil.which, ("chromium", "chromium-browser"))) or apt_install(["chromium"]):
        return
    print("      no chromium, and none can be installed: tests that open pages are skipped")


def create_environment(folder: Path) -> None:
    """Make a virtual environment that runs; one that works already is kept.

    Raises:
        SetupError: This Python cannot make one.
    """
    if _pip_works(folder):
        return
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode and apt_install([_venv_package()]):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise SetupError(
            f"expected {sys.executable} -m venv to work, got: {_last(made.stdout + made.stderr)}\n"
            f"On Debian or Ubuntu an administrator installs it with: "
            f"apt-get install {_venv_package()}"
        )


def _pip_works(folder: Path) -> bool:
    python = folder / "bin" / "python"
    command = [str(python), "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"]
    return python.exists() and subprocess.run(command, check=False).returncode == 0


def _venv_package() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


def install_packages(python: Path) -> None:
    """Install the package itself, editable, and everything it uses, at the pinned versions.

    Raises:
        SetupError: pip could not; its own words are shown.
    """
    command = [str(python), "-m", "pip", "install", "-qq", "--no-input", "--progress-bar", "off"]
    arguments = ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[all,dev]"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(
            f"pip could not install the pinned packages: {_last(done.stderr)}\n"
            "Is a package registry reachable, and are 10 GB free?"
        )


def install_detectron2(python: Path) -> None:
    """Run the tool that installs detectron2.

    Raises:
        SetupError: It could not; its own words are shown.
    """
    tool = ROOT / "tools" / "install_detectron2.py"
    done = subprocess.run([str(python), str(tool)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(_last(done.stderr))
    print(f"      {done.stdout.strip()}")


def _last(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:]) or "no message"


def main() -> int:
    """Set up; returns the exit code."""
    folder = ROOT / ".venv"
    python = folder / "bin" / "python"
    steps = (
        ("system libraries", provide_libraries),
        ("virtual environment .venv", lambda: create_environment(folder)),
        ("packages, pinned (7 GB on disk; some minutes)", lambda: install_packages(python)),
        ("a browser for the tests of pages, if it can be had", provide_browser),
        ("detectron2", lambda: install_detectron2(python)),
    )
    for number, (what, step) in enumerate(steps, start=1):
        print(f"[{number}/{len(steps)}] {what}", flush=True)
        started = time.monotonic()
        try:
            step()
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 2
        print(f"      {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
