"""The study's memory, after kills and beside other processes."""

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from tests.support.places import ROOT
from tune.directory.arrivals import arrivals, excess_of
from tune.directory.journal import Arrival, Journal
from tune.errors import StoreError
from tune.stopping.decision import Decision, Rule

LOCKED = """
import os, signal, sys
from pathlib import Path
from trainables.files.whole import FileLock
assert FileLock(Path(sys.argv[1])).acquire(wait=False)
os.kill(os.getpid(), signal.SIGKILL)
"""

STOP = Decision(False, Rule.ASHA, 2, 0.5, 0.4)


@pytest.fixture
def path(ram_path: Path) -> Path:
    return ram_path / "optuna.journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path, "try", "max")


def begin(journal: Journal, x: float = 0.5) -> int:
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING, params={"x": x}, distributions={"x": FloatDistribution(0, 1)}
    )
    return journal.create(template)


def reported(journal: Journal, trial: int, epoch: int, value: float) -> None:
    journal.report(Arrival(trial, epoch, value))


def trial_of(journal: Journal, number: int = 0) -> FrozenTrial:
    return journal.trials()[number]


def test_a_trial_is_begun_in_one_line_and_has_the_next_number(journal: Journal, path: Path) -> None:
    lines = len(path.read_bytes().splitlines())
    assert [begin(journal), begin(journal, 0.25)] == [0, 1]
    assert len(path.read_bytes().splitlines()) == lines + 2
    assert [trial.params for trial in journal.trials()] == [{"x": 0.5}, {"x": 0.25}]


def test_reports_come_back_in_the_order_in_which_they_were_decided(
    journal: Journal, path: Path
) -> None:
    first, second = begin(journal), begin(journal)
    reported(journal, second, 1, 0.1)
    reported(journal, first, 1, 0.2)
    arrival = Arrival(second, 2, 0.4, watched=0.7, excess={"measure/count_error": 0.25})
    journal.decide(arrival, STOP)
    reported(journal, first, 2, 0.3)
    journal.report(arrival)
    found = arrivals(path)
    assert [(a.trial, a.epoch, a.value) for a in found] == [
        (second, 1, 0.1),
        (first, 1, 0.2),
        (second, 2, 0.4),
        (first, 2, 0.3),
    ]
    assert (found[2].decision, found[2].watched) == (STOP, 0.7)
    assert found[2].excess == {"measure/count_error": 0.25}
    assert found[0].decision is None
    assert excess_of(trial_of(journal, second)) == {2: {"measure/count_error": 0.25}}


def test_a_decision_whose_value_a_kill_left_out_is_there_and_known_to_be_untold(
    journal: Journal, path: Path
) -> None:
    arrival = Arrival(begin(journal), 1, 0.4)
    journal.decide(arrival, STOP)
    assert [(a.decision, a.told) for a in arrivals(path)] == [(STOP, False)]
    journal.report(arrival)
    assert [(a.decision, a.told) for a in arrivals(path)] == [(STOP, True)]


def test_a_decision_on_a_value_that_is_not_finite_is_read_back(
    journal: Journal, path: Path
) -> None:
    stop = Decision(False, Rule.DIVERGED, None, None, math.nan)
    journal.decide(Arrival(begin(journal), 1, math.nan), stop)
    (found,) = arrivals(path)
    assert found.decision is not None
    assert found.decision.rule is Rule.DIVERGED
    assert math.isnan(found.value)


def test_a_line_that_a_kill_left_half_written_is_cut_off_and_the_study_goes_on(
    journal: Journal, path: Path
) -> None:
    reported(journal, begin(journal), 1, 0.1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 7, "trial_')
    assert [a.value for a in arrivals(path)] == [0.1]
    again = Journal(path, "try", "max")
    assert path.read_bytes().startswith(whole + b"{")
    reported(again, 0, 2, 0.2)
    assert trial_of(Journal(path, "try", "max")).intermediate_values == {1: 0.1, 2: 0.2}


def test_a_journal_that_is_not_there_has_no_reports(path: Path) -> None:
    assert arrivals(path) == []


def test_a_process_killed_with_the_lock_holds_nobody_up(journal: Journal, path: Path) -> None:
    lock = path.with_suffix(".lock")
    killed = subprocess.run([sys.executable, "-c", LOCKED, str(lock)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert begin(journal) == 0


def test_two_who_write_at_once_tear_no_line(journal: Journal, path: Path) -> None:
    number = begin(journal)
    other = (
        "import sys; from pathlib import Path; from tune.directory.journal import *\n"
        "journal = Journal(Path(sys.argv[1]), 'try', 'max')\n"
        "for n in range(200): journal.annotate(0, f'other-{n}', n)\n"
    )
    with subprocess.Popen([sys.executable, "-c", other, str(path)], cwd=ROOT) as process:
        for n in range(200):
            journal.annotate(number, f"own-{n}", n)
    assert process.returncode == 0
    for line in path.read_bytes().splitlines():
        json.loads(line)
    assert len(trial_of(Journal(path, "try", "max")).user_attrs) == 400


def test_a_journal_on_a_full_disk_is_as_before_and_goes_on_when_there_is_room(
    journal: Journal, path: Path
) -> None:
    begin(journal)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.study.set_user_attr("note", "lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    journal.study.set_user_attr("note", "kept")
    assert Journal(path, "try", "max").study.user_attrs["note"] == "kept"


def test_a_journal_damaged_in_its_middle_is_named(journal: Journal, path: Path) -> None:
    for _ in range(4):
        begin(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[3:]]))
    with pytest.raises(
        StoreError, match=r"optuna\.journal, line 3: the study directory cannot be read"
    ):
        Journal(path, "try", "max")


def test_what_a_trial_ended_with_opens_in_plain_optuna(journal: Journal, path: Path) -> None:
    number = begin(journal)
    reported(journal, number, 1, 0.4)
    journal.constrain(number, {"measure/count_error": 0.25})
    journal.tell(number, TrialState.PRUNED, 0.4)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(
            str(path), lock_obj=optuna.storages.journal.JournalFileOpenLock(str(path))
        )
    )
    (trial,) = optuna.load_study(study_name="try", storage=storage).trials
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.4)
    assert trial.constraints == {"measure/count_error": 0.25}


def test_a_journal_that_is_deleted_or_replaced_while_it_is_driven_ends_in_a_message(
    journal: Journal, path: Path
) -> None:
    begin(journal)
    whole = path.read_bytes()
    path.unlink()
    said = r"optuna\.journal: expected the study's journal, read up to line 1, got none"
    with pytest.raises(StoreError, match=said):
        reported(journal, 0, 1, 0.5)
    assert not path.exists(), "an empty one in its place would begin the study anew"
    path.write_bytes(whole[:100])
    with pytest.raises(StoreError, match="got a shorter one: the study directory was moved"):
        reported(journal, 0, 1, 0.5)
    path.write_bytes(whole)
    reported(journal, 0, 1, 0.5)
    assert trial_of(Journal(path, "try", "max")).intermediate_values == {1: 0.5}
