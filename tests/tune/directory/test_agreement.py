"""Journal and trial folders that contradict each other are refused by name, not mixed."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import segtune
from tests.support.rehearsed_study import rehearse
from trainables.files.whole import write_json
from trainables.trials.layout import METRICS
from tune.directory import layout
from tune.directory.journal import CHECK, CREATE_TRIAL, SET_STATE, SET_SYSTEM_ATTR, SET_VALUE
from tune.directory.layout import JOURNAL, OUTCOME, PARAMS
from tune.directory.reader import StudyDir
from tune.errors import StoreError

Entry = dict[str, Any]

F1 = "seg_metrics/F1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A finished study of four trials of four epochs."""
    return rehearse(
        tmp_path_factory.mktemp("whole"),
        budget={"trials": 4, "epochs": 4},
        search="random",
        scheduler={"kind": "asha", "grace_period": 1},
    )


@pytest.fixture
def study(whole: StudyDir, tmp_path: Path) -> StudyDir:
    """A copy of the study to be damaged."""
    return StudyDir.open(shutil.copytree(whole.path, tmp_path / whole.path.name))


def entries_of(study: StudyDir) -> list[Entry]:
    return [json.loads(line) for line in (study.path / JOURNAL).read_text().splitlines()]


def write_entries(study: StudyDir, entries: list[Entry]) -> None:
    """Write a journal as earlier versions did, without checksums."""
    bare = [{key: value for key, value in entry.items() if key != CHECK} for entry in entries]
    (study.path / JOURNAL).write_text("".join(json.dumps(entry) + "\n" for entry in bare))


def write_table(path: Path, lines: list[Entry]) -> None:
    """Write a metrics table as earlier versions did, without checksums."""
    bare = [{key: value for key, value in line.items() if key != layout.CHECK} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in bare))


def change_first(study: StudyDir, operation: int, change: Callable[[Entry], None]) -> Entry:
    """Change the first line of a kind in the journal; returns it as it was."""
    entries = entries_of(study)
    entry = next(e for e in entries if e["op_code"] == operation)
    before: Entry = json.loads(json.dumps(entry))
    change(entry)
    write_entries(study, entries)
    return before


def refused(study: StudyDir) -> str:
    with pytest.raises(StoreError) as raised:
        study.trials()
    return str(raised.value)


def test_a_whole_study_agrees(study: StudyDir) -> None:
    assert len(study.trials()) == 4


def test_a_flipped_digit_in_the_journal_is_named_with_both_values(study: StudyDir) -> None:
    before = change_first(study, SET_VALUE, lambda e: e.update(intermediate_value=0.986))
    value = before["intermediate_value"]
    assert refused(study) == (
        f"{study.path}: the study directory cannot be read: expected {JOURNAL} and the trials' "
        f"folders to agree, got 1 difference:\n  trial 0: trials/0/{METRICS} has {F1} {value} at "
        f"epoch 1, {JOURNAL} 0.986\nOne of the files was damaged, or is another study's. Put a "
        "copy from before in its place; nothing was changed."
    )


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 0.986])
def test_a_flipped_digit_in_a_table_is_named_at_any_epoch(
    study: StudyDir, epoch: int, value: float
) -> None:
    trial = next(t for t in study.trials() if t.epochs == 4)
    path = trial.directory / METRICS
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    said = lines[epoch - 1][F1]
    lines[epoch - 1][F1] = value
    write_table(path, lines)
    place = f"trials/{trial.number}/{METRICS}"
    expected = f"{place} has {F1} {value} at epoch {epoch}, {JOURNAL} {said}"
    assert expected in refused(study)


def test_a_value_that_is_not_the_one_decided_on_is_named(study: StudyDir) -> None:
    def change(entry: Entry) -> None:
        (decision,) = entry["system_attr"].values()
        decision["reported"] = 0.5

    change_first(study, SET_SYSTEM_ATTR, change)
    assert re.search(
        rf"trial 0: {JOURNAL} has {F1} [\d.]+ at epoch \d and decided on 0.5", refused(study)
    )


def test_a_line_that_begins_a_trial_twice_is_named_by_its_number(study: StudyDir) -> None:
    entries = entries_of(study)
    at = [n for n, e in enumerate(entries) if e["op_code"] == CREATE_TRIAL][1]
    write_entries(study, [*entries[: at + 1], *entries[at:]])
    assert refused(study).startswith(
        f"{study.path / JOURNAL}, line {at + 2}: the study directory cannot be read: expected "
        "each trial to begin once, got the line of one again"
    )


def test_a_value_that_stands_there_twice_changes_nothing(study: StudyDir) -> None:
    before = study.trials()
    entries = entries_of(study)
    at = next(n for n, e in enumerate(entries) if e["op_code"] == SET_VALUE)
    write_entries(study, [*entries[: at + 1], *entries[at:]])
    assert study.trials() == before


def test_an_epoch_that_stands_in_a_table_twice_is_named(study: StudyDir) -> None:
    trial = next(t for t in study.trials() if t.epochs == 4)
    path = trial.directory / METRICS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], *lines[1:]]))
    assert (
        f"trials/{trial.number}/{METRICS} has epochs 1, 2, 2, 3, 4, expected 1 to 5, each once"
    ) in refused(study)


