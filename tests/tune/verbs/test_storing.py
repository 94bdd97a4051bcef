"""Studies copied, brought back and packed: what comes is a study that goes on."""

import shutil
import zipfile
from pathlib import Path

import pytest

from cluster.errors import StorageError
from tests.support.command_line import segtune
from tests.support.rehearsed_study import go_on, rehearse
from tune.directory.lock import DriverLock
from tune.directory.reader import StudyDir
from tune.errors import UsageError
from tune.verbs.storing import archive, sync


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "disk")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """Two trials of five epochs: one has ended and is closed, one is half trained."""
    made = rehearse(
        tmp_path, budget={"trials": 2, "epochs": 5}, scheduler={"kind": "none"}, stop_after=8
    )
    (made.path / "trials" / "0" / "closed.json").write_text('{"attempts": 1}')
    return StudyDir.open(made.path)


def quiet(done: int, total: int) -> None:
    del done, total


def records(study: StudyDir) -> list[tuple[int, str, int]]:
    return [(trial.number, trial.state, trial.epochs) for trial in study.trials()]


def test_an_interrupted_study_goes_on_where_it_was_brought(
    study: StudyDir, place: str, tmp_path: Path
) -> None:
    sync(str(study.path), f"{place}/study", tick=quiet)
    brought = tmp_path / "elsewhere" / study.path.name
    sync(f"{place}/study", str(brought), tick=quiet)
    assert records(StudyDir.open(brought)) == records(study)
    go_on(StudyDir.open(brought))
    assert [state for _, state, _ in records(StudyDir.open(brought))] == ["complete", "complete"]
    done = sync(str(brought), f"{place}/study", tick=quiet)
    assert done.sent > 0
    assert done.equal > 0
    sync(f"{place}/study", str(study.path), tick=quiet)
    assert records(StudyDir.open(study.path)) == records(StudyDir.open(brought))


def test_an_archive_holds_all_that_resuming_needs_and_opens_by_any_program(
    study: StudyDir, place: str, tmp_path: Path
) -> None:
    files = archive(study.path, f"{place}/kept.zip", tick=quiet)
    brought = tmp_path / "elsewhere" / study.path.name
    done = sync(f"{place}/kept.zip", str(brought), tick=quiet)
    assert done.sent == files
    assert not (brought / "trials/0/attempt-1/checkpoint").exists()
    assert (brought / "trials/1/attempt-1/checkpoint").is_dir()
    go_on(StudyDir.open(brought))
    if not place.startswith("gs://"):
        with zipfile.ZipFile(f"{place}/kept.zip") as opened:
            assert opened.testzip() is None
            assert "optuna.journal" in opened.namelist()


def test_a_study_is_packed_by_any_path_that_leads_to_it(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(study.path)
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    for folder in (study.path.relative_to(tmp_path), Path("link")):
        done = segtune(tmp_path, "archive", str(folder), "--out", "kept.zip")
        assert done.returncode == 0, done.stderr
        archive(Path("..", folder), "kept.zip", tick=quiet)
        for packed in (tmp_path / "kept.zip", Path("kept.zip")):
            with zipfile.ZipFile(packed) as opened:
                names = opened.namelist()
            assert "optuna.journal" in names
            assert not any(name.startswith("trials/0/attempt-1/checkpoint/") for name in names)
            packed.unlink()


def test_a_damaged_archive_brings_nothing_or_what_was_packed(tmp_path: Path) -> None:
    folder, brought, packed = tmp_path / "mine", tmp_path / "brought", tmp_path / "kept.zip"
    folder.mkdir()
    (folder / "a.txt").write_text("some words, " * 20)
    (folder / "b.png").write_bytes(bytes(range(200)))
    archive(folder, str(packed), tick=quiet)
    content, refused = packed.read_bytes(), 0
    for place in range(0, len(content), 7):
        packed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            sync(str(packed), str(brought), tick=quiet)
        except StorageError:
            refused += 1
            assert not brought.exists()
        else:  # a date in a header, say
            assert all((brought / f.name).read_bytes() == f.read_bytes() for f in folder.iterdir())
            shutil.rmtree(brought)
    assert refused > len(content) / 7 / 2
    packed.write_bytes(content[:-100])
    with pytest.raises(StorageError, match="expected a whole archive"):
        sync(str(packed), str(brought), tick=quiet)


def test_a_study_that_a_driver_runs_is_not_packed(study: StudyDir, tmp_path: Path) -> None:
    lock = DriverLock(study.path / ".driver")
    lock.acquire()
    try:
        with pytest.raises(UsageError, match="a driver is running this study"):
            archive(study.path, str(tmp_path / "kept.zip"), tick=quiet)
        sync(str(study.path), str(tmp_path / "copy"), tick=quiet)
    finally:
        lock.release()
    sync(str(tmp_path / "copy"), str(tmp_path / "brought"), tick=quiet)
    assert records(StudyDir.open(tmp_path / "brought")) == records(study)


def test_the_command_line_says_what_came(study: StudyDir, tmp_path: Path) -> None:
    said = segtune(tmp_path, "archive", str(study.path), "--out", "kept.zip")
    assert said.returncode == 0, said.stderr
    assert "wrote kept.zip with" in said.stdout
    came = segtune(tmp_path, "sync", "kept.zip", "brought")
    assert came.returncode == 0, came.stderr
    assert "0 were there already" in came.stdout
    again = segtune(tmp_path, "sync", "kept.zip", "brought")
    assert "brought: 0 files came, 0.0 MB" in again.stdout
