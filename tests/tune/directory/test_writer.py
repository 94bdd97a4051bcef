"""The trial folders, after every kind of kill."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tune.directory.layout import elapsed_before_s, read_notes
from tune.directory.trials import Proposal, TrialAssignment, TrialOutcome
from tune.directory.writer import Recorder, SessionClock, close_earlier


def recorder(study: Path) -> Recorder:
    plan: Any = SimpleNamespace(directory=study, fixed={"imgsz": 64})
    return Recorder(plan.directory, plan.fixed)


def assignment(last_epoch: int) -> TrialAssignment:
    return TrialAssignment(0, Proposal({"lr0": 0.1}), seed=1, last_epoch=last_epoch)


def written(study: Path) -> list[int]:
    lines = (study / "trials" / "0" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def folder(place: Path, file: str, epoch: int) -> None:
    place.mkdir()
    (place / "model.pt").write_text(f"of epoch {epoch}")
    (place / file).write_text(json.dumps([{"epoch": epoch}]))


def test_an_epoch_that_the_journal_lacks_is_reported_again(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.begin(assignment(0))
    for epoch in (1, 2, 3):
        first.report(0, epoch, {"f1": 0.1 * epoch})
    with (tmp_path / "trials" / "0" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "f')
    second = recorder(tmp_path)
    assert second.begin(assignment(2))[2] == 2
    assert written(tmp_path) == [1, 2]
    second.report(0, 3, {"f1": 0.5})
    assert written(tmp_path) == [1, 2, 3]


def test_what_an_engine_says_of_a_trial_is_kept_once(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    for said in ("slow", "from scratch", "slow"):
        first.note(0, said)
    second = recorder(tmp_path)
    second.begin(assignment(0))
    second.note(0, "from scratch")
    assert read_notes(tmp_path / "trials" / "0") == ("slow", "from scratch")


def test_an_epoch_that_the_table_lacks_is_reported_again(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.begin(assignment(0))
    first.report(0, 1, {"f1": 0.1})
    assert recorder(tmp_path).begin(assignment(3))[2] == 1


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        ({"": 3}, 3),
        ({"": 3, ".new": 4}, 4),
        ({".old": 3, ".new": 4}, 4),  # killed between the two renames
        ({".old": 3}, 3),
        ({"": 4, ".old": 3}, 4),
    ],
    ids=str,
)
def test_a_kill_while_a_folder_is_replaced_loses_neither_model_nor_checkpoint(
    tmp_path: Path, there: dict[str, int], kept: int
) -> None:
    attempt, _, _ = recorder(tmp_path).begin(assignment(0))
    for suffix, epoch in there.items():
        folder(attempt / f"best{suffix}", "metrics.json", epoch)
        folder(attempt / f"checkpoint{suffix}", "history.json", epoch)
    again, checkpoint, _ = recorder(tmp_path).begin(assignment(0))
    assert checkpoint == again / "resume"
    assert (again / "resume" / "model.pt").read_text() == f"of epoch {kept}"
    assert (again / "best" / "model.pt").read_text() == f"of epoch {kept}"


def test_a_best_model_half_copied_is_not_the_best(tmp_path: Path) -> None:
    attempt, _, _ = recorder(tmp_path).begin(assignment(0))
    folder(attempt / "best", "metrics.json", 3)
    (attempt / "best" / "model.pt").unlink()
    os.mkfifo(attempt / "best" / "model.pt")  # which cannot be copied
    with pytest.raises(shutil.Error):
        recorder(tmp_path).begin(assignment(0))
    (attempt / "best" / "model.pt").unlink()
    (attempt / "best" / "model.pt").write_text("of epoch 3")
    again, _, _ = recorder(tmp_path).begin(assignment(0))
    assert again.name == "attempt-3"
    assert (again / "best" / "model.pt").read_text() == "of epoch 3"


def test_a_checkpoint_half_written_is_not_gone_on_from(tmp_path: Path) -> None:
    attempt, _, _ = recorder(tmp_path).begin(assignment(0))
    folder(attempt / "checkpoint", "history.json", 3)
    folder(attempt / "checkpoint.new", "history.json", 4)
    (attempt / "checkpoint.new" / "history.json").write_text('[{"epo')
    again, _, _ = recorder(tmp_path).begin(assignment(0))
    assert (again / "resume" / "model.pt").read_text() == "of epoch 3"


def test_a_trial_that_runs_again_has_no_outcome(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.begin(assignment(0))
    first.end(0, TrialOutcome("complete", "epochs"))
    second = recorder(tmp_path)
    second.begin(assignment(0))
    assert not second.has_outcome(0)


def test_a_trial_that_an_earlier_driver_ran_keeps_its_seconds(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.begin(assignment(0))
    first.report(0, 1, {"f1": 0.1})
    table = tmp_path / "trials" / "0" / "metrics.jsonl"
    table.write_text(json.dumps({"epoch": 1, "elapsed_s": 12.5}) + "\n")
    assert recorder(tmp_path).end(0, TrialOutcome("complete", "epochs")).seconds == 12.5


def test_a_trial_left_open_is_reopened_with_its_checkpoint_where_it_is_to_be_drawn(
    tmp_path: Path,
) -> None:
    first = recorder(tmp_path)
    attempt, _, _ = first.begin(assignment(0))
    first.end(0, TrialOutcome("complete", "epochs"))
    assert not first.is_closed(0)
    assert recorder(tmp_path).reopen(0, redraw=True) == (attempt, None), "there is none"
    folder(attempt / "best", "metrics.json", 3)
    folder(attempt / "checkpoint", "history.json", 3)
    assert recorder(tmp_path).reopen(0, redraw=False) == (attempt, None)
    again, checkpoint = recorder(tmp_path).reopen(0, redraw=True)
    assert again == attempt.with_name("attempt-2")
    assert checkpoint == again / "resume"
    assert (again / "best" / "model.pt").read_text() == "of epoch 3"
    first.close(0)
    assert recorder(tmp_path).is_closed(0)


def test_a_trial_that_goes_on_after_all_is_no_longer_closed(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.begin(assignment(0))
    first.close(0)
    second = recorder(tmp_path)
    second.begin(assignment(0))
    assert not second.is_closed(0)


def test_of_a_study_from_before_trials_were_closed_only_those_without_artifacts_are_open(
    tmp_path: Path,
) -> None:
    earlier = recorder(tmp_path)
    for number in (0, 1):
        attempt, _, _ = earlier.begin(replace(assignment(0), number=number))
        earlier.end(number, TrialOutcome("complete", "epochs"))
    (tmp_path / "trials" / "0" / "attempt-1" / "artifacts").mkdir()
    (tmp_path / "trials" / "0" / "attempt-1" / "artifacts" / "curves.png").touch()
    (attempt / "artifacts").mkdir()
    close_earlier(tmp_path)
    assert recorder(tmp_path).is_closed(0)
    assert not recorder(tmp_path).is_closed(1)


def test_a_trial_whose_folder_was_cleared_is_reopened_with_nothing_to_draw(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    attempt, _, _ = first.begin(assignment(0))
    first.end(0, TrialOutcome("complete", "epochs"))
    attempt.rmdir()
    assert recorder(tmp_path).reopen(0, redraw=True) == (attempt, None)


def test_the_time_a_study_has_taken_goes_on_over_its_drivers_and_is_saved_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    first = SessionClock(tmp_path)
    now[0] += 30
    first.tick()
    now[0] += 0.5
    first.tick()
    assert elapsed_before_s(tmp_path) == 30.0
    now[0] += 10
    second = SessionClock(tmp_path)
    now[0] += 5
    assert second.elapsed_s() == 35.0
    second.save()
    assert elapsed_before_s(tmp_path) == 35.0


def test_a_folder_of_another_trial_of_the_same_number_is_moved_away(tmp_path: Path) -> None:
    recorder(tmp_path).begin(assignment(0))
    other = replace(assignment(0), proposal=Proposal({"lr0": 0.2}))
    attempt, checkpoint, last = recorder(tmp_path).begin(other)
    assert (attempt.name, checkpoint, last) == ("attempt-1", None, 0)
    (aside,) = (tmp_path / "trials").glob("0.lost-*")
    assert json.loads((aside / "params.json").read_text())["sampled"] == {"lr0": 0.1}