def test_a_table_that_lost_its_end_is_named(study: StudyDir) -> None:
    trial = next(t for t in study.trials() if t.epochs == 4)
    path = trial.directory / METRICS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert f"trials/{trial.number}/{METRICS} has 2 epochs, {JOURNAL} 4" in refused(study)


@pytest.mark.parametrize(
    ("part", "other"), [pytest.param("sampled", JOURNAL, id="sampled"), ("fixed", "the study")]
)
def test_another_hyperparameter_in_a_folder_is_named(
    study: StudyDir, part: str, other: str
) -> None:
    path = study.path / "trials" / "2" / PARAMS
    params = json.loads(path.read_text())
    params[part]["batch"] = 1234
    write_json(path, params)
    assert f"trial 2: trials/2/{PARAMS} has batch 1234, {other} " in refused(study)


def test_another_state_in_a_folder_is_named(study: StudyDir) -> None:
    change_first(study, SET_STATE, lambda e: e.update(state=3))
    assert re.search(rf"trials/\d/{OUTCOME} has state \w+, {JOURNAL} failed", refused(study))


def test_the_journal_of_a_study_of_another_name_is_named(study: StudyDir) -> None:
    change_first(study, 0, lambda e: e.update(study_name="another"))
    assert refused(study) == (
        f"{study.path / JOURNAL}: expected the journal of study {study.study.study}, got that of "
        "another; put a copy from before in its place"
    )


def test_the_journal_of_another_study_of_the_same_name_is_named(
    study: StudyDir, tmp_path: Path
) -> None:
    other = rehearse(tmp_path / "other", budget={"trials": 4, "epochs": 4}, search="random", seed=5)
    shutil.copy(other.path / JOURNAL, study.path / JOURNAL)
    said = refused(study)
    assert f"trial 0: trials/0/{PARAMS} has " in said
    assert re.search(r"\n  and \d+ more\n", said)


def test_a_journal_that_was_emptied_is_not_a_study_without_trials(study: StudyDir) -> None:
    write_entries(study, entries_of(study)[:1])
    assert f"trial 0: trials/0 has its outcome, {JOURNAL} has no such trial" in refused(study)
    assert "got 4 differences" in refused(study)


@pytest.mark.parametrize("kept", [1, 3, 4])
def test_a_journal_that_lacks_what_had_reached_the_disk_is_not_gone_on_with(
    tmp_path: Path, kept: int
) -> None:
    """The study's line alone; with the trial's beginning; with its first epoch."""
    study = rehearse(
        tmp_path, budget={"trials": 1, "epochs": 9}, scheduler={"kind": "none"}, stop_after=6
    )
    path = study.path / "trials" / "0" / METRICS
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_table(path, [{**row, "elapsed_s": 0.2 * row["epoch"]} for row in rows])
    entries = entries_of(study)
    write_entries(study, entries[:kept])
    assert len(study.trials()) == int(kept > 1), "a second may be lost with the power"
    write_table(path, [{**row, "elapsed_s": 2.0 * row["epoch"]} for row in rows])
    n_epochs = sum(e["op_code"] == SET_VALUE for e in entries[:kept])
    said = f"has 6 epochs, {JOURNAL} {n_epochs}" if kept > 1 else f"{JOURNAL} no such trial"
    assert said in refused(study)


def test_the_folder_of_an_earlier_trial_is_not_read_for_one_that_has_not_begun(
    study: StudyDir,
) -> None:
    entries = entries_of(study)
    last = [n for n, e in enumerate(entries) if e["op_code"] == CREATE_TRIAL][-1]
    entries[last]["params"]["lr0"] = 0.05
    write_entries(study, entries[: last + 1])
    (study.path / "trials" / "3" / OUTCOME).unlink()
    trial = study.trials()[3]
    assert (trial.state, trial.epochs, trial.metrics) == ("waiting", 0, ())


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["status", "report", "export", "resume"])
def test_every_verb_says_what_disagrees(study: StudyDir, verb: str) -> None:
    change_first(study, SET_VALUE, lambda e: e.update(intermediate_value=0.986))
    files = {path: path.read_bytes() for path in study.path.rglob("*.*") if path.is_file()}
    ran = segtune(study.path.parent, verb, str(study.path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"trial 0: trials/0/{METRICS} has {F1}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert {path: path.read_bytes() for path in files} == files


def test_another_time_than_was_written_is_noticed(study: StudyDir) -> None:
    path = study.path / "trials" / "1" / OUTCOME
    outcome = json.loads(path.read_text())
    write_json(path, {**outcome, "seconds": 9 * outcome["seconds"]})
    said = f"trial 1: trials/1/{OUTCOME} is not as it was written: it has another checksum"
    assert said in refused(study)
    write_json(path, {key: value for key, value in outcome.items() if key != layout.CHECK})
    assert study.trials()[1].seconds == outcome["seconds"], "as an earlier version wrote it"
