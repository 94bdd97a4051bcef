"""A bucket that does not do as it should, under a study that is shipped to it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.rehearsed_study import go_on, rehearse
from tests.support.servers.bucket_server import troubled
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring, read_mirror
from tune.mirror.mirror import mirror_address, mirrored, place_of

WAIT_S = 120.0


@pytest.fixture
def study(bucket: str, tmp_path: Path) -> StudyDir:
    """A study that is half done."""
    return rehearse(
        tmp_path,
        budget={"trials": 3, "epochs": 5},
        scheduler={"kind": "none"},
        mirror={"place": f"{bucket}/{tmp_path.name}", "every_seconds": 0.3, "lease_seconds": 30},
        stop_after=7,
    )


def soon(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["429", "503", "hang", "lost", "flipped"])
def test_a_study_goes_on_through_it_and_all_of_it_is_shipped_when_it_ends(
    how: str, study: StudyDir, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = mirror_address(study.study)
    with (
        troubled() as trouble,
        mirrored(study.study, study.path, resume=True) as mirror,
    ):
        assert mirror is not None
        soon(lambda: read_mirror(place_of(address)).files)
        trouble.how = how
        go_on(study, mirror.touch)
        soon(lambda: trouble.n)
        assert mirror.hold() is None
        trouble.how = "none"
    assert "not all of the study" not in caplog.text
    bring(place_of(address), tmp_path / "elsewhere/sample")
    there = StudyDir.open(tmp_path / "elsewhere/sample")
    assert [(t.number, t.state, t.epochs) for t in there.trials()] == [
        (n, "complete", 5) for n in range(3)
    ]
    assert (there.path / "optuna.journal").read_bytes() == (
        study.path / "optuna.journal"
    ).read_bytes()


def test_a_bucket_that_stays_away_is_told_and_shipped_to_next_time(
    study: StudyDir, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.mirror.mirror._PATIENCE_S", 0.5)
    monkeypatch.setattr("cluster.storage.service.PATIENCE_S", 0.5)
    assert study.study.mirror is not None
    short = study.study.mirror.model_copy(update={"lease_seconds": 2.0})
    brief = study.study.model_copy(update={"mirror": short})
    address = mirror_address(brief)
    with troubled() as trouble:
        with mirrored(brief, study.path, resume=True):
            soon(lambda: read_mirror(place_of(address)).files)
            go_on(study)
            trouble.how = "503"
        assert "not all of the study is at" in caplog.text
        assert f"`segtune resume {study.path}` ships the rest" in caplog.text
        trouble.how = "none"
        with mirrored(brief, study.path, resume=True):
            pass
    text = read_mirror(place_of(address)).files["optuna.journal"]
    assert bytes(text) == (study.path / "optuna.journal").read_bytes()
