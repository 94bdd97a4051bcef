"""`import segtune`: the verbs as functions."""

import ast
import inspect
import logging
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TypeGuard

import pytest

import segtune
from tests.support.command_line import segtune as segtune_command
from tests.support.places import ROOT
from tests.support.raw_samples import labelme_set
from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_study
from tune.cli.main import VERBS

FUNCTIONS = sorted(name for name in segtune.__all__ if name.islower())
API = (ROOT / "docs/api.md").read_text()
FRAMEWORKS = {"torch", "torchvision", "ultralytics", "detectron2", "ray", "numpy", "pandas", "cv2"}


def in_python(code: str, folder: Path) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_import_costs_nothing_and_brings_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys, time\nbefore = time.perf_counter()\nimport segtune\n"
        "print(time.perf_counter() - before, *sys.modules, sep='\\n')"
    )
    seconds, *modules = in_python(code, tmp_path).splitlines()
    assert "segtune" in modules
    assert float(seconds) < 0.1
    assert FRAMEWORKS.isdisjoint(modules)
    assert not [
        name for name in modules if name.split(".")[0] in {"tune", "trainables", "analysis"}
    ]


def test_planning_from_python_needs_no_framework(tmp_path: Path) -> None:
    write_study(tmp_path)
    code = (
        "import sys, segtune\nplan = segtune.plan('study.yaml', ['budget.trials=3'])\n"
        "print(plan.trials, *sys.modules, sep='\\n')"
    )
    trials, *modules = in_python(code, tmp_path).splitlines()
    assert trials == "3"
    assert {"torch", "ultralytics", "detectron2", "ray"}.isdisjoint(modules)


def test_every_name_is_there_and_listed() -> None:
    assert FUNCTIONS == [
        "compare",
        "confirm",
        "diff",
        "evaluate",
        "export",
        "measure",
        "note",
        "pick",
        "plan",
        "predict",
        "prepare",
        "report",
        "resume",
        "retrain",
        "scale",
        "tune",
    ]
    assert set(segtune.__all__) <= set(dir(segtune))
    assert all(callable(getattr(segtune, name)) for name in segtune.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    mistyped = "tnue"
    with pytest.raises(AttributeError, match="module 'segtune' has no attribute 'tnue'"):
        getattr(segtune, mistyped)


def test_the_stub_and_the_module_say_the_same_for_type_checkers() -> None:
    stub = ast.parse((ROOT / "segtune-stubs/__init__.pyi").read_text())
    module = ast.parse((ROOT / "segtune.py").read_text())
    assert _imports(stub.body) == _imports([n for n in ast.walk(module) if _typed(n)])
    assert set(_imports(stub.body)) == set(segtune.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_command_of_a_name_calls_the_function_of_that_name(name: str) -> None:
    (verb,) = (verb for verb in VERBS if verb.__name__ == name)
    place = getattr(segtune, name).__module__
    body = ast.parse(inspect.getsource(verb)).body[0]
    local = [
        alias.asname or alias.name
        for node in ast.walk(body)
        if isinstance(node, ast.ImportFrom) and node.module == place
        for alias in node.names
        if alias.name == name
    ]
    assert local, f"tune.cli's {name} imports another function than segtune.{name}"
    called = {n.func.id for n in ast.walk(body) if isinstance(n, ast.Call) and _named(n.func)}
    assert set(local) <= called


def _named(node: ast.expr) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _typed(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module != "typing"


def _imports(body: list[ast.AST] | list[ast.stmt]) -> dict[str, str | None]:
    return {
        alias.asname or alias.name: node.module
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_page_has_every_function_with_all_its_arguments(name: str) -> None:
    (chapter,) = re.findall(rf"^## {name}$(.*?)(?=^## |\Z)", API, re.DOTALL | re.MULTILINE)
    (signature,) = re.findall(rf"`{name}\(([^`]*)\)`", chapter)
    written = [part.split("=")[0].strip() for part in re.split(r",(?![^(]*\))", signature)]
    parameters = inspect.signature(getattr(segtune, name)).parameters.values()
    real = [p.name for p in parameters]
    assert [word for word in written if word != "*"] == real
    for word in ("Returns", "Raises"):
        assert re.search(rf"^{word} ", chapter, re.MULTILINE), word


def test_paths_may_be_texts_and_a_mistake_is_a_user_error(tmp_path: Path) -> None:
    labelme_set(tmp_path / "raw")
    report = segtune.prepare(str(tmp_path / "raw"), str(tmp_path / "data"))
    assert sum(report.data.counts().values()) == 6
    with pytest.raises(segtune.UserError, match="expected a study file"):
        segtune.plan(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(segtune.UserError, match="expected a study directory"):
        segtune.export(str(tmp_path))
    with pytest.raises(segtune.UserError):
        segtune.retrain(str(tmp_path), None, str(tmp_path / "model"))
    with pytest.raises(segtune.UserError):
        segtune.evaluate(str(tmp_path), str(tmp_path / "data"))
    with pytest.raises(segtune.UserError):
        segtune.pick(str(tmp_path / "*.mrc"), str(tmp_path), str(tmp_path / "picks"))


def test_a_study_is_exported_from_python(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 2, "epochs": 4})
    folder = segtune.export(study.path, tmp_path / "best")
    assert folder == tmp_path / "best"
    assert (folder / "best.yaml").is_file()


FEW = {"lr0": {"choice": [0.001, 0.01]}}

FEW_NOTE = (
    "the search space has 2 configurations, fewer than budget.trials = 3: the study ends when each "
    "was trained once"
)


def test_a_plan_from_python_has_the_notes_that_the_command_line_shows(tmp_path: Path) -> None:
    path = write_study(
        tmp_path,
        budget={"trials": 3, "epochs": 3},
        search_space=dict(FEW),
        warm_start={"points": []},
    )
    assert segtune.plan(path).notes == (FEW_NOTE,)
    assert segtune.plan(path, ["budget.trials=2"]).notes == ()
    shown = segtune_command(tmp_path, "plan", str(path)).stdout
    assert " ".join(shown.split()).count(FEW_NOTE) == 1


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_is_tuned_from_python_and_not_begun_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = {"wandb": {"mode": "disabled"}}
    path = write_study(
        tmp_path,
        budget={"trials": 3, "epochs": 3},
        search_space=dict(FEW),
        warm_start={"points": []},
        tracking=tracking,
    )
    with caplog.at_level(logging.WARNING):
        result = segtune.tune(path)
    assert (result.reason, len(result.outcomes)) == ("finished", 2)
    assert result.notes == (FEW_NOTE,)
    assert [r.getMessage() for r in caplog.records if FEW_NOTE in r.getMessage()] == [
        f"note: {FEW_NOTE}"
    ]
    assert f"note: {FEW_NOTE}" in (result.directory / "segtune.log").read_text()
    assert (result.directory / "report.html").is_file()
    assert (result.directory / "leaderboard.csv").is_file()
    with pytest.raises(segtune.UserError, match="expected a new study, found one"):
        segtune.tune(segtune.plan(path))


@pytest.mark.slow
def test_a_wheel_holds_the_module_its_types_and_the_templates(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="80", reason="what builds the wheel")
    source = tmp_path / "source"
    source.mkdir()
    files = subprocess.run(
        "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "
        + str(source),
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if files.returncode:
        pytest.skip(f"no git checkout to build from: {files.stderr}")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*pip, "-w", str(tmp_path), str(source)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"segtune.py", "segtune-stubs/__init__.pyi", "tune/verbs/tuning.py"} <= names
    assert {"tune/py.typed", "analysis/pages/templates/report.html"} <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/", "benchmarks/"))]
