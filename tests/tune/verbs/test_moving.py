"""A study is moved whole, or stays where it is."""

from pathlib import Path

import pytest

from cluster.storage.lease import read_lease
from tests.support.rehearsed_study import rehearse
from tune.directory.reader import StudyDir
from tune.errors import StoreError, StudyError, UsageError
from tune.mirror.bringing import bring
from tune.mirror.mirror import mirror_address, mirrored, place_of
from tune.verbs.moving import plan_move


def test_a_study_that_cannot_go_on_here_stays_where_it_is(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mirror = {"place": str(tmp_path / "shared"), "every_seconds": 0.3, "lease_seconds": 1}
    made = rehearse(tmp_path, budget={"trials": 2, "epochs": 5}, mirror=mirror, stop_after=7)
    study = StudyDir.open(made.path).study
    with mirrored(study, made.path, resume=True):
        pass
    before = mirror_address(study)
    with pytest.raises(StudyError, match="data"):
        plan_move(before, f"{bucket}/moved", ["data=/nowhere"])
    lease = read_lease(place_of(before).documents)
    assert lease is not None
    assert lease.moved == ""
    plan = plan_move(before, f"{bucket}/moved")
    assert mirror_address(plan.study) == f"{bucket}/moved/{study.study}"
    lease = read_lease(place_of(before).documents)
    assert lease is not None
    assert lease.moved == f"{bucket}/moved/{study.study}"


def test_a_study_of_this_machine_is_told_what_brings_it_to_another_folder(tmp_path: Path) -> None:
    plain = rehearse(tmp_path / "plain", budget={"trials": 1, "epochs": 2}).path
    with pytest.raises(UsageError, match=r"without one;.*--to gs://BUCKET/FOLDER.*move the folder"):
        plan_move(plain, str(tmp_path / "there"))
    shared = {"place": str(tmp_path / "shared")}
    mirrored_one = rehearse(tmp_path / "m", budget={"trials": 1, "epochs": 2}, mirror=shared)
    address = mirror_address(mirrored_one.study)
    with pytest.raises(UsageError, match=f"its folder; `segtune move {address} --to"):
        plan_move(mirrored_one.path, str(tmp_path / "there"))
    with pytest.raises(StoreError, match="there is no such folder"):
        plan_move(tmp_path / "nothing", str(tmp_path / "there"))


def test_a_folder_whose_bringing_was_cut_is_brought_again_by_the_same_command(
    tmp_path: Path,
) -> None:
    shared = {"place": str(tmp_path / "shared"), "lease_seconds": 1}
    made = rehearse(tmp_path, budget={"trials": 2, "epochs": 5}, mirror=shared, stop_after=7)
    with mirrored(made.study, made.path, resume=True):
        pass
    address, folder = mirror_address(made.study), tmp_path / "there"

    def press_ctrl_c(done: int, total: int) -> None:
        raise KeyboardInterrupt(f"{done} of {total}")

    with pytest.raises(KeyboardInterrupt):
        bring(place_of(address), folder / "sample", tick=press_ctrl_c)
    assert list((folder / "sample").iterdir())
    assert not (folder / "sample" / "optuna.journal").exists()
    assert plan_move(address, str(folder)).directory == folder / "sample"
    journal = (folder / "sample" / "optuna.journal").read_bytes()
    assert journal == (made.path / "optuna.journal").read_bytes()
    theirs = tmp_path / "theirs" / "sample"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("of somebody else")
    with pytest.raises(StoreError, match="expected a study directory"):
        plan_move(address, str(theirs.parent))
