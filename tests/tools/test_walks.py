import importlib.util
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType

import pytest

from tools.walks import NOT_COUNTED, ROOT, WALKS, Entered, entered_by, named, sources, walk

OURS = """\
from dataclasses import dataclass

class Made:
    size = 1

@dataclass
class Plain:
    size: int

def quick():
    return Plain(1)
"""


def load(path: Path) -> ModuleType:
    """Import a file as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "walked"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"{name}.py").write_text(OURS)
    (tmp_path / "stranger.py").write_text(OURS)
    return folder


def entered(package: Path) -> Entered:
    return Entered(package.parent, ["walked"])


def test_a_module_is_entered_by_its_functions_in_their_order(package: Path) -> None:
    first, second = load(package / "first.py"), load(package / "second.py")

    def action() -> None:
        second.quick()
        first.quick()
        second.quick()

    assert entered_by(action, entered(package)) == ["walked.second", "walked.first"]


def test_an_import_a_class_and_a_made_constructor_enter_nothing(package: Path) -> None:
    def action() -> None:
        load(package / "first.py").Plain(1)

    assert entered_by(action, entered(package)) == []


def test_what_another_thread_runs_counts(package: Path) -> None:
    first = load(package / "first.py")

    def action() -> None:
        thread = threading.Thread(target=first.quick)
        thread.start()
        thread.join()

    assert entered_by(action, entered(package)) == ["walked.first"]


def test_a_module_of_somebody_else_does_not_count(package: Path) -> None:
    stranger = load(package.parent / "stranger.py")
    assert entered_by(stranger.quick, entered(package)) == []


def test_a_function_is_found_by_its_name_alone() -> None:
    assert callable(named("plan_file"))
    with pytest.raises(LookupError, match="one module that defines no_such_function, got none"):
        named("no_such_function")


@pytest.mark.parametrize("name", ["study", "evaluate"])
def test_a_walk_enters_the_same_modules_each_time(name: str) -> None:
    modules = walk(name)
    assert len(modules) == len(set(modules)) > 5
    assert set(modules) <= set(sources())
    assert not any(module.startswith(NOT_COUNTED) for module in modules)
    assert walk(name) == modules


@pytest.mark.slow
def test_all_walks_are_printed_in_json() -> None:
    command = [sys.executable, "-m", "tools.walks", "--json"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(printed)
    assert list(found) == list(WALKS)
    for walked in found.values():
        assert walked["count"] == len(walked["modules"]) > 5
    report = [module.rpartition(".")[2] for module in found["report"]["modules"]]
    assert {"journal", "controller", "bridge", "actor"} <= set(report), "both sides are walked"


BEFORE = {"study": 16, "report": 16, "evaluate": 27, "prepare": 23}
"""Counts of the layout before the folders of today."""


def test_prepare_enters_no_more_modules_than_before() -> None:
    assert len(walk("prepare")) <= BEFORE["prepare"]


TITLES = {
    "study": "A study file, until it is planned",
    "report": "An epoch's report, until the engine has the decision",
    "evaluate": "A finished study, until its model is loaded and its evaluation planned",
    "prepare": "A picture with its annotation, until it stands in a prepared data set",
}


def listed(name: str) -> str:
    """The paragraph of docs/architecture.md about a walk."""
    modules = walk(name)
    head = f"**{TITLES[name]}** ({name}: {len(modules)}, {BEFORE[name]} before): "
    return textwrap.fill(
        head + ", ".join(f"`{module}`" for module in modules) + ".",
        width=130,
        break_long_words=False,
        break_on_hyphens=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
def test_the_docs_list_the_modules_that_a_walk_enters_today(name: str) -> None:
    paragraph = listed(name)
    assert paragraph in (ROOT / "docs/architecture.md").read_text(), f"expected:\n{paragraph}"


@pytest.mark.slow
def test_a_study_file_and_a_model_enter_fewer_modules_than_before_and_no_walk_more() -> None:
    today = {name: len(walk(name)) for name in WALKS}
    assert all(today[name] <= BEFORE[name] for name in WALKS), today
    assert today["study"] < BEFORE["study"]
    assert today["evaluate"] < BEFORE["evaluate"]
