"""A training that is shipped to a bucket while it lasts, beside others of its node."""

from pathlib import Path

import pytest

from analysis.errors import RetrainError
from cluster.storage import service
from cluster.storage.files import head_of
from cluster.storage.opening import open_files
from tests.support.servers.bucket_server import troubled
from trainables.files.errors import FolderError
from tune.job import training
from tune.job.training import _out_here


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(folder: Path, epoch: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retrain.json").write_text("{}")
    (folder / "epoch").write_text(str(epoch))


def test_two_trainings_of_a_node_have_folders_of_their_own_and_one_goes_on(bucket: str) -> None:
    with _out_here(f"{bucket}/a-b") as (one, _), _out_here(f"{bucket}/a/b") as (other, _):
        write(one, 1)
        write(other, 2)
        with pytest.raises(FolderError, match="another process"), _out_here(f"{bucket}/a/b/"):
            pass
    with _out_here(f"{bucket}/a-b/") as (again, _):
        assert (again / "epoch").read_text() == "1"


def test_what_somebody_else_has_there_is_not_written_over(bucket: str) -> None:
    place = open_files(f"{bucket}/theirs")
    with head_of(b"theirs") as head:
        place.put("config.yaml", head)
    with (
        pytest.raises(RetrainError, match=r"theirs: expected an empty .* such as config\.yaml"),
        _out_here(f"{bucket}/theirs"),
    ):
        pass
    with head_of(b"{}") as head:  # as a first shipping leaves it that was cut
        place.put("seed-1/retrain.json", head)
    with _out_here(f"{bucket}/theirs") as (folder, _):
        write(folder, 1)


def test_a_bucket_that_is_away_for_a_while_ends_no_training(
    bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training, "_SHIPPED_S", -1.0)
    with troubled() as trouble, _out_here(f"{bucket}/away") as (folder, ship):
        write(folder, 1)
        trouble.how = "503"
        with monkeypatch.context() as quick:
            quick.setattr(service, "PATIENCE_S", 0.5)
            ship()
        trouble.how = "none"
        assert "not shipped this time" in caplog.text
        write(folder, 2)
        ship()
    with _out_here(f"{bucket}/away") as (folder, _):
        assert (folder / "epoch").read_text() == "2"
