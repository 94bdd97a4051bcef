"""Checks of what is installed: our own packages and what they need."""

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tune.doctor.check import Check
from tune.doctor.python import installed_version, try_python

PACKAGES = ("analysis", "cluster", "search_spaces", "trainables", "tune")

OPENCV = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
    "ultralytics-opencv-headless",
)

SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libgomp.so.1": "libgomp1",
}

_ROOT = Path(__file__).resolve().parents[2]


def check_packages(
    find: Callable[[str], Path | None] | None = None, root: Path = _ROOT
) -> list[Check]:
    """Whether our five packages are ours: the registry has others of the same names.

    Args:
        find: Function that finds the folder a package would be imported from.
        root: Folder that all five should lie in.
    """
    find = find or _package_folder
    checks = []
    for name in PACKAGES:
        folder = find(name)
        if folder is None or folder.parent != root:
            where = f"got the one in {folder}" if folder else "got none"
            checks.append(
                Check(
                    "packages",
                    "fail",
                    f"expected package {name} beside tune in {root}, {where}",
                    f"pip uninstall {name}; then install segtune again, or start it from a folder "
                    f"that has no {name} of its own",
                )
            )
    foreign = [name for name in PACKAGES if installed_version(name) is not None]
    if foreign:
        checks.append(
            Check(
                "packages",
                "warn",
                f"distributions of other projects write into our packages: {', '.join(foreign)}",
                f"pip uninstall {' '.join(foreign)}; then install segtune again",
            )
        )
    return checks or [Check("packages", "ok", f"all five in {root}")]


def check_requirements() -> list[Check]:
    """Whether what segtune needs is installed, in the versions it needs; extras are only listed."""
    try:
        declared = [Requirement(text) for text in requires("segtune") or []]
    except PackageNotFoundError:
        message = "segtune is not installed (it runs from its folder); versions are not checked"
        return [Check("requirements", "warn", message, "make setup, or pip install -e .")]
    core = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = _unmet(core)
    checks = [
        Check("requirements", "fail", f"expected {wanted}, got {got}", f"pip install '{wanted}'")
        for wanted, got in wrong.items()
    ]
    return [
        *(checks or [Check("requirements", "ok", f"{len(core)} packages")]),
        _extras(declared),
    ]


def _extras(declared: Iterable[Requirement]) -> Check:
    names = sorted(
        {n for r in declared for n in re.findall(r'extra == "([\w-]+)"', str(r.marker or ""))}
        - {"all", "dev"}
    )
    wrong = {
        name: _unmet(r for r in declared if r.marker and r.marker.evaluate({"extra": name}))
        for name in names
    }
    ready = [name for name in names if not wrong[name]]
    message = f"complete: {', '.join(ready) or 'none'}"
    lacking = [name for name in names if wrong[name]]
    if not lacking:
        return Check("extras", "ok", message)
    named = "; ".join(f"{name} ({', '.join(wrong[name])})" for name in lacking)
    remedy = f"where needed: pip install 'segtune[{','.join(lacking)}]'"
    return Check("extras", "ok", f"{message}; not complete: {named}", remedy)


def _unmet(declared: Iterable[Requirement]) -> dict[str, str]:
    """Requirements that are not fulfilled, with what is installed instead."""
    wrong = {}
    for requirement in declared:
        there = installed_version(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            wrong[wanted] = there or "none"
    return wrong


def check_tested_set(constraints: Path) -> Check:
    """Whether the installed versions are those tested together, where these are known."""
    if not constraints.is_file():
        return Check("tested set", "ok", "unknown here; a checkout has it in constraints.txt")
    pins = dict(
        line.split("==")
        for line in constraints.read_text(encoding="utf-8").split()
        if re.fullmatch(r"[\w.-]+==[\w.+-]+", line)
    )
    there = {name: found for name in pins if (found := installed_version(name)) is not None}
    other = [
        f"{name} {found} (tested {pins[name]})"
        for name, found in there.items()
        if found.partition("+")[0] != pins[name]
    ]
    if other:
        return Check("tested set", "warn", f"differs: {', '.join(other)}", "make setup")
    return Check("tested set", "ok", f"{len(there)} packages as tested")


def check_opencv(
    installed: Mapping[str, str] | None = None, error: str | None = None
) -> list[Check]:
    """Whether all distributions of opencv are of one version, and whether it can be imported.

    Ultralytics asks for one of them and rapidocr for another, and all write the same files: at one
    version that does no harm, at two the files of both are mixed.

    Args:
        installed: Installed distributions of opencv with their versions; default: looked up.
        error: Message of a failed import, empty if it works; default: tried.
    """
    there = _installed_opencv() if installed is None else installed
    checks = []
    if len(set(there.values())) > 1:
        newest = max(there.values(), key=Version)
        checks.append(
            Check(
                "opencv",
                "warn",
                "expected the distributions of opencv to be of one version, as they overwrite each "
                f"other's files, got {', '.join(f'{n} {v}' for n, v in there.items())}",
                f"pip uninstall {' '.join(there)}; "
                f"pip install {' '.join(f'{name}=={newest}' for name in there)}",
            )
        )
    problem = try_python("import cv2") if error is None else error
    if problem:
        checks.append(
            Check("opencv", "fail", f"cannot be imported: {problem}", opencv_remedy(problem))
        )
    names = " and ".join(there) or "opencv"
    return checks or [Check("opencv", "ok", f"{names} can be imported")]


def _installed_opencv() -> dict[str, str]:
    versions = {name: installed_version(name) for name in OPENCV}
    return {name: version for name, version in versions.items() if version is not None}


def opencv_remedy(error: str) -> str:
    """Instruction for when `import cv2` fails.

    >>> opencv_remedy("libGL.so.1: cannot open shared object file")
    'apt-get install libgl1 (as root), or the package that has libGL.so.1'
    """
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*)", error)
    if missing is None:
        return "pip install --force-reinstall opencv-python"
    library = missing.group(1)
    if library not in SYSTEM_LIBRARIES:
        return f"install the system package that has {library}"
    package = SYSTEM_LIBRARIES[library]
    return f"apt-get install {package} (as root), or the package that has {library}"


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None
