"""The command line as a process: what a short verb leaves out, it leaves out silently."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rehearsed_study import rehearse
from tune.cli import is_short


def segtune(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tune.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_verbs_that_start_nothing_end_at_once() -> None:
    assert is_short(["status", "studies/one"])
    assert is_short(["plan", "study.yaml", "--set", "budget.trials=3"])
    assert not is_short(["plan", "study.yaml", "--probe"])
    assert not is_short(["tune", "study.yaml"])
    assert not is_short([])


def test_a_short_verb_says_all_of_it_and_keeps_its_exit_code(tmp_path: Path) -> None:
    opened = rehearse(tmp_path, budget={"trials": 4, "epochs": 2})
    shown = segtune("status", str(opened.path))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "4 of 4 trials ended" in shown.stdout
    assert shown.stdout.endswith("tries more\n"), "the last line is not lost"
    refused = segtune("status", str(tmp_path / "nowhere"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nowhere" in refused.stderr
    assert segtune("status", "--help").returncode == 0


@pytest.mark.parametrize("rows", [1, 3])
def test_a_reader_that_has_seen_enough_hears_no_traceback(tmp_path: Path, rows: int) -> None:
    opened = rehearse(tmp_path, budget={"trials": 4, "epochs": 2})
    command = f"'{sys.executable}' -m tune.cli status '{opened.path}' | head -{rows}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(ended.stdout.splitlines()) == rows
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr
