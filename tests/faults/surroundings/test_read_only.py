"""Verbs about a study on a disk that may only be read: what reads does, what writes says why."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rehearsed_study import rehearse
from tune.cli.main import main
from tune.directory.reader import StudyDir

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which needs root")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyDir]:
    """A finished study on such a disk."""
    disk = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        made = rehearse(disk, budget={"trials": 3, "epochs": 5}, scheduler={"kind": "none"})
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield made
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def asked(*words: str) -> int | str | None:
    """Exit code of `segtune` with these words."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_what_reads_does(study: StudyDir, tmp_path: Path) -> None:
    place = str(study.path)
    assert asked("status", place) == 0
    assert asked("compare", place, "--out", str(tmp_path / "page")) == 0
    assert asked("list", str(study.path.parent)) == 0
    assert asked("diff", place, place) == 0
    assert asked("export", place, "--to", str(tmp_path / "best")) == 0
    assert (tmp_path / "page" / "compare.html").is_file()
    assert (tmp_path / "best" / "best.yaml").is_file()


@pytest.mark.parametrize("words", ["report", "clean", "export", "note kept"])
def test_what_writes_says_why_not(
    words: str, study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *more = words.split()
    assert asked(verb, str(study.path), *more) == 2
    said = capsys.readouterr().err
    assert "Read-only file system" in said
    assert str(study.path) in said
    assert len(said.splitlines()) == 1
