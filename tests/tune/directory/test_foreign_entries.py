"""What others append to a study's journal takes nothing away from it."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from tests.support.rehearsed_study import SPACE, rehearse
from tune.directory.arrivals import arrivals
from tune.directory.journal import CHECK, WRITER, Arrival, Journal
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir


@pytest.fixture(params=["", "earlier"])
def study(tmp_path: Path, request: pytest.FixtureRequest) -> StudyDir:
    """A study left in the middle of a trial; also as an earlier version wrote it."""
    made = rehearse(
        tmp_path,
        budget={"trials": 3, "epochs": 4},
        search="random",
        scheduler={"kind": "none"},
        stop_after=6,
    )
    if request.param:
        lines = [json.loads(line) for line in (made.path / JOURNAL).read_text().splitlines()]
        for line in lines:
            line.pop(WRITER, None)
            line.pop(CHECK, None)
        (made.path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def stock(study: StudyDir) -> JournalStorage:
    """The journal as Optuna's own programs open it."""
    path = str(study.path / JOURNAL)
    return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def delete(study: StudyDir) -> None:
    storage = stock(study)
    storage.delete_study(storage.get_all_studies()[0]._study_id)
    assert storage.get_all_studies() == []


def rename(study: StudyDir) -> None:
    """Rename as optuna-dashboard does: copy into a study of the new name, delete the old one."""
    storage = stock(study)
    optuna.copy_study(
        from_study_name=study.study.study,
        from_storage=storage,
        to_storage=storage,
        to_study_name="another",
    )
    delete_named = storage.get_study_id_from_name(study.study.study)
    storage.delete_study(delete_named)


def end_running(study: StudyDir) -> None:
    storage = stock(study)
    (running,) = (t for t in storage.get_all_trials(0) if not t.state.is_finished())
    storage.set_trial_state_values(running._trial_id, TrialState.FAIL)


def complete_running(study: StudyDir) -> None:
    storage = stock(study)
    (running,) = (t for t in storage.get_all_trials(0) if not t.state.is_finished())
    storage.set_trial_state_values(running._trial_id, TrialState.COMPLETE, [0.99])


def enqueue(study: StudyDir) -> None:
    opened = optuna.load_study(study_name=study.study.study, storage=stock(study))
    opened.enqueue_trial({"lr0": 0.1})


def ask(study: StudyDir) -> None:
    opened = optuna.load_study(study_name=study.study.study, storage=stock(study))
    opened.ask().suggest_float("lr0", 1e-5, 0.1, log=True)


FOREIGN = pytest.mark.parametrize(
    "act", [delete, rename, end_running, complete_running, enqueue, ask]
)


@FOREIGN
def test_what_others_append_changes_nothing_that_is_shown(study: StudyDir, act: Any) -> None:
    before = study.trials()
    act(study)
    assert study.trials() == before


@FOREIGN
def test_a_study_that_others_wrote_into_goes_on_where_it_was(study: StudyDir, act: Any) -> None:
    before = arrivals(study.path / JOURNAL)
    act(study)
    journal = Journal(study.path / JOURNAL, study.study.study, "max")
    assert arrivals(study.path / JOURNAL) == before
    (running,) = (t for t in journal.trials() if not t.state.is_finished())
    journal.report(Arrival(running.number, 3, 0.5))
    journal.tell(running.number, TrialState.COMPLETE, 0.5)
    assert journal.trials()[running.number].state is TrialState.COMPLETE
    assert len(journal.trials()) == 2
    assert len(arrivals(study.path / JOURNAL)) == len(before) + 1


def test_others_may_write_while_a_driver_has_the_journal_open(study: StudyDir) -> None:
    journal = Journal(study.path / JOURNAL, study.study.study, "max")
    end_running(study)
    delete(study)
    journal.report(Arrival(1, 3, 0.5))
    journal.tell(1, TrialState.COMPLETE, 0.5)
    assert [trial.state.name for trial in journal.trials()] == ["COMPLETE", "COMPLETE"]


def test_the_lines_of_a_driver_open_in_plain_optuna(study: StudyDir) -> None:
    journal = Journal(study.path / JOURNAL, study.study.study, "max")
    journal.report(Arrival(1, 3, 0.5))
    opened = optuna.load_study(study_name=study.study.study, storage=stock(study))
    assert opened.trials[1].intermediate_values[3] == 0.5
    assert set(opened.trials[0].params) <= set(SPACE)
