"""What each kind of job is sent with: all that it imports, and little else."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import trainables
from cluster.jobs.package import FOLDERS, MOST_BYTES, packed
from trainables.registry import BUILT_IN
from tune.remote.travelling import (
    roots_beside,
    roots_of_measurement,
    roots_of_race,
    roots_of_study,
    roots_of_training,
)

ROOTS = {
    **{f"study of {engine}": roots_of_study(engine) for engine in BUILT_IN},
    "study of another": roots_of_study("another"),
    "race of simulated": roots_of_race("simulated"),
    "training of yolo_seg": roots_of_training("yolo_seg"),
    "training of another": roots_of_training(""),
    "measurement": roots_of_measurement(""),
    "measurement with another": roots_of_measurement("another"),
    **{word: roots_beside(word) for word in ("nodes", "status", "sweep")},
}

OTHERS = {
    "study of simulated": ("analysis/measure/", "trainables/engines/yolo_seg/run.py", "tune/cli/"),
    "measurement": ("tune/driver/", "tune/trial/", "tune/tracking/", "tune/cli/"),
    "sweep": ("analysis/", "trainables/engines/", "tune/trial/"),
}
"""What jobs of some kinds have no use for."""


@pytest.fixture(scope="module", params=sorted(ROOTS))
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package, unpacked in a folder of its own with the name of its kind."""
    kind = str(request.param)
    folder = tmp_path_factory.mktemp("package") / kind
    with packed({}, ROOTS[kind]) as package, packed({}, ROOTS[kind]) as again:
        assert package.path.read_bytes() == again.path.read_bytes()
        assert package.size < 0.9 * MOST_BYTES
        assert package.line().count(" kB") == 6  # the whole, and the five largest files
        zipfile.ZipFile(package.path).extractall(folder)
    return folder


def test_all_that_it_imports_travels_and_what_it_has_no_use_for_does_not(sent: Path) -> None:
    files = {path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()}
    assert len(files) > 20
    for name in sorted(file for file in files if file.endswith(".py")):
        for module in imported((sent / name).read_text()):
            place = module.replace(".", "/")
            assert {f"{place}.py", f"{place}/__init__.py"} & files, f"{name} imports {module}"
    assert [file for file in files if file.startswith(OTHERS.get(sent.name, ("none",)))] == []


@pytest.mark.parametrize("sent", ["study of another", "training of another"], indirect=True)
def test_an_engine_of_other_people_may_import_all_but_what_makes_data_sets(sent: Path) -> None:
    here = Path(trainables.__file__).parent
    all_of_ours = {path.relative_to(here).as_posix() for path in here.rglob("*.py")}
    sent_too = sent / "trainables"
    there = {path.relative_to(sent_too).as_posix() for path in sent_too.rglob("*.py")}
    makes_data_sets = ("preparing", "simulate", "raw", "coordinates")
    left = {Path(name).parts[:2] for name in all_of_ours - there}
    assert left <= {("datasets", name) for name in makes_data_sets}


IMPORT_ALL = """
import importlib, sys
from pathlib import Path
sys.path[:] = ["."] + [place for place in sys.path if not (Path(place) / "tune").is_dir()]
for file in sorted(Path().glob("*/**/*.py")):
    if "trainables/engines" not in file.as_posix() or file.stem == "params":
        name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        made = importlib.import_module(name) if file.name != "__main__.py" else None
        assert Path(made.__file__).resolve() == file.resolve(), made
print("all")
"""


@pytest.mark.parametrize("sent", ["study of simulated", "measurement", "sweep"], indirect=True)
def test_it_is_imported_where_nothing_else_of_ours_is(sent: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=sent, capture_output=True, text=True, check=False
    )
    assert done.stdout == "all\n", done.stderr


def imported(code: str) -> list[str]:
    """Modules of ours that code imports, at its top or later, and not for its types alone."""
    without_types = re.sub(r"^if TYPE_CHECKING:\n(?:(?: .*)?\n)+", "", code, flags=re.MULTILINE)
    found = re.findall(r"^ *(?:from|import) ([\w.]+)", without_types, re.MULTILINE)
    return [name for name in found if name.partition(".")[0] in FOLDERS]
