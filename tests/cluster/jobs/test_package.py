"""What travels with a job: an allow-list, the same bytes each time, and nothing large."""

import random
import shutil
import zipfile
from pathlib import Path

import pytest

from cluster.errors import JobError
from cluster.jobs.package import FOLDERS, MOST_BYTES, packed


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


def test_what_nobody_imports_stays_at_home(tree: Path) -> None:
    (tree / "tune" / "begin.py").write_text("def later():\n    import tune.used\n")
    (tree / "tune" / "used.py").write_text('COMMAND = ("python", "-m", "cluster.started")\n')
    (tree / "cluster" / "started.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tune.unused\n"
    )
    (tree / "tune" / "unused.py").write_text("")
    (tree / "analysis" / "page.html").write_text("")
    (tree / "tune" / "page.html").write_text("")
    with packed({}, ["tune.begin"], tree) as package:
        names = {n for n in zipfile.ZipFile(package.path).namelist() if ".dist-info/" not in n}
    inits = {"tune/__init__.py", "cluster/__init__.py"}
    files = {"tune/begin.py", "tune/used.py", "cluster/started.py", "tune/page.html"}
    assert names == inits | files


def test_time_and_mode_of_files_change_no_byte(tree: Path) -> None:
    with packed({}, root=tree) as package:
        before = package.path.read_bytes()
    other = shutil.copytree(tree, tree.parent / "copy")
    (other / "tune" / "__init__.py").chmod(0o600)
    with packed({}, root=other) as package:
        assert package.path.read_bytes() == before


def test_a_package_that_is_too_large_names_its_largest_files(tree: Path) -> None:
    (tree / "tune" / "huge.html").write_bytes(random.Random(0).randbytes(2 * MOST_BYTES))
    with pytest.raises(JobError, match=r"largest: tune/huge\.html"), packed({}, root=tree):
        pass
