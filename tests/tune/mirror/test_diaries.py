"""Notes of a mirrored study belong to its mirror: whoever takes one, and wherever it is driven."""

from pathlib import Path

import pytest

from cluster.errors import LeaseError, StorageError
from tests.support.rehearsed_study import go_on, rehearse
from tune.directory.diary import Diary, read_diary
from tune.directory.reader import StudyDir
from tune.mirror.diaries import bring_diary
from tune.mirror.mirror import mirror_address, mirrored, place_of, retire
from tune.mirror.opening import bring_copy
from tune.verbs.noting import note


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """A study that is half done, with a note from before it had a mirror."""
    mirror = {"place": str(tmp_path / "shared"), "every_seconds": 0.3, "lease_seconds": 1}
    made = rehearse(tmp_path, budget={"trials": 2, "epochs": 5}, mirror=mirror, stop_after=7)
    note(made.path, "first", tags=["a", "b"])
    return StudyDir.open(made.path)


def texts(diary: Diary) -> list[str]:
    return [one.text for one in diary.notes]


def test_a_note_taken_where_another_machine_drives_the_study_stays(
    study: StudyDir, tmp_path: Path
) -> None:
    address = mirror_address(study.study)
    with mirrored(study.study, study.path, resume=True):
        pass
    there = bring_copy(address, tmp_path / "elsewhere" / "sample")
    with mirrored(study.study, there, resume=True) as mirror:
        assert mirror is not None
        note(study.path, "taken here", tags=["c"], untag=["a"])
        go_on(StudyDir.open(there), mirror.touch)
        after = note(there, "taken there")
    assert texts(after) == ["first", "taken here", "taken there"]
    assert after.tags == ("b", "c")
    bring_copy(address, study.path)
    assert read_diary(study.path) == read_diary(there) == after
    assert all(trial.state != "waiting" for trial in StudyDir.open(study.path).trials())


def test_notes_of_a_folder_from_before_it_was_shipped_come_to_the_mirror(study: StudyDir) -> None:
    place = place_of(mirror_address(study.study))
    place.documents.delete("diary.json")
    with mirrored(study.study, study.path, resume=True):
        pass
    assert place.documents.read("diary.json") is not None
    assert texts(bring_diary(place, study.path)) == ["first"]


def test_a_note_is_refused_where_its_mirror_has_moved_or_holds_something_else(
    study: StudyDir, tmp_path: Path
) -> None:
    address = mirror_address(study.study)
    place = place_of(address)
    place.documents.update("diary.json", lambda text: "[1]")
    with pytest.raises(StorageError, match="expected a diary, got another content"):
        note(study.path, "second")
    place.documents.delete("diary.json")
    retire(address, 1.0, "gs://lab/elsewhere", lambda lease: None)
    with pytest.raises(LeaseError, match="moved to gs://lab/elsewhere; take the note there"):
        note(study.path, "second")
    assert texts(read_diary(study.path)) == ["first"]
