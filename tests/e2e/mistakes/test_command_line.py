"""Mistakes that people make on the command line and in data sets, each refused at once.

Every row is one mistake in an otherwise right folder: what is changed, the command, and what its
one message must say: what was expected, what was got, where, and the nearest valid one. Whatever
is refused leaves the folder as it was, byte for byte.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.mistakes.on_data import PARTICLES, PREPARED, RAW
from tests.e2e.mistakes.on_models import BEST, EVALUATE, PICK
from tests.e2e.mistakes.on_words import FILES, PLACES, VALUES, WORDS
from tests.e2e.mistakes.seeds import (
    Mistake,
    check_message,
    contents,
)
from tests.support.command_line import segtune
from tests.support.places import ROOT
from tune.cli.main import app, main

LIMIT_S = 2.0
VERBS = [command.callback.__name__ for command in app.registered_commands if command.callback]
VERBS += [group.name for group in app.registered_groups if group.name]


MISTAKES = [
    *WORDS,
    *VALUES,
    *PLACES,
    *FILES,
    *RAW,
    *PREPARED,
    *BEST,
    *PARTICLES,
    *EVALUATE,
    *PICK,
]
FIRST_OF_VERB = list({m.command.split()[0]: m for m in reversed(MISTAKES)}.values())


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_refused_at_once_and_nothing_is_written(
    folder: Path,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mistake.seed(folder)
    before = contents(folder)
    monkeypatch.chdir(folder)
    started = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(mistake.command.split())
    seconds = time.process_time() - started
    captured = capsys.readouterr()
    assert ended.value.code == 2
    check_message(captured.err, mistake)
    assert not captured.out
    assert seconds < LIMIT_S
    assert contents(folder) == before


@pytest.mark.parametrize("mistake", FIRST_OF_VERB, ids=str)
def test_a_mistake_ends_the_process_with_two_and_one_message(
    folder: Path, mistake: Mistake
) -> None:
    mistake.seed(folder)
    before = contents(folder)
    answer = segtune(folder, *mistake.command.split())
    assert answer.returncode == 2
    check_message(answer.stderr, mistake)
    assert not answer.stdout
    assert contents(folder) == before


def test_the_table_is_long_has_every_verb_and_its_rows_differ() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 40
    assert {mistake.command.split()[0] for mistake in FIRST_OF_VERB} >= set(VERBS)


@pytest.mark.parametrize("command", ["plan study.yaml", "status begun", "schema", "plan --help"])
def test_the_folder_without_a_mistake_is_accepted(folder: Path, command: str) -> None:
    answer = segtune(folder, *command.split())
    assert answer.returncode == 0, answer.stderr


def test_a_folder_that_may_not_be_written_to_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    monkeypatch.chdir(folder)
    for command in ("simulate demo --out locked/new", "retrain best.yaml --out locked/new"):
        with pytest.raises(SystemExit) as ended:
            main(command.split())
        assert ended.value.code == 2
        assert "locked may not be written to" in capsys.readouterr().err


def test_nothing_at_all_shows_the_help(folder: Path) -> None:
    answer = segtune(folder)
    assert answer.returncode == 2
    for verb in VERBS:
        assert verb in answer.stderr


def test_a_bug_of_ours_keeps_its_traceback_and_ends_with_one(folder: Path) -> None:
    bug = "import tune.cli.main, tune.study.study as s; s.study_schema = lambda: {}['bug']; "
    answer = subprocess.run(
        [sys.executable, "-c", f"{bug}tune.cli.main.main(['schema'])"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("Traceback")
    assert answer.stderr.endswith("KeyError: 'bug'\n")


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    answer = subprocess.run(
        f"{sys.executable} -m tune.cli schema | head -c 1",
        shell=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.stdout == "{"
    assert not answer.stderr
