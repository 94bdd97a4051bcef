"""What fails on its way to a mirror is shipped later, and what is shipped always holds together."""

import shutil
from pathlib import Path

import pytest

from cluster.errors import StorageError
from cluster.storage.files import Head
from cluster.storage.folder_files import FolderFiles
from tests.support.rehearsed_study import rehearse
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring
from tune.mirror.files import Files
from tune.mirror.mirror import Mirror, mirror_address, mirrored, place_of

RUNNING = "trials/2/attempt-1"


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """Two trials have ended, the third is half trained; nothing is shipped unless it is asked."""
    mirror = {"place": str(tmp_path / "shared"), "every_seconds": 600, "lease_seconds": 30}
    budget = {"trials": 3, "epochs": 5}
    made = rehearse(
        tmp_path, budget=budget, scheduler={"kind": "none"}, mirror=mirror, stop_after=12
    )
    return StudyDir.open(made.path)


def renewed(folder: Path, content: bytes) -> None:
    """Put another folder in a folder's place, with a large file of some content."""
    new = folder.with_name(folder.name + ".made")
    shutil.copytree(folder, new)
    (new / "weights.bin").write_bytes(content)
    shutil.rmtree(folder)
    new.rename(folder)


def carried(mirror: Mirror) -> None:
    mirror.touch(2)
    mirror._shipping._carry()
    mirror._shipping._ship()


def test_a_checkpoint_that_cannot_be_sent_takes_no_model_along(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial's new best model was sent when its checkpoint failed: the mirror names the model."""
    best, checkpoint = study.path / RUNNING / "best", study.path / RUNNING / "checkpoint"
    creates = FolderFiles.create

    def failing(self: FolderFiles, name: str, source: Head) -> None:
        source.seek(0)
        if source.read(1) == b"c":
            raise StorageError("away")
        creates(self, name, source)

    with mirrored(study.study, study.path, resume=True) as mirror:
        assert mirror is not None
        mirror._shipping.stop()
        renewed(best, b"a" * 50_000)
        carried(mirror)
        renewed(best, b"b" * 50_000)
        renewed(checkpoint, b"c" * 50_000)
        with monkeypatch.context() as away:
            away.setattr(FolderFiles, "create", failing)
            with pytest.raises(StorageError, match="away"):
                carried(mirror)
        carried(mirror)
        there = tmp_path / "elsewhere" / "sample"
        bring(place_of(mirror_address(study.study)), there)
        assert (there / RUNNING / "best/weights.bin").read_bytes() == b"b" * 50_000
        assert (there / RUNNING / "checkpoint/weights.bin").read_bytes() == b"c" * 50_000


def test_a_file_that_cannot_be_read_once_is_shipped_with_the_next(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Files, name: str) -> None:
        raise OSError(116, "Stale file handle", name)

    with mirrored(study.study, study.path, resume=True) as mirror:
        assert mirror is not None
        mirror._shipping.stop()
        for act in (mirror._shipping._ship, mirror._shipping._put_together):
            with monkeypatch.context() as stale:
                stale.setattr(Files, "_table", failing)
                with pytest.raises(OSError, match="Stale"):
                    act()
            act()
            there = tmp_path / act.__name__ / "sample"
            bring(place_of(mirror_address(study.study)), there)
            for number in range(3):
                table = f"trials/{number}/metrics.jsonl"
                assert (there / table).read_bytes() == (study.path / table).read_bytes()
