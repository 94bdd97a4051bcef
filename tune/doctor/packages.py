"""Checks of what is installed: our own packages, what they need, and the frameworks.

No framework is imported here: versions come from the installed metadata, and what must be tried is
tried in a process of its own.
"""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from cluster.machines.machine import this_machine
from tune.doctor.check import Check

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

INSTALL_DETECTRON2 = "python tools/install_detectron2.py (or make setup), in segtune's checkout"

_ROOT = Path(__file__).resolve().parents[2]

_DEEP = """
import importlib, json, sys
found = {}
modules = {
    "torch": "torch",
    "torchvision": "torchvision",
    "ultralytics": "trainables.engines.yolo_seg.framework",
    "detectron2": "detectron2.modeling",
}
for name, module in modules.items():
    try:
        importlib.import_module(module)
        found[name] = ""
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        found[name] = None if missing else str(error)
torch = sys.modules.get("torch")
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
print(json.dumps([found, gpus]))
"""


def check_packages(
    find: Callable[[str], Path | None] | None = None, root: Path = _ROOT
) -> list[Check]:
    """Whether our five packages are ours: the registry has others of the same names.

    Args:
        find: Gives the folder that a package would be imported from.
        root: The folder that all five should lie in.
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
    """How the installed versions compare with the ones tested together, where they are known."""
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


def check_opencv(installed: Iterable[str] | None = None, error: str | None = None) -> list[Check]:
    """Whether there is one opencv, and whether it can be imported.

    Args:
        installed: Installed distributions of opencv; default: looked up.
        error: What importing it says, empty if it works; default: tried.
    """
    there = (
        [name for name in OPENCV if installed_version(name)]
        if installed is None
        else list(installed)
    )
    checks = []
    if len(there) > 1:
        checks.append(
            Check(
                "opencv",
                "warn",
                f"expected one distribution of opencv, got {', '.join(there)}, which overwrite "
                "each other's files",
                f"pip uninstall {' '.join(there)}; pip install {there[0]}",
            )
        )
    problem = try_python("import cv2") if error is None else error
    if problem:
        checks.append(
            Check("opencv", "fail", f"cannot be imported: {problem}", opencv_remedy(problem))
        )
    return checks or [Check("opencv", "ok", f"{there[0] if there else 'opencv'} can be imported")]


def opencv_remedy(error: str) -> str:
    """What to do when `import cv2` fails.

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


def check_torch(
    torch: str | None = None, torchvision_needs: Iterable[str] | None = None
) -> list[Check]:
    """Whether torch and torchvision fit each other.

    Args:
        torch: Installed version of torch; default: looked up.
        torchvision_needs: Requirements of the installed torchvision; default: looked up.
    """
    torch = torch or installed_version("torch")
    if torch is None:
        remedy = "where needed: pip install 'segtune[yolo]' (or another engine's extra)"
        return [Check("torch", "warn", "not installed: no engine but a simulated one", remedy)]
    if torchvision_needs is None:
        torchvision_needs = (
            requires("torchvision") or [] if installed_version("torchvision") else []
        )
    needs = [r for text in torchvision_needs if (r := _requirement(text)) and r.name == "torch"]
    public = torch.partition("+")[0]
    for need in needs:
        if not need.specifier.contains(public, prereleases=True):
            message = f"expected torch{need.specifier} for the installed torchvision, got {torch}"
            return [Check("torch", "fail", message, f"pip install 'torch{need.specifier}'")]
    if torch.endswith("+cpu"):
        message = f"{torch}: torchvision may fail to import beside a +cpu wheel; no GPU is used"
        return [Check("torch", "warn", message, f"pip install --force-reinstall torch=={public}")]
    return [Check("torch", "ok", torch)]


def check_detectron2() -> Check:
    """Whether Mask R-CNN's framework is there."""
    there = installed_version("detectron2")
    if there is None:
        message = "not installed: no mask_rcnn"
        return Check("detectron2", "ok", message, f"where needed: {INSTALL_DETECTRON2}")
    return Check("detectron2", "ok", there)


def check_frameworks() -> list[Check]:
    """Import the frameworks in a process of their own and ask torch for GPUs."""
    try:
        done = _python(_DEEP, timeout_s=180)
    except subprocess.TimeoutExpired:
        return [Check("frameworks", "fail", "importing them took over 180 s", "a slow disk?")]
    if done.returncode:
        return [Check("frameworks", "fail", f"importing them failed: {_last_line(done.stderr)}")]
    found, gpus = json.loads(done.stdout.splitlines()[-1])
    checks = [_framework(name, error) for name, error in found.items()]
    n_seen = this_machine().gpus
    if n_seen and not gpus:
        message = f"{n_seen} visible, but torch can use none"
        checks.append(Check("gpu in torch", "fail", message, "install a driver that fits torch"))
    elif gpus:
        checks.append(Check("gpu in torch", "ok", ", ".join(gpus)))
    return checks


def _framework(name: str, error: str | None) -> Check:
    if error is None:
        return Check(name, "ok", "not installed")
    if error:
        return Check(name, "fail", f"cannot be imported: {error}", "make setup")
    return Check(name, "ok", "can be imported")


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def try_python(code: str) -> str:
    """What goes wrong when some Python runs in a process of its own; empty if nothing does."""
    try:
        done = _python(code, timeout_s=60)
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    return _last_line(done.stderr) if done.returncode else ""


def _python(code: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
