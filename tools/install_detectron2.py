"""Install detectron2 beside the torch of the Python that runs this file.

    .venv/bin/python tools/install_detectron2.py [--source auto|official|release] [--force]

Detectron2's only official distribution is its git repository. Where that can be reached it is
built and installed from there. Elsewhere the package registry has the official v0.6 release as a
source archive without the C++ sources that its own setup.py wants to compile. None of those
operators (rotated boxes, deformable convolution, the fast COCO evaluator) is used by Mask R-CNN, so
the archive is checked against its hash, brought to today's numpy, Pillow and setuptools by four
mechanical changes, and installed as a pure-Python package. Engines use the public detectron2 API
only and run on either.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = "https://github.com/facebookresearch/detectron2"
RELEASE = "pb1-detectron2==0.6"
RELEASE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
PURE_VERSION = "0.6+pure.1"

_CHANGES = (
    (re.compile(r"\bnp\.(bool|int|float|object)\b"), r"\1"),
    (re.compile(r"\bImage\.LINEAR\b"), "Image.BILINEAR"),
    (re.compile(r"^import pkg_resources$", re.MULTILINE), "import importlib.resources"),
    (
        re.compile(r"\bpkg_resources\.resource_filename\(\s*(\"[\w.]+\"),"),
        r"os.path.join(str(importlib.resources.files(\1)),",
    ),
)

_OPERATORS_STUB = '''"""Stands in for the compiled operators, which this installation lacks."""

has_cuda = bool


def get_compiler_version():
    return "not built"


def get_cuda_version():
    return "not built"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"expected detectron2 with its compiled operators for {name}, got the pure-Python "
        "installation; install it from its git repository: "
        "python tools/install_detectron2.py --source official --force"
    )
'''

_PROJECT = f"""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "detectron2"
version = "{PURE_VERSION}"
description = "Detectron2 v0.6 without its compiled operators"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = ">=3.11"
dependencies = [
  "cloudpickle", "fvcore>=0.1.5", "hydra-core>=1.1", "iopath>=0.1.7", "matplotlib",
  "omegaconf>=2.1", "pillow>=7.1", "pycocotools>=2.0.2", "tabulate", "termcolor>=1.1", "torch",
  "torchvision", "tqdm", "yacs>=0.1.8",
]

[tool.setuptools.packages.find]
include = ["detectron2*"]
namespaces = false

