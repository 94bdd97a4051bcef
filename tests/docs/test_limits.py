"""The rules of CONTRIBUTING.md that a machine can count: sizes, and imports inside functions."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = ("search_spaces", "cluster", "trainables", "tune", "analysis")
OUTSIDE_TESTS = (*PACKAGES, "tools", "benchmarks")
MOST_MODULES, MOST_LINES, MOST_TEST_LINES, MOST_FUNCTION_LINES = 14, 450, 700, 50
LATE_IMPORTERS = ("tune/cli/", "tune/job/entry.py", "trainables/engines/")
"""Where a verb, a job or an engine may import what is ours when it is asked for."""


def sources(*folders: str) -> list[Path]:
    return sorted(path for name in folders for path in (ROOT / name).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and its docstring."""
    first = function.body[0]
    docstring = 0
    if ast.get_docstring(function) is not None:
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def late_imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports inside the functions of a module, each once."""
    found = (
        node
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    yield from {node.lineno: node for node in found}.values()


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def test_a_folder_holds_at_most_fourteen_modules() -> None:
    modules = (p for p in sources(*OUTSIDE_TESTS, "tests") if p.name != "__init__.py")
    counts = Counter(name(path.parent) for path in modules)
    assert {folder: n for folder, n in counts.items() if n > MOST_MODULES} == {}


def test_a_module_has_at_most_450_lines_and_one_of_tests_700() -> None:
    limits = dict.fromkeys(sources(*OUTSIDE_TESTS), MOST_LINES)
    limits |= dict.fromkeys(sources("tests"), MOST_TEST_LINES)
    lines = {path: len(path.read_text().splitlines()) for path in limits}
    assert {name(path): n for path, n in lines.items() if n > limits[path]} == {}


def test_a_function_has_at_most_50_lines_without_its_docstring() -> None:
    found = {
        f"{name(path)}:{function.name}": length(function)
        for path in sources(*OUTSIDE_TESTS)
        for function in functions(path)
    }
    assert len(found) > 1000
    assert {where: n for where, n in found.items() if n > MOST_FUNCTION_LINES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_inside_a_function_gives_its_reason_on_the_line(package: str) -> None:
    without = []
    for path in sources(package):
        lines = path.read_text().splitlines()
        for node in late_imports(path):
            said = lines[node.lineno - 1].partition("#")[2]
            if not re.sub(r"type: ignore\[[\w-]+\]|noqa: \w+", "", said).strip(" #"):
                without.append(f"{name(path)}:{node.lineno}")
    assert without == []


def test_what_is_ours_is_imported_late_by_verbs_and_engines_alone() -> None:
    """Elsewhere such an import would hide a cycle, or a package that is slow by itself."""
    late = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*PACKAGES)
        for node in late_imports(path)
        if any(map(is_ours, imported(node)))
        and not name(path).startswith(LATE_IMPORTERS)
        and not puts_off_a_package(node)
    ]
    assert late == []


def puts_off_a_package(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether a module of ours that is imported late imports a slow package at its top."""
    return any(
        found.partition(".")[0] in SLOW
        for module in imported(node)
        for found in top_imports(module)
    )


SLOW = ("cv2", "google", "mrcfile", "optuna", "pandas", "plotly", "ray", "scipy", "torch", "wandb")
"""Packages that take a tenth of a second and more to import."""


def test_no_late_import_hides_a_cycle() -> None:
    hidden = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*PACKAGES)
        for node in late_imports(path)
        for module in imported(node)
        if is_ours(module) and dotted(path) in brought_along(module)
    ]
    assert hidden == []


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def brought_along(module: str) -> frozenset[str]:
    """Modules of ours that importing one imports too."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for found in top_imports(waiting.pop()):
            if is_ours(found) and found not in seen:
                seen.add(found)
                waiting.append(found)
    return frozenset(seen)


@cache
def top_imports(module: str) -> tuple[str, ...]:
    """Modules that one of ours imports at its top."""
    place = ROOT.joinpath(*module.split("."))
    files = [f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()]
    return tuple(
        found
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in imported(node)
    )
