"""The Dockerfile of the image that every node runs, from the constraints file of a checkout."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import TemplateError

CONSTRAINTS: Final = "constraints.txt"

_FILES: Final = "pyproject.toml constraints.txt README.md LICENSE segtune.py"

_FOLDERS: Final = (
    "analysis",
    "cluster",
    "search_spaces",
    "segtune-stubs",
    "tools",
    "trainables",
    "tune",
)

_SYSTEM: Final = "wget rsync git libgl1 libglib2.0-0 libxcb1"
"""KubeRay's probes need wget, Ray's launcher rsync, OpenCV the libraries."""

_COMPILER: Final = "build-essential"


@dataclass(frozen=True)
class Packages:
    """The pinned packages of a checkout.

    Attributes:
        checkout: Folder of the sources, from which the image is built.
        ray: Version of Ray.
        sha256: Hash of the constraints file.
    """

    checkout: Path
    ray: str
    sha256: str


def pinned_packages(checkout: Path) -> Packages:
    """Read the constraints file of a checkout.

    Raises:
        TemplateError: There is none, or it does not pin Ray.
    """
    path = checkout / CONSTRAINTS
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TemplateError(
            f"{path}: expected the constraints file of a checkout of segtune, from which the image "
            f"is made: {error.strerror}; run `segtune cluster render` of a checkout"
        ) from error
    pinned = re.search(r"^ray==(\S+)$", text, re.MULTILINE)
    if pinned is None:
        raise TemplateError(f"{path}: expected a line ray==VERSION, found none")
    return Packages(checkout, pinned[1], hashlib.sha256(text.encode()).hexdigest())


def dockerfile(packages: Packages, python: str, extra: str, image: str, path: Path) -> str:
    """The Dockerfile of an image.

    Args:
        packages: The pinned packages.
        python: Version of Python, as the driver has it.
        extra: Extra of segtune with the engine's framework; "" for none.
        image: Name that the image gets.
        path: Where the Dockerfile will stand.
    """
    compiled = extra in ("mask-rcnn", "all")
    extras = ",".join(name for name in (extra, "measure") if name)
    lines = [
        "# The image of every node, built from a checkout of segtune, in its folder:",
        f"#     docker build -f {path.absolute()} -t {image} .",
        f"FROM python:{python}-slim-bookworm",
        f"LABEL segtune.constraints.sha256={packages.sha256}",
        _run(
            "apt-get update",
            "apt-get install -y --no-install-recommends "
            f"{_SYSTEM}{f' {_COMPILER}' if compiled else ''}",
            "rm -rf /var/lib/apt/lists/*",
            "useradd --uid 1000 --gid 100 --create-home ray",
        ),
        "WORKDIR /opt/segtune",
    ]
    return "\n".join([*lines, *_installed(extras, compiled), ""])


def _installed(extras: str, compiled: bool) -> Sequence[str]:
    pip = f"pip install --no-cache-dir -c {CONSTRAINTS}"
    detectron = ["RUN python tools/install_detectron2.py"] if compiled else []
    return [
        f"COPY {_FILES} ./",
        *(f"COPY {folder} {folder}" for folder in _FOLDERS),
        _run(f'{pip} ".[{extras}]" "ray[default]" google-api-python-client'),
        *detectron,
        "USER ray",
        "WORKDIR /home/ray",
        "ENV PYTHONUNBUFFERED=1",
    ]


def _run(*commands: str) -> str:
    return "RUN " + " \\\n && ".join(commands)