[tool.setuptools.package-data]
"detectron2.model_zoo" = ["configs/**/*.yaml", "configs/**/*.py"]
"""

_SMOKE = (
    "from detectron2 import model_zoo\n"
    "from detectron2.engine import DefaultTrainer\n"
    "from detectron2.modeling import build_model\n"
    "model_zoo.get_config('COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml')\n"
)

_ALONE = ("--no-deps", "--no-build-isolation", "--force-reinstall")


class InstallError(Exception):
    """Detectron2 was not installed; the message says why and what to do."""


def modernise(source: str) -> str:
    """The text of a v0.6 module, changed so that it runs on numpy 2, Pillow 10 and later.

    >>> modernise("mask.astype(np.bool) | np.bool_(0), Image.LINEAR")
    'mask.astype(bool) | np.bool_(0), Image.BILINEAR'
    """
    for pattern, replacement in _CHANGES:
        source = pattern.sub(replacement, source)
    return source


def make_installable(tree: Path) -> None:
    """Turn an unpacked v0.6 archive into a project that pip installs without a compiler.

    Raises:
        InstallError: A module still needs what no longer exists.
    """
    package = tree / "detectron2"
    _adopt_projects(tree)
    for module in sorted(package.rglob("*.py")):
        text = module.read_text(encoding="utf-8")
        changed = modernise(text)
        if "pkg_resources" in changed:
            raise InstallError(
                f"expected every use of pkg_resources in {module.relative_to(tree)} to be "
                "replaceable, got one that is not; the archive is not the v0.6 release"
            )
        if changed != text:
            module.write_text(changed, encoding="utf-8")
    (package / "_C.py").write_text(_OPERATORS_STUB, encoding="utf-8")
    for obsolete in ("setup.py", "setup.cfg"):
        (tree / obsolete).unlink(missing_ok=True)
    (tree / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")


def _adopt_projects(tree: Path) -> None:
    """Move PointRend and its like below `detectron2.projects`, where the release installs them."""
    for marker in sorted((tree / "projects").glob("*/*/__init__.py")):
        shutil.move(marker.parent, tree / "detectron2" / "projects" / marker.parent.name)


def official_commit(repository: str, timeout_s: float = 10.0) -> str | None:
    """The commit at the head of a git repository, or None where it cannot be reached."""
    try:
        answer = subprocess.run(
            ["git", "-c", "credential.helper=", "ls-remote", repository, "HEAD"],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.split()[0] if answer.stdout.split() else None


def installed_version() -> str | None:
    """The version of the installed detectron2, or None."""
    try:
        return version("detectron2")
    except PackageNotFoundError:
        return None


def install_official(repository: str, commit: str) -> None:
    """Build and install detectron2 from its repository.

    Raises:
        InstallError: It cannot be built here, or does not run afterwards.
    """
    _pip("install", *_ALONE, f"detectron2 @ git+{repository}@{commit}")
    _verify()


def install_release() -> None:
    """Install the v0.6 release from the package registry, without its compiled operators.

    Raises:
        InstallError: It cannot be downloaded, is not the archive expected, or does not run.
    """
    with tempfile.TemporaryDirectory(prefix="segtune-detectron2-") as folder:
        tree = _unpack(_download(Path(folder)))
        make_installable(tree)
        _pip("install", *_ALONE, str(tree))
    _verify()


def _download(folder: Path) -> Path:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{RELEASE} --hash=sha256:{RELEASE_SHA256}\n", encoding="utf-8")
    options = ("--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes")
    _pip("download", *options, "--dest", str(folder), "--requirement", str(requirement))
    (archive,) = folder.glob("*.tar.gz")
    return archive


def _unpack(archive: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(archive.parent, filter="data")
    return archive.parent / archive.name.removesuffix(".tar.gz")


def _verify() -> None:
    """Import what an engine needs in a fresh Python; take the installation back if that fails."""
    command = [sys.executable, "-c", _SMOKE]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        _pip("uninstall", "--yes", "detectron2")
        raise InstallError(f"detectron2 was installed but does not run here: {_last(tried.stderr)}")


def _pip(verb: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", verb, "-qq", "--no-input"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(f"pip {verb} failed: {_last(done.stderr)}")


def _last(text: str, lines: int = 8) -> str:
    return "\n".join(text.strip().splitlines()[-lines:]) or "no message"


def install(source: str, *, force: bool) -> str:
    """Install detectron2 unless it is there.

    Args:
        source: "official", "release", or "auto": the official one where it can be had.
        force: Replace an installed detectron2.

    Returns:
        One sentence on what was done.

    Raises:
        InstallError: Nothing was installed.
    """
    there = installed_version()
    if there and not force:
        return f"detectron2 {there} is installed already"
    if find_spec("torch") is None:
        raise InstallError(
            "expected torch to be installed before detectron2, got none; run `make setup`, or "
            "pip install -c constraints.txt -e '.[mask-rcnn]' and then this tool again"
        )
    commit = None if source == "release" else official_commit(REPOSITORY)
    if commit is None and source == "official":
        raise InstallError(f"expected {REPOSITORY} to be reachable, got no answer from git")
    if commit is not None:
        try:
            install_official(REPOSITORY, commit)
        except InstallError as error:
            if source == "official":
                raise
            print(f"the official distribution cannot be used: {error}", file=sys.stderr)
        else:
            return f"installed detectron2 from its repository at {commit[:12]}"
    install_release()
    return f"installed detectron2 {PURE_VERSION}: the v0.6 release without compiled operators"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    parser = argparse.ArgumentParser(description="Install detectron2 beside the installed torch.")
    parser.add_argument("--source", choices=("auto", "official", "release"), default="auto")
    parser.add_argument("--force", action="store_true", help="replace an installed detectron2")
    options = parser.parse_args(arguments)
    try:
        print(install(options.source, force=options.force))
    except InstallError as error:
        print(f"install_detectron2: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
