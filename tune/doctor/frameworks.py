"""Checks of the engines: whether what each trains with is installed, fits together, and loads.

Which engines there are and what they need is asked of the registry. No framework is imported here:
versions come from the installed metadata, and what must be tried is tried in a process of its own.
"""

import json
import subprocess
from collections.abc import Iterable
from importlib.metadata import requires

from packaging.requirements import InvalidRequirement, Requirement

from cluster.machines.machine import this_machine
from trainables.registry import engine_info, engines
from tune.doctor.check import Check
from tune.doctor.python import installed_version, last_line, run_python

_TRY_ALL = """
import importlib, json, sys
failures = {}
for name, module in json.loads(sys.argv[1]).items():
    try:
        importlib.import_module(module)
        failures[name] = ""
    except ImportError as error:
        failures[name] = str(error)
torch = sys.modules.get("torch")
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
print(json.dumps([failures, gpus]))
"""


def check_engines(names: Iterable[str] | None = None) -> list[Check]:
    """Whether each engine has the frameworks it trains with, in versions that will do.

    Args:
        names: Engines to look at; default: all.
    """
    return [_engine(name) for name in (engines() if names is None else names)]


def _engine(name: str) -> Check:
    title = f"engine {name}"
    try:
        info = engine_info(name)
    except Exception as error:  # noqa: BLE001  a plug-in may raise anything; the others are looked at
        remedy = f"reinstall the package that brings the engine {name}, or uninstall it"
        return Check(title, "warn", f"cannot be read: {error}", remedy)
    if not info.frameworks:
        return Check(title, "ok", "needs no framework")
    needed = [Requirement(framework.requirement) for framework in info.frameworks]
    there = {need.name: installed_version(need.name) for need in needed}
    wrong = [
        f"{need} (got {there[need.name] or 'none'})"
        for need in needed
        if not _fulfils(need, there[need.name])
    ]
    if wrong:
        message = f"not usable here: expected {', '.join(wrong)}"
        return Check(title, "ok", message, f"where needed: {info.how_to_install}")
    return Check(title, "ok", ", ".join(f"{key} {version}" for key, version in there.items()))


def _fulfils(need: Requirement, version: str | None) -> bool:
    return version is not None and need.specifier.contains(version, prereleases=True)


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
        remedy = "where needed: install what one of the engines below asks for"
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


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def check_frameworks() -> list[Check]:
    """Import every engine's frameworks in a process of their own and ask torch for GPUs."""
    modules = _modules()
    installed = {name: module for name, module in modules.items() if installed_version(name)}
    try:
        done = run_python(_TRY_ALL, json.dumps(installed), timeout_s=180)
    except subprocess.TimeoutExpired:
        return [Check("frameworks", "fail", "importing them took over 180 s", "a slow disk?")]
    if done.returncode:
        return [Check("frameworks", "fail", f"importing them failed: {last_line(done.stderr)}")]
    failures, gpus = json.loads(done.stdout.splitlines()[-1])
    return [*(_framework(name, failures.get(name)) for name in modules), *_gpus(gpus)]


def _modules() -> dict[str, str]:
    """Module to import, by distribution, of all engines that can be read."""
    modules: dict[str, str] = {}
    for name in engines():
        try:
            frameworks = engine_info(name).frameworks
        except Exception:  # noqa: BLE001  `check_engines` names it
            continue
        modules |= {framework.distribution: framework.imported for framework in frameworks}
    return modules


def _framework(name: str, failure: str | None) -> Check:
    if failure is None:
        return Check(name, "ok", "not installed")
    if failure:
        return Check(name, "fail", f"cannot be imported: {failure}", "make setup")
    return Check(name, "ok", "can be imported")


def _gpus(usable: list[str]) -> list[Check]:
    n_seen = this_machine().gpus
    if n_seen and not usable:
        message = f"{n_seen} visible, but torch can use none"
        return [Check("gpu in torch", "fail", message, "install a driver that fits torch")]
    return [Check("gpu in torch", "ok", ", ".join(usable))] if usable else []
