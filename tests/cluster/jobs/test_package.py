"""What travels with a job: an allow-list, the same bytes each time, and nothing large."""

import random
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from cluster.errors import JobError
from cluster.jobs.package import FOLDERS, MOST_BYTES, packed
from tests.support.places import ROOT
from trainables.registry import BUILT_IN
from tune.remote.submitting import AT_HOME


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f'"""{name}"""\n')
    return tmp_path


def test_only_code_travels_whatever_lies_beside_it(tree: Path) -> None:
    (tree / "data").mkdir()
    with (tree / "data" / "pictures.tiff").open("wb") as file:
        file.truncate(2 * 10**9)
    for name in ("tune/weights.pt", "tune/.env", ".env", "tune/notes.csv", "secret.py"):
        (tree / name).write_text("canary")
    (tree / "tune" / "__pycache__").mkdir()
    (tree / "tune" / "__pycache__" / "x.py").write_text("canary")
    with packed({"job/order.json": b"{}"}, root=tree) as package:
        names = set(zipfile.ZipFile(package.path).namelist())
        assert package.size < MOST_BYTES
    code = {f"{name}/__init__.py" for name in FOLDERS}
    assert names - {n for n in names if ".dist-info/" in n} == code | {"job/order.json"}


@pytest.mark.parametrize("kind", sorted(AT_HOME))
def test_the_package_of_this_code_is_small_and_the_same_each_time(kind: str) -> None:
    asked = {"job/order.json": b"{}"}
    with packed(asked, AT_HOME[kind]) as first, packed(asked, AT_HOME[kind]) as second:
        assert first.path.read_bytes() == second.path.read_bytes()
        assert first.size < MOST_BYTES
        assert first.line().count(" kB") == 6  # the whole, and the five largest files


def test_time_and_mode_of_files_change_no_byte(tree: Path) -> None:
    with packed({}, root=tree) as package:
        before = package.path.read_bytes()
    other = shutil.copytree(tree, tree.parent / "copy")
    (other / "tune" / "__init__.py").chmod(0o600)
    with packed({}, root=other) as package:
        assert package.path.read_bytes() == before


def test_a_package_that_is_too_large_names_its_largest_files(tree: Path) -> None:
    (tree / "tune" / "huge.py").write_bytes(random.Random(0).randbytes(2 * MOST_BYTES))
    with pytest.raises(JobError, match=r"largest: tune/huge\.py"), packed({}, root=tree):
        pass


ENGINES = [f"{package}.engine" for package in BUILT_IN.values()]

ROOTS = {
    "study": ["tune.job.nodes", "tune.job.study", "tune.trial.actor", "tune.trial.child", *ENGINES],
    "measure": ["tune.job.nodes", "tune.job.measure", "analysis.measure.run", *ENGINES],
}
"""Modules that a job begins with on its head and in its workers; nothing else imports them."""


@pytest.mark.parametrize("kind", sorted(AT_HOME))
def test_all_that_a_job_imports_travels(kind: str) -> None:
    with packed({}, AT_HOME[kind]) as package:
        names = {n.removesuffix(".py") for n in zipfile.ZipFile(package.path).namelist()}
    needed, waiting = set[str](), ["tune.job.entry", *ROOTS[kind]]
    while waiting:
        module = waiting.pop()
        if module not in needed:
            needed.add(module)
            waiting += imports(module) if module != "tune.job.entry" else []
    files = {module.replace(".", "/") for module in needed}
    assert len(files) > 100
    assert {f for f in files if f not in names and f"{f}/__init__" not in names} == set()


def imports(module: str) -> list[str]:
    """Modules of ours that one imports, at its top or later."""
    place = ROOT / module.replace(".", "/")
    file = place.with_suffix(".py")
    text = (file if file.is_file() else place / "__init__.py").read_text()
    found = re.findall(r"^ *(?:from|import) ([\w.]+)", text, re.MULTILINE)
    return [name for name in found if name.partition(".")[0] in FOLDERS]
