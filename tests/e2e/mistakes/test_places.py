"""A place that cannot be read or written is one message, at once, whatever verb it is given to."""

import time
from pathlib import Path

import pytest

from tests.support.command_line import segtune
from tests.support.study_samples import write_study

PLACES = {
    "below /proc": "/proc/x",
    "circle": "circle/x",
    "below a file": "file/x",
    "long": "a" * 300,
}

WRITING = [
    "plan study.yaml --set storage={}",
    "tune study.yaml --set storage={}",
    "prepare raw --out {}",
    "simulate micrographs --out {}",
    "export study --to {}",
    "retrain study --out {}",
    "evaluate study data --out {}",
    "pick x.mrc --model study --out {}",
    "schema --out {}",
    "demo --out {}",
]

READING = [
    "status {}",
    "report {}",
    "resume {}",
    "dashboard {}",
    "plan {}",
    "prepare {} --out new",
    "evaluate {} data",
    "init {}",
    "retrain {} --out new",
    "best set {}",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study file, a file, and links that lead in a circle."""
    made = tmp_path_factory.mktemp("places")
    write_study(made)
    (made / "file").touch()
    (made / "circle").symlink_to("back")
    (made / "back").symlink_to("circle")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("line", [*WRITING, *READING])
def test_a_place_that_cannot_be_is_one_message_and_exit_code_2(
    folder: Path, line: str, place: str
) -> None:
    before = time.monotonic()
    ran = segtune(folder, *line.format(place).split(), timeout_s=60)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    assert place[:100] in ran.stderr or place.partition("/")[0] in ran.stderr
    assert time.monotonic() - before < 60  # on a busy machine; it takes one or two
