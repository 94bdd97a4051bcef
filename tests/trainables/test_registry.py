"""What the registry's engines say of themselves, and that nobody else says it for them."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from search_spaces.presets.registry import presets
from tests.support.places import ROOT
from trainables.registry import BUILT_IN, engine_info

SOURCES: Final = (
    "analysis",
    "benchmarks",
    "cluster",
    "search_spaces",
    "tools",
    "trainables",
    "tune",
)

MAY_NAME_ENGINES: Final = {
    "benchmarks": "a benchmark is about one engine",
    "tools/augment_picture.py": "draws what one engine does to pictures",
    "tools/install_detectron2.py": "installs the one framework that pip cannot",
    "tools/set_up.py": "runs that tool, before anything is installed that could be asked",
    "tools/walks.py": "its walks pass through the engine without a framework",
    "trainables/registry.py": "has the line of each engine",
    "tune/cli/demo.py": "holds the demo's study file",
}
"""Files and folders, with the reason why none of them could ask the registry instead."""

PYPROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _own_names(engine: str) -> list[str]:
    """Names that belong to one engine alone: its own, and frameworks that no other one has."""
    of_others = {name for other in BUILT_IN if other != engine for name in _frameworks(other)}
    return [engine, *(name for name in _frameworks(engine) if name not in of_others)]


def _frameworks(engine: str) -> list[str]:
    return [framework.distribution for framework in engine_info(engine).frameworks]


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imported modules and strings of a module, docstrings aside, with their lines."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and id(node) not in prose:
            yield node.lineno, str(node.value)


def _names(text: str, name: str) -> bool:
    """Whether a text names an engine or its framework, and not a format or another package."""
    if name == "simulated":  # an English word, too
        return text == name or ".simulated." in f"{text}."
    named = re.search(rf"(?<!\w){re.escape(name)}(?![\w-])", text)
    return named is not None and ".formats." not in text


def _modules() -> list[Path]:
    return [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]


def _may_name(place: str, engine: str) -> bool:
    own = (f"trainables/engines/{engine}/", f"search_spaces/presets/{engine}.py")
    allowed = tuple(f"{p}/" if "." not in p else p for p in MAY_NAME_ENGINES)
    return place.startswith((*own, *allowed))


@pytest.mark.parametrize("engine", sorted(BUILT_IN))
def test_an_engine_is_named_in_its_folder_its_preset_and_the_registry_alone(engine: str) -> None:
    words = _own_names(engine)
    found = [
        f"{place}:{line}: {text}"
        for path in _modules()
        if not _may_name(place := str(path.relative_to(ROOT)), engine)
        for line, text in _texts(ast.parse(path.read_text()))
        if any(_names(text, word) for word in words)
    ]
    assert found == []


def test_the_search_for_names_finds_the_engines_where_they_are() -> None:
    for engine in BUILT_IN:
        words = _own_names(engine)
        own = ROOT / "trainables/engines" / engine / "params.py"
        texts = [text for _, text in _texts(ast.parse(own.read_text()))]
        assert all(any(_names(text, word) for text in texts) for word in words)


def test_whatever_may_name_an_engine_is_there_and_does() -> None:
    words = {word for engine in BUILT_IN for word in _own_names(engine)}
    for place in MAY_NAME_ENGINES:
        path = ROOT / place
        files = path.rglob("*.py") if path.is_dir() else [path]
        texts = [text for file in files for _, text in _texts(ast.parse(file.read_text()))]
        assert any(_names(text, word) for text in texts for word in words), place


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_an_engine_names_hyperparameters_and_a_preset_that_it_has(name: str) -> None:
    info = engine_info(name)
    named = {info.backbone, *info.sizes} - {""}
    assert named <= set(info.params.model_fields)
    limits = {key: info.value(key, {}) for key in (info.max_det, info.match_radius)}
    assert {key for key, value in limits.items() if value is not None} == (
        limits.keys() & info.params.model_fields
    )
    assert info.preset in presets(name)
    if info.native_config is not None:
        assert info.native_config({})
    if info.begins_from is not None:
        assert info.begins_from({})


def test_an_extra_installs_the_versions_that_its_engine_asks_for() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    for info in map(engine_info, BUILT_IN):
        installed = {r.name: r for r in map(Requirement, extras.get(info.extra, ()))}
        asked = [Requirement(framework.requirement) for framework in info.frameworks]
        lacking = [need.name for need in asked if need.name not in installed]
        assert not lacking or info.install, f"{info.name}: no word on how to install {lacking}"
        for need in asked:
            if need.name in installed:
                assert need.specifier == installed[need.name].specifier, f"{info.name}: {need.name}"
