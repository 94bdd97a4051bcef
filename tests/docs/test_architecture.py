"""What docs/architecture.md and docstrings say of the tree, held against the tree."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = ("search_spaces", "cluster", "trainables", "tune", "analysis")
OTHERS = ("tests", "tools", "benchmarks", "docs", "examples")
PLACE = re.compile(rf"(?:{'|'.join(PACKAGES + OTHERS)})(?:[./][\w*.-]+)+/?")
WIDTH = 116

DOCS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
)
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for name in (*PACKAGES, "tests", "tools", "benchmarks")
    for path in (ROOT / name).rglob("*.py")
)


def picture() -> str:
    """The tree as it stands: each folder with its purpose, and its modules below."""
    return "\n".join(line for package in PACKAGES for line in _lines(ROOT / package, 0))


def _lines(folder: Path, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{f'{folder.name}/':<{24 - len(indent)}}{_purpose(folder)}"
    modules = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("__"))
    yield from textwrap.wrap(
        ", ".join(modules), WIDTH, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    "
    )
    for below in sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file()):
        yield from _lines(below, depth + 1)


def _purpose(folder: Path) -> str:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


def test_the_picture_of_the_tree_is_the_tree() -> None:
    shown = (ROOT / "docs/architecture.md").read_text()
    assert f"```\n{picture()}\n```" in shown, f"expected this picture:\n{picture()}"


@pytest.mark.parametrize("file", [*DOCS, *SOURCES])
def test_every_place_in_backticks_is_there(file: str) -> None:
    text = (ROOT / file).read_text()
    places = [s.strip() for s in re.findall(r"`([^`\n]+)`", text) if PLACE.fullmatch(s.strip())]
    assert [place for place in places if not _exists(place)] == []


def test_a_place_that_is_not_there_is_noticed() -> None:
    assert PLACE.fullmatch("tune/nowhere.py")
    assert not _exists("tune/nowhere.py")
    assert not _exists("trainables.contract.Nothing")
    assert _exists("trainables.contract.Engine")
    assert _exists("tests/*/conftest.py")


def _exists(place: str) -> bool:
    """Whether a path, a module or a name in a module is there; `my_...` stands for the reader's."""
    if "/" in place:
        return "/my_" in place or any(ROOT.glob(place.rstrip("/")))
    names = place.split(".")
    for length in range(len(names), 0, -1):
        base = ROOT.joinpath(*names[:length])
        found = [f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()]
        if found:
            return length == len(names) or names[length] in _defined(found[0])
    return False


def _defined(module: Path) -> set[str]:
    return {
        name
        for node in ast.parse(module.read_text()).body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        )
    }
